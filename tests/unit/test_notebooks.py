"""The runbook as a reader of the repository finds it: complete, short, executed, and free of what differs by run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pic4ser_lib.outputs import KEPT, stripped

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

NOT_YET_RUN: frozenset[str] = frozenset()
"""Notebooks without outputs, because they wait for their first real run. Outputs come from nowhere else."""

RUN = pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem not in NOT_YET_RUN], ids=lambda path: path.stem)
LAB = {"site": "parameters/lab", "node": "*", "mode": "apply"}
OWN = {
    "12_multi_worker_training": {"workers": 2, "gpus_per_worker": 1, "image": "", "epochs": 3, "batch_size": 64},
}
"""What a notebook takes besides, each with a default, so that a batch need not know it."""

Cell = dict[str, Any]


def cells(path: Path, kind: str = "") -> list[Cell]:
    found: list[Cell] = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if kind in ("", cell["cell_type"])]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def prose(cell: Cell) -> str:
    """A text cell without its fenced commands, whose comments would look like headings."""
    return re.sub(r"```.*?```", "", source(cell), flags=re.DOTALL)


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def texts(output: dict[str, Any]) -> str:
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))


def test_the_runbook_begins_with_the_installation() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS][:5] == ["00", "01", "02", "03", "04"]


@EACH
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))


@EACH
def test_a_notebook_has_one_title_and_says_what_is_needed_next(path: Path) -> None:
    headings = [line for cell in cells(path, "markdown") for line in prose(cell).splitlines() if line.startswith("#")]
    assert [heading.startswith("# ") for heading in headings].index(True) == 0
    assert sum(heading.startswith("# ") for heading in headings) == 1
    assert headings[1] in ("## Before you start", "## What has to be there")
    assert not [heading for heading in headings if heading.startswith("####")]


@EACH
def test_every_code_cell_stands_right_after_text(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in cells(path)]
    assert all(kinds[i - 1] == "markdown" for i, kind in enumerate(kinds) if kind == "code")
    assert kinds[0] == kinds[-1] == "markdown"


@EACH
def test_there_is_more_text_than_code_but_not_twice_as_much(path: Path) -> None:
    ratio = len(cells(path, "markdown")) / len(cells(path, "code"))
    assert 1.2 <= ratio <= 1.6


@EACH
def test_a_text_cell_holds_one_idea(path: Path) -> None:
    too_long = {cell["id"]: n for cell in cells(path, "markdown") if (n := len(prose(cell).split())) > 85}
    assert not too_long


@EACH
def test_a_code_cell_has_ten_lines_at_most(path: Path) -> None:
    assert all(len(source(cell).splitlines()) <= 10 for cell in cells(path, "code"))


@EACH
def test_a_notebook_calls_the_library_and_nothing_else(path: Path) -> None:
    tree = ast.parse("\n".join(source(cell) for cell in cells(path, "code")))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [getattr(node, "module", None) for node in imported] == ["pic4ser_lib"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]


@EACH
def test_the_parameters_are_literals_and_name_the_lab(path: Path) -> None:
    tagged = [cell for cell in cells(path, "code") if "parameters" in cell["metadata"].get("tags", ())]
    assert len(tagged) == 1
    body = ast.parse(source(tagged[0])).body
    assigned = [(ast.unparse(a.targets[0]), ast.literal_eval(a.value)) for a in body if isinstance(a, ast.Assign)]
    assert assigned == [*LAB.items(), *OWN.get(path.stem, {}).items()]
    assert len(body) == len(assigned)


@EACH
def test_a_notebook_ends_by_asking_everything_again(path: Path) -> None:
    assert source(cells(path, "code")[-1]) == "nodes.verify()"


@EACH
def test_only_setting_up_nodes_is_done_node_by_node(path: Path) -> None:
    scope = json.loads(path.read_text("utf-8"))["metadata"]["pic4ser"]["scope"]
    assert scope == ("node" if path.stem.startswith("01_") else "cluster")


@EACH
def test_a_notebook_carries_no_more_metadata_than_it_needs(path: Path) -> None:
    about = json.loads(path.read_text("utf-8"))["metadata"]
    assert set(about) == {"kernelspec", "language_info", "pic4ser"}
    assert about["kernelspec"]["name"] == "python3"
    assert {key for cell in cells(path) for key in cell["metadata"]} <= {"tags"}


@EACH
def test_links_lead_to_files_that_are_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", "".join(map(source, cells(path, "markdown"))))
    assert not [link for link in links if "://" not in link and not (path.parent / link.partition("#")[0]).exists()]


def test_a_notebook_that_waits_for_its_first_run_has_no_output() -> None:
    for path in (FOLDER / f"{stem}.ipynb" for stem in sorted(NOT_YET_RUN)):
        assert not outputs(path)
        assert {cell["execution_count"] for cell in cells(path, "code")} == {None}


@RUN
def test_every_code_cell_has_been_executed_in_order(path: Path) -> None:
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


@RUN
def test_every_code_cell_but_the_parameters_shows_something(path: Path) -> None:
    silent = [cell["id"] for cell in cells(path, "code") if not cell["outputs"] and not cell["metadata"].get("tags")]
    assert not silent


@EACH
def test_an_output_is_text_or_a_figure_and_nothing_that_differs_by_run(path: Path) -> None:
    assert all(output["output_type"] in ("execute_result", "display_data", "stream") for output in outputs(path))
    assert all(set(output.get("data", ())) <= KEPT for output in outputs(path))
    assert not [output for output in outputs(path) if output.get("name") == "stderr" or output.get("metadata")]


@EACH
def test_an_output_has_fifteen_lines_at_most_and_no_colours(path: Path) -> None:
    assert all(len(texts(output).splitlines()) <= 15 for output in outputs(path))
    assert not [output for output in outputs(path) if "\x1b" in texts(output)]


@EACH
def test_an_output_names_no_address_and_nothing_that_failed(path: Path) -> None:
    unwanted = re.compile(r"\d+\.\d+\.\d+\.\d+|FAILED|REFUSED|cannot be shown")
    assert not [text for text in map(texts, outputs(path)) if unwanted.search(text)]


def test_stripping_keeps_text_and_figures_and_drops_the_rest() -> None:
    data = {"text/plain": "so", "text/html": "<b>", "image/png": "aGk="}
    cell = nbformat.v4.new_code_cell(
        "nodes", execution_count=1, metadata={"tags": ["a"], "execution": {"iopub.status.busy": "2026-11-24T00:00:00Z"}}
    )
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="kitt: 3 s"),
        nbformat.v4.new_output("execute_result", data=data, metadata={"isolated": True}, execution_count=1),
        nbformat.v4.new_output("display_data", data={"text/html": "<i>"}),
    ]
    book = stripped(nbformat.v4.new_notebook(cells=[cell], metadata={"pic4ser": {"scope": "node"}, "widgets": {}}))
    kept = [{**output} for output in book.cells[0].outputs]
    assert [output["data"] for output in kept] == [{"text/plain": "so", "image/png": "aGk="}]
    assert [output["metadata"] for output in kept] == [{}]
    assert book.cells[0].metadata == {"tags": ["a"]}
    assert book.metadata == {"pic4ser": {"scope": "node"}, "language_info": {"name": "python"}}
