"""How a run ended, as lines for people: what is done, what failed and why, where the evidence is, what to type next."""

from __future__ import annotations

import os
from pathlib import Path

from pic4ser_lib.display import outcomes, printable, record_lines
from pic4ser_lib.runbook.batch import Standing, State
from pic4ser_lib.runbook.report import counted, records_of
from pic4ser_lib.runbook.walk import RunResult
from pic4ser_lib.steps import Mode, Outcome


def overview(result: RunResult) -> list[str]:
    """One line a notebook and node, then each failure with its reason, and who was left out."""
    rows = [(s.launch.notebook, s.launch.node or "all", _state(s), counted(s.counts)) for s in result.standings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    table = ["  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3])).rstrip()
             for row in rows]  # fmt: skip
    failures = [f"{s.launch.label}: {printable(s.error)}" for s in result.failed]
    left_out = [f"Left out after that: {', '.join(result.left_out)}."] if result.left_out else []
    return [*table, *([""] if failures else []), *failures, *left_out, *([result.stopped] if result.stopped else [])]


def plan(result: RunResult) -> list[str]:
    """What apply would do: every step that is not already so, with its actions and diffs; the rest is counted."""
    lines: list[str] = []
    for standing in result.standings:
        records = records_of(standing.launch.journal)
        open_ones = [record for record in records if record.outcome is not Outcome.OK]
        if records:
            count = outcomes(records).get(Outcome.OK, 0)
            lines += [f"{standing.launch.label}: {len(open_ones)} to do or to look at, {count} already so"]
        lines += [line for record in open_ones for line in record_lines(record)]
    return lines


def last_lines(result: RunResult, *, site: str, seal: str) -> list[str]:
    """Time taken, where the evidence is, and the next command."""
    folder = nearest(result.folder)
    how_far = "Stopped; what is done stays done, and the same command goes on from here. " if result.interrupted else ""
    return [
        f"{how_far}Took {duration(result.seconds)}.",
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


def _state(standing: Standing) -> str:
    return "not run" if standing.state is State.WAITING else standing.state.value


def _next(result: RunResult, site: str) -> str:
    if result.interrupted or (result.mode is Mode.APPLY and not result.succeeded):
        return f"pic4ser {'run' if result.mode is Mode.APPLY else result.mode.value} {site}"
    verbs = {Mode.PLAN: "run", Mode.APPLY: "verify", Mode.VERIFY: "report" if result.succeeded else "plan"}
    verb = verbs[result.mode]
    return f"pic4ser report {nearest(result.folder)}" if verb == "report" else f"pic4ser {verb} {site}"
