"""What a run leaves behind: run.json, which seals its journals, and report.html, which tells it to a person.

Both are made from the run's folder alone, so that `pic4ser report` can make the page again.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pic4ser_lib.display import Table, printable, record_from, stand_ins_html
from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.house import house_of
from pic4ser_lib.journal import write_run
from pic4ser_lib.runbook.batch import Standing, State
from pic4ser_lib.runbook.walk import RunResult
from pic4ser_lib.site import Site, StandIn
from pic4ser_lib.steps import Mode, Outcome, Record
from pic4ser_lib.telemetry.page import has_figure, without_code

_COLOURS = {"done": "#2ea04333", "failed": "#f8514966", "stopped": "#d2992266"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} th, td {{ padding: 3px 12px 3px 4px; text-align: left; vertical-align: top }}
pre {{ white-space: pre-wrap }} .scroll {{ overflow-x: auto }} summary {{ cursor: pointer }}
</style></head><body>
{body}
</body></html>
"""


def write(result: RunResult, site: Site) -> str:
    """Write run.json and report.html into the run's folder, and return the seal of its journals."""
    run = {
        "run_id": result.run_id,
        "site": result.site,
        "title": site.title,
        "mode": result.mode.value,
        "ended": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "seconds": round(result.seconds, 1),
        "succeeded": result.succeeded,
        "interrupted": result.interrupted,
        "stopped": result.stopped,
        "left_out": dict(result.left_out),
        "stand_ins": [_plain(stand_in) for stand_in in site.stand_ins],
        "notebooks": [_as_data(standing, result.folder) for standing in result.standings],
    }
    seal = write_run(result.folder, run)
    write_page(result.folder)
    return seal


def write_page(folder: Path) -> Path:
    """Make report.html from a run's folder. Raises SiteError if it is not one."""
    run = read(folder)
    path, beside = folder / "report.html", folder / ".report.html.new"
    title = html.escape(f"{run['site']} {run['run_id']}")
    beside.write_text(_PAGE.format(title=title, body=_body(run, folder)), "utf-8")
    return beside.replace(path)


def read(folder: Path) -> dict[str, Any]:
    """What run.json says. Raises SiteError if there is none that can be read."""
    path = folder / "run.json"
    try:
        run: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        allowed = f"the folder of a run that has ended, with run.json in it ({type(error).__name__})"
        raise SiteError(path=str(folder), problems=(Problem(str(path), "", "", allowed),)) from None
    return run


def run_folder(named: str) -> Path:
    """The folder of a run: a path, a run's name, or the last run of any site if nothing is named. Raises SiteError."""
    runs = house_of(Path.cwd()) / "runs"
    found = [Path(named), *runs.glob(f"*/{named}")] if named else sorted(runs.glob("*/*/run.json"), key=_age)[-1:]
    for path in found:
        folder = path.parent if path.name == "run.json" else path
        if (folder / "run.json").is_file() or (folder / "journal").is_dir():
            return folder
    allowed = "the folder of a run, or its name; the last run's if nothing is named"
    raise SiteError(path=str(runs), problems=(Problem("RUN", "", repr(named), allowed),))


def _age(path: Path) -> float:
    return path.stat().st_mtime


def entries(folder: Path) -> Iterable[dict[str, Any]]:
    """Every line of every journal of a run, notebook by notebook; a torn last line is left out."""
    for path in sorted((folder / "journal").glob("*.jsonl")):
        yield from entries_of(path)


def entries_of(path: Path) -> Iterable[dict[str, Any]]:
    """The lines of one journal as data; a line that a kill has torn is left out."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def records_of(path: Path) -> tuple[Record, ...]:
    """What became of each step on each node; the change is kept where verifying it said ok afterwards."""
    latest: dict[tuple[str, str, str], Record] = {}
    for entry in entries_of(path):
        if entry.get("event") == "record":
            record = record_from(entry)
            key = (record.node, record.step, record.wanted)
            before = latest.get(key)
            if not (before and before.outcome is Outcome.CHANGED and record.outcome is Outcome.OK):
                latest[key] = record
    return tuple(latest.values())


def headline(run: dict[str, Any]) -> str:
    """How a run ended, in a sentence or two."""
    verdict = "all proven" if run["succeeded"] else "stopped by Ctrl-C" if run["interrupted"] else "not all is proven"
    parts = [f"{run['mode']} of {run['site']}, ended {run['ended']} after {run['seconds']} s: {verdict}."]
    parts += [f"Left out: {node}, after {why}" for node, why in run["left_out"].items()]
    return " ".join([*parts, run["stopped"]]).strip()


# ---------------------------------------------------------------------------------------------- run.json


def _as_data(standing: Standing, folder: Path) -> dict[str, Any]:
    launch = standing.launch
    return {
        "notebook": launch.notebook,
        "node": launch.node,
        "state": standing.state.value,
        "seconds": round(standing.seconds, 1),
        "counts": standing.counts,
        "error": standing.error,
        "journal": str(launch.journal.relative_to(folder)),
        "executed": str(launch.executed.relative_to(folder)),
    }


def _plain(stand_in: StandIn) -> dict[str, str]:
    return {name: str(getattr(stand_in, name)) for name in ("name", "instead_of", "does_not_prove")}


# ------------------------------------------------------------------------------------------- report.html


def _body(run: dict[str, Any], folder: Path) -> str:
    stand_ins = [StandIn.model_validate(s) for s in run["stand_ins"]]
    figures = _figures([folder / entry["executed"] for entry in run["notebooks"]])
    return "\n".join(
        [
            f"<h1>{html.escape(run['title'] or run['site'])}</h1>",
            f"<p>{html.escape(headline(run))}</p>",
            stand_ins_html(stand_ins),
            f'<div class="scroll">{_overview(run["notebooks"])}</div>',
            *(_section(entry, folder, Mode(run["mode"]), figures) for entry in run["notebooks"]),
            f"<p>Seal of the journals: <code>{html.escape(str(run.get('seal', '')))}</code></p>",
        ]
    )


def _overview(notebooks: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(entry['notebook'])}</td><td>{html.escape(entry['node'] or 'all')}</td>"
        f'<td style="background:{_COLOURS.get(entry["state"], "none")}">{entry["state"]}</td>'
        f"<td>{html.escape(counted(entry['counts']))}</td><td>{entry['seconds']} s</td></tr>"
        for entry in notebooks
    )
    return f"<table><tr><th>notebook</th><th>node</th><th>state</th><th>steps</th><th>time</th></tr>{rows}</table>"


def _figures(executed: Iterable[Path]) -> dict[Path, str]:
    """What the cells with figures show, by notebook. Plotly's code comes once, with the first."""
    found: dict[Path, str] = {}
    for path in executed:
        for part in filter(has_figure, _shown(path)):
            found[path] = found.get(path, "") + (without_code(part) if found else part)
    return found


def _shown(path: Path) -> Iterable[str]:
    """The HTML that the cells of an executed notebook show; nothing of a file that is none."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return
    for output in (output for cell in cells for output in cell.get("outputs", ())):
        yield "".join(output.get("data", {}).get("text/html", ""))


def _section(entry: dict[str, Any], folder: Path, mode: Mode, figures: dict[Path, str]) -> str:
    records = records_of(folder / entry["journal"])
    if not records and not entry["error"]:
        return ""
    label = html.escape(f"{entry['notebook']} on {entry['node']}" if entry["node"] else entry["notebook"])
    error = f"<pre>{html.escape(printable(entry['error']))}</pre>" if entry["error"] else ""
    link = f'<a href="{html.escape(entry["executed"])}">executed notebook</a>'
    drawn = figures.get(folder / entry["executed"], "")
    opened = " open" if drawn or entry["state"] == State.FAILED else ""  # what is folded away has no width to draw on
    table = Table(records, mode)._repr_html_() if records else ""
    head = f"<summary><b>{label}</b>: {entry['state']}</summary>"
    return f'<details{opened}>{head}<p>{link}</p>{error}<div class="scroll">{table}</div>{drawn}</details>'


def counted(counts: dict[str, dict[str, int]]) -> str:
    """How many steps ended how, over all nodes: `14 ok, 3 changed`."""
    totals = {outcome: sum(by.get(outcome, 0) for by in counts.values()) for outcome in map(str, Outcome)}
    return ", ".join(f"{count} {outcome}" for outcome, count in totals.items() if count)
