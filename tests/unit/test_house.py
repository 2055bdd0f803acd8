"""Where a site is run and with which notebooks: the nearest ones, and this checkout's where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.errors import SiteError
from pic4ser_lib.house import PARTS, copy, house_of, notebooks_of, shared

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A house with one notebook and one site, seen from an empty folder beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "house/notebooks").mkdir(parents=True)
    (tmp_path / "house/notebooks/00_look.ipynb").touch()
    (tmp_path / "house/parameters/den").mkdir(parents=True)
    return tmp_path / "house"


def test_a_site_is_run_with_the_notebooks_beside_its_parameters(house: Path) -> None:
    assert house_of(house / "parameters/den") == house
    assert notebooks_of(house / "parameters/den") == house / "notebooks"


def test_a_site_elsewhere_is_run_with_the_notebooks_from_here_upward(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house / "parameters")
    assert notebooks_of(tmp_path / "elsewhere") == house / "notebooks"


def test_a_folder_called_notebooks_without_a_notebook_of_a_runbook_is_passed_over(house: Path) -> None:
    (house / "parameters/den/notebooks").mkdir()
    (house / "parameters/den/notebooks/thoughts.ipynb").touch()
    assert house_of(house / "parameters/den") == house


def test_without_notebooks_near_by_the_librarys_own_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert notebooks_of(tmp_path / "den") == shared() / "notebooks" == ROOT / "notebooks"


def test_a_copy_has_all_parts_and_nothing_of_one_machine(tmp_path: Path) -> None:
    copy(tmp_path / "ours")
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == sorted(PARTS)
    assert not list((tmp_path / "ours").rglob("local.yaml"))


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "parameters").mkdir()
    with pytest.raises(SiteError, match="a folder without parameters"):
        copy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["parameters"]
