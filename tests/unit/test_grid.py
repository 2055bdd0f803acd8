"""How progress looks: plain lines where it is piped, a grid where it is seen."""

from __future__ import annotations

from pathlib import Path

from pic4ser_lib.runbook.batch import Launch, Standing, State
from pic4ser_lib.runbook.grid import Lines, grid

SETUP = Launch("01_setup", "kitt", Path(), Path(), Path())
CLUSTER = Launch("02_cluster", "", Path(), Path(), Path())


def test_a_line_comes_every_two_seconds_while_something_runs() -> None:
    now, lines = [0.0], list[str]()
    tell = Lines(write=lines.append, clock=lambda: now[0])
    for now[0] in (0.0, 0.5, 1.9, 2.1, 2.5, 4.2):
        tell([Standing(SETUP, State.RUNNING, now[0], "kitt: packages.installed: run: apt-get \x1b[2J")])
    assert lines[0] == "01_setup on kitt: begins"
    assert len(lines) == 3
    assert lines[1].startswith("01_setup on kitt (2 s): kitt: packages.installed: run: apt-get")
    assert "\x1b" not in lines[1]


def test_all_that_runs_side_by_side_is_named_at_each_beat() -> None:
    now, lines = [0.0], list[str]()
    tell = Lines(write=lines.append, clock=lambda: now[0])
    both = [Standing(SETUP, State.RUNNING, 1, "a"), Standing(CLUSTER, State.RUNNING, 1, "b")]
    for now[0] in (0.0, 3.0):
        tell(both)
    assert lines[2:] == ["01_setup on kitt (1 s): a", "02_cluster (1 s): b"]


def test_the_grid_has_notebooks_by_nodes_and_what_is_done_now() -> None:
    from rich.console import Console

    console = Console(width=100, no_color=True)
    done = Standing(SETUP, State.DONE, 12, counts={"kitt": {"ok": 14, "changed": 3}})
    runs = Standing(CLUSTER, State.RUNNING, 3, "cluster: nodes: waits [for] kitt", counts={"bonnie": {"ok": 2}})
    with console.capture() as capture:
        console.print(grid([done, runs], ("bonnie", "kitt")))
    head, setup, cluster, now = capture.get().splitlines()
    assert head.split() == ["notebook", "bonnie", "kitt", "cluster", "time"]
    assert "✓ 14 ok 3 changed" in setup
    assert "▸ 2 ok" in cluster
    assert now == "02_cluster (3 s): cluster: nodes: waits [for] kitt"
