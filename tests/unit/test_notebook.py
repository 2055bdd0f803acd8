"""What a notebook says about itself, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pic4ser_lib.errors import SiteError
from pic4ser_lib.runbook.notebook import runbook


def put(folder: Path, name: str, parameters: str = "site = node = mode = ''", **metadata: object) -> None:
    book = new_notebook(cells=[new_code_cell(parameters)], metadata={"pic4ser": metadata})
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, folder / f"{name}.ipynb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, scope in (
        ("02_install", "cluster"),
        ("00_before", "cluster"),
        ("01_setup", "node"),
        ("10_gpu", "cluster"),
    ):
        put(tmp_path, name, scope=scope)
    (tmp_path / "notes.ipynb").write_text("not part of the runbook")
    return tmp_path


def test_notebooks_come_in_the_order_of_their_numbers_with_their_scope(folder: Path) -> None:
    books = runbook(folder)
    assert [book.name for book in books] == ["00_before", "01_setup", "02_install", "10_gpu"]
    assert [book.name for book in books if book.per_node] == ["01_setup"]


@pytest.mark.parametrize("name", ["02", "2", "02_install", "notebooks/02_install.ipynb"])
def test_a_notebook_is_named_by_number_name_or_path(folder: Path, name: str) -> None:
    assert [book.name for book in runbook(folder, only=[name])] == ["02_install"]
    assert [book.name for book in runbook(folder, begin=name)] == ["02_install", "10_gpu"]


def test_a_notebook_may_take_more_than_a_batch_passes(folder: Path) -> None:
    put(folder, "12_train", "site = node = mode = ''\nworkers = 2", scope="cluster")
    (book,) = runbook(folder, only=["12"])
    assert book.parameters == ("site", "node", "mode", "workers")


def test_a_name_that_is_none_is_answered_with_those_that_are(folder: Path) -> None:
    with pytest.raises(SiteError, match="no such notebook; there are 00_before, 01_setup, 02_install, 10_gpu"):
        runbook(folder, only=["07"])


def test_everything_that_cannot_be_run_is_told_at_once(folder: Path) -> None:
    put(folder, "03_network", "site = 'x'\nmode: str = 'plan'")
    put(folder, "04_taint", scope="planet")
    (folder / "05_broken.ipynb").write_text("{")
    with pytest.raises(SiteError) as caught:
        runbook(folder)
    text = str(caught.value)
    assert "03_network.ipynb: node:" in text
    assert "04_taint.ipynb: metadata.pic4ser.scope: 'planet'; one of node, cluster" in text
    assert "05_broken.ipynb: cannot be read as a notebook" in text


def test_a_folder_without_a_runbook_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="no notebook NN_section"):
        runbook(tmp_path)
