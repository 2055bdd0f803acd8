"""How a run ended, as lines for people: what is done, what failed and why, where the evidence is, what to type next."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pic4ser_lib.display import Table, printable, record_lines
from pic4ser_lib.runbook.batch import Standing, State
from pic4ser_lib.runbook.report import counted, records_of
from pic4ser_lib.runbook.walk import RunResult
from pic4ser_lib.steps import Mode, Outcome, Record


def overview(result: RunResult) -> list[str]:
    """One line a notebook and node, then each failure with its reason, and who was left out."""
    rows = [(s.launch.notebook, s.launch.node or "all", _state(s), counted(s.counts)) for s in result.standings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    table = ["  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3])).rstrip()
             for row in rows]  # fmt: skip
    failures = [f"{s.launch.label}: {printable(s.error)}" for s in result.failed]
    left_out = [f"Left out: {node}, after {_unsaid(why, failures)}" for node, why in result.left_out.items()]
    return [*table, *([""] if failures else []), *failures, *left_out, *([result.stopped] if result.stopped else [])]


def plan(result: RunResult) -> list[str]:
    """What apply would do: every step that is not already so, with its actions and diffs; the rest is counted."""
    return [line for head, records in _open(result) for line in (head, *chain(*map(record_lines, records)))]


def show_plan(result: RunResult) -> None:
    """The same for whoever reads standard output: tables in colour on a terminal, plain lines where it is piped."""
    if not sys.stdout.isatty():
        print("\n".join(plan(result)))
        return
    from rich.console import Console

    console = Console()
    for head, records in _open(result):
        console.print(f"\n{head}", style="bold", markup=False)
        if records:
            console.print(Table(records, result.mode))


def _open(result: RunResult) -> Iterator[tuple[str, tuple[Record, ...]]]:
    """Each notebook's heading, and its records that are not already so."""
    for standing in result.standings:
        if records := records_of(standing.launch.journal):
            left = tuple(record for record in records if record.outcome is not Outcome.OK)
            yield (
                f"{standing.launch.label}: {len(left)} to do or to look at, {len(records) - len(left)} already so",
                left,
            )


def last_lines(result: RunResult, *, site: str, seal: str) -> list[str]:
    """Time taken, where notebooks and evidence are, and the next command."""
    folder = nearest(result.folder)
    how_far = "Stopped; what is done stays done, and the same command goes on from here. " if result.interrupted else ""
    return [
        f"{how_far}Took {duration(result.seconds)}.",
        f"Executed notebooks: {folder}/notebooks/",
        f"Evidence: {folder}/report.html" + (f", sealed {seal}" if seal else ""),
        f"Next: {_next(result, site)}",
    ]


def duration(seconds: float) -> str:
    """Time as one says it: 48 s, 3 min 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def nearest(path: Path) -> str:
    """The shorter one of a path and the same path seen from here."""
    return min(str(path), os.path.relpath(path), key=len)


def _unsaid(why: str, failures: list[str]) -> str:
    """Where a node failed, with the reason unless that stands among the failures already."""
    notebook, _, reason = printable(why).partition(": ")
    return notebook if any(reason in failure for failure in failures) else f"{notebook}: {reason}"


def _state(standing: Standing) -> str:
    return "not run" if standing.state is State.WAITING else standing.state.value


def _next(result: RunResult, site: str) -> str:
    if result.mode is Mode.VERIFY and not result.interrupted:
        return f"pic4ser report {nearest(result.folder)}" if result.succeeded else f"pic4ser plan {site}"
    if result.succeeded:
        return f"pic4ser {'run' if result.mode is Mode.PLAN else 'verify'} {site}"
    return f"pic4ser {'run' if result.mode is Mode.APPLY else result.mode.value} {site}"
