"""Ctrl-C and kill, from outside: what is recorded, what is said, and that no process stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pic4ser_lib.journal import verify_run
from pic4ser_lib.runbook.report import entries

from .conftest import END, Make, notebook

SLEEPS = """
import time
try:
    keep("first", "ok", node)
    time.sleep(120)
except KeyboardInterrupt:
    journal.write({"event": "stopped between two actions"})
    raise
"""
DEADLINE = 40.0


def until(true: Callable[[], object], what: str) -> None:
    """Wait for something to come true; the deadline is only there so that a broken test ends."""
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"waited {DEADLINE:.0f} s for {what}"
        time.sleep(0.1)


def processes_of(house: Path) -> list[int]:
    """Everything alive that was started for a run in this house, kernels included."""
    marked = f"PIC4SER_RUN_DIR={house}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marked in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class Started:
    """`pic4ser verify` on a house whose notebook sleeps, once the kernels of all its nodes are in that cell."""

    def __init__(self, site: Path, node: str = "*") -> None:
        self.house, self.temporary = site.parent.parent, site.parent.parent / "tmp"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from pic4ser_lib.cli import main; main()", "verify", str(site), "--node", node],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )  # fmt: skip
        kernels = 3 if node == "*" else 1
        until(lambda: len(self.told()) == kernels, "the kernels to sleep")
        self.run = next(self.house.glob("runs/den/*"))

    def told(self) -> list[dict[str, Any]]:
        """What the kernels have written: each of them says something once, at the start of that cell."""
        return [entry for run in self.house.glob("runs/den/*") for entry in entries(run)]

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out + err


def test_ctrl_c_lets_the_cells_end_says_what_is_done_and_leaves_nothing(house: Make) -> None:
    started = Started(house({"01_setup": notebook(SLEEPS, END, per_node=True), "02_next": notebook(END)}).path)
    code, said = started.end(signal.SIGINT)
    assert code == 130
    assert "01_setup  kitt    stopped" in said
    assert "Next: pic4ser verify" in said
    assert sum(entry["event"] == "stopped between two actions" for entry in started.told()) == 3
    assert all(verdict.good for verdict in verify_run(started.run))
    until(lambda: not processes_of(started.house), "no process to be left")


def test_a_closed_terminal_or_a_polite_kill_stops_like_ctrl_c(house: Make) -> None:
    started = Started(house({"01_setup": notebook(SLEEPS, END)}).path, node="kitt")
    assert started.end(signal.SIGTERM)[0] == 130
    until(lambda: not processes_of(started.house), "no process to be left")


def test_no_kernel_outlives_a_killed_batch(house: Make) -> None:
    started = Started(house({"01_setup": notebook(SLEEPS, END)}).path, node="kitt")
    assert len(processes_of(started.house)) == 2, "one process and its kernel"
    assert list(started.temporary.glob("pic4ser-*/kernel.json")), "what its kernel needs is kept here"
    started.end(signal.SIGKILL)
    until(lambda: not processes_of(started.house), "no process to be left")
    assert not list(started.temporary.glob("pic4ser-*/kernel.json"))
