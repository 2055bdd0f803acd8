"""The two pictures of README, from real material: a committed notebook with a run's outputs, and the grid of a run.

`python -m docs.pictures` makes docs/pictures/notebook.png and, from the newest run of the lab that ended well,
docs/pictures/grid.svg; `python -m docs.pictures RUN` takes another run's folder.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pic4ser_lib.runbook import grid, report
from pic4ser_lib.runbook.batch import Launch, Standing, State

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/pictures"
NOTEBOOK, SECTION = ROOT / "notebooks/01_setup_nodes.ipynb", "Turn-off-swap"
CHROMIUM = "/usr/bin/chromium"
_WIDTH, _HEIGHT, _ABOVE = 1120, 712, 20
_COLUMNS = 118
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich's style fetches its font from far away


def main(arguments: Sequence[str]) -> int:
    """Make both pictures. Returns 1 when there is no run that ended well: then the notebook's is made alone."""
    FOLDER.mkdir(exist_ok=True)
    photograph(NOTEBOOK, FOLDER / "notebook.png", section=SECTION)
    run = Path(arguments[0]) if arguments else newest(ROOT / "runs/lab")
    if run is None:
        print("docs/pictures/grid.svg was not made: no run of the lab that ended well is in runs/lab", file=sys.stderr)
        return 1
    (FOLDER / "grid.svg").write_text(drawn(report.read(run)), "utf-8")
    return 0


def newest(runs: Path) -> Path | None:
    """The newest run of the whole runbook that changed machines and ended well."""
    folders = sorted((path.parent for path in runs.glob("*/run.json")), reverse=True)
    return next((folder for folder in folders if _is_whole(report.read(folder))), None)


def drawn(run: dict[str, Any]) -> str:
    """A run's grid as an SVG, as the terminal showed it at the end."""
    from rich.console import Console

    standings = [standing(entry) for entry in run["notebooks"]]
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=_COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(grid.grid(standings, nodes_of(standings)))
    title = f"pic4ser run parameters/{run['site']}"
    return _FONTS.sub("", console.export_svg(title=title, unique_id="grid"))


def standing(entry: dict[str, Any]) -> Standing:
    """A line of run.json as the run had it."""
    launch = Launch(entry["notebook"], entry["node"], Path(), Path(entry["executed"]), Path(entry["journal"]))
    return Standing(launch, State(entry["state"]), entry["seconds"], counts=entry["counts"], error=entry["error"])


def nodes_of(standings: Sequence[Standing]) -> list[str]:
    """The run's nodes in their order."""
    named = [standing.launch.node for standing in standings if standing.launch.node]
    counted = [name for standing in standings for name in standing.counts if name != "cluster"]
    return list(dict.fromkeys([*named, *counted]))


def photograph(notebook: Path, picture: Path, *, section: str) -> None:
    """A notebook as JupyterLab shows it, from one of its headings on; nothing is fetched and nothing executed."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "notebook.html"
        page_file.write_text(_html(notebook), "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.route(re.compile("^https?:"), lambda route: route.abort())
        page.goto(page_file.as_uri())
        page.evaluate("id => document.getElementById(id).scrollIntoView()", section)
        page.evaluate("pixels => window.scrollBy(0, -pixels)", _ABOVE)
        page.screenshot(path=picture)
        browser.close()


def _html(notebook: Path) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", theme="light")  # type: ignore[no-untyped-call]
    html, _ = exporter.from_filename(str(notebook))
    return str(html)


def _is_whole(run: dict[str, Any]) -> bool:
    """Whether every notebook of the repository ran, to change what has to be changed, and is done."""
    names = {path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    return run["succeeded"] and run["mode"] == "apply" and {entry["notebook"] for entry in run["notebooks"]} == names


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
