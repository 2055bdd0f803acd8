"""How a run looks while it runs, on standard error: a live grid on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from pic4ser_lib.display import printable
from pic4ser_lib.runbook.batch import Standing, State, Tell
from pic4ser_lib.steps import Outcome

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

BEAT = 2.0
"""While something runs, a line comes at least so often (seconds)."""

_SIGNS = {
    State.WAITING: ("·", "dim"),
    State.RUNNING: ("▸", "cyan"),
    State.DONE: ("✓", "green"),
    State.FAILED: ("✗", "bold red"),
    State.STOPPED: ("■", "yellow"),
    State.LEFT_OUT: ("-", "dim"),
}


@contextmanager
def shown(nodes: Sequence[str], *, stream: TextIO | None = None) -> Iterator[Tell]:
    """While entered, what is told is seen: live on a terminal, as lines where standard error is piped."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield Lines(write=lambda line: print(line, file=stream, flush=True))
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=4, transient=False) as live:
        yield lambda standings: live.update(grid(standings, nodes))


class Lines:
    """Plain progress: a line when a notebook begins or ends, and every two seconds what is being done."""

    def __init__(self, *, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._known: dict[str, State] = {}
        self._said_at = clock()

    def __call__(self, standings: Sequence[Standing]) -> None:
        """Say what is new since the last call."""
        for standing in standings:
            label = standing.launch.label
            if standing.state is not self._known.get(label, State.WAITING):
                self._known[label] = standing.state
                self._say(_news(standing))
        if self._clock() - self._said_at >= BEAT:
            for standing in standings:
                if standing.state is State.RUNNING:
                    self._say(doing(standing))

    def _say(self, line: str) -> None:
        self._write(line)
        self._said_at = self._clock()


def doing(standing: Standing) -> str:
    """Which notebook, on which node, what, for how long: in one line."""
    what = printable(standing.doing).replace("\n", " ")
    return f"{standing.launch.label} ({standing.seconds:.0f} s): {what[:160]}"


def grid(standings: Sequence[Standing], nodes: Sequence[str]) -> Group:
    """Notebooks by nodes, and below it what is being done now."""
    from rich.console import Group
    from rich.text import Text

    now = [Text(doing(s), style="dim", overflow="ellipsis", no_wrap=True) for s in standings if _runs(s)]
    return Group(_table(standings, nodes), *now)


def _table(standings: Sequence[Standing], nodes: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("notebook", *nodes, "cluster", "time"):
        table.add_column(name, no_wrap=True)
    for notebook in dict.fromkeys(standing.launch.notebook for standing in standings):
        row = [standing for standing in standings if standing.launch.notebook == notebook]
        cells = [_cell(row, node) for node in (*nodes, "cluster")]
        seconds = max(standing.seconds for standing in row)
        table.add_row(notebook, *cells, f"{seconds:.0f} s" if seconds else "")
    return table


def _cell(row: Sequence[Standing], node: str) -> Text:
    """One notebook on one node: its own process's state, or the whole notebook's where it works on all."""
    from rich.text import Text

    own = [standing for standing in row if standing.launch.node in (node, "")]
    if not own:
        return Text("")
    sign, style = _SIGNS[own[0].state]
    counts = own[0].counts.get(node, {})
    if not counts and not own[0].launch.node and own[0].state is not State.WAITING:
        return Text("")
    return Text(f"{sign} {_figures(counts)}".strip(), style=style)


def _figures(counts: dict[str, int]) -> str:
    """`14 ok`, and what is more than ok: `14 ok 3 changed`."""
    return " ".join(f"{counts[outcome]} {outcome}" for outcome in map(str, Outcome) if counts.get(outcome))


def _runs(standing: Standing) -> bool:
    return standing.state is State.RUNNING


def _news(standing: Standing) -> str:
    label = standing.launch.label
    if standing.state is State.RUNNING:
        return f"{label}: begins"
    steps = "; ".join(f"{node}: {_figures(counts)}" for node, counts in standing.counts.items())
    told = f" ({steps})" if steps else ""
    line = f"{label}: {standing.state.value} after {standing.seconds:.0f} s{told}"
    return f"{line}: {printable(standing.error)}" if standing.error else line
