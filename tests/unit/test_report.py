"""A run's page: self-contained, with the figures that its notebooks show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from plotly.graph_objects import Figure, Scatter

from pic4ser_lib.runbook.report import write_page
from pic4ser_lib.telemetry.page import page_part

NAMES = ("11_gpu_telemetry", "12_multi_worker_training")


@pytest.fixture
def page(tmp_path: Path) -> str:
    """The page of a run with two figures in one notebook and one in the next."""
    (tmp_path / "notebooks").mkdir()
    entries = [_notebook(tmp_path, name, figures) for name, figures in zip(NAMES, (("a", "b"), ("c",)), strict=True)]
    run = {
        "run_id": "r", "site": "lab", "title": "Lab", "mode": "apply", "ended": "now", "seconds": 1.0,
        "succeeded": True, "interrupted": False, "stopped": "", "left_out": {}, "stand_ins": [], "notebooks": entries,
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run))
    return write_page(tmp_path).read_text("utf-8")


def _notebook(folder: Path, name: str, figures: tuple[str, ...]) -> dict[str, object]:
    path, journal = f"notebooks/{name}.ipynb", f"{name}.jsonl"
    drawn = [Figure(Scatter(y=[1, 2], name=f"line {figure}"), layout={"height": 200}) for figure in figures]
    cells = [new_code_cell(outputs=[new_output("display_data", {"text/html": page_part(one)})]) for one in drawn]
    nbformat.write(new_notebook(cells=[new_code_cell(), *cells]), folder / path)
    record = {"event": "record", "node": "cluster", "step": "a.step", "wanted": "so it is", "outcome": "ok"}
    (folder / journal).write_text(json.dumps(record) + "\n")
    return {
        "notebook": name, "node": "", "state": "done", "seconds": 1.0, "counts": {"cluster": {"ok": 1}}, "error": "",
        "journal": journal, "executed": path,
    }  # fmt: skip


def test_every_figure_is_drawn_and_brings_the_code_once(page: str) -> None:
    assert [page.count(f'"name":"line {figure}"') + page.count(f'"name": "line {figure}"') for figure in "abc"] == [
        1
    ] * 3
    assert len(re.findall(r'<script type="text/plain" id="pic4ser-[0-9a-f]{12}-code">', page)) == 1


def test_the_page_fetches_nothing(page: str) -> None:
    without_plotly = re.sub(r'<script type="text/plain".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r'(src|href)="?(https?:)?//', without_plotly)


def test_what_has_figures_is_not_folded_away(page: str) -> None:
    assert page.count("<details open><summary><b>") == len(NAMES)
