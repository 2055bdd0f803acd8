"""Power cuts in the middle of notebook 01, a moment after a step was reported, and at once after it has ended.

PIC4SER_CUTS says how often (2; each takes a boot and a part of notebook 01). The moments are spread by what the
journal holds, not by the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import machine_outside as machine
import pytest
from machine_outside import VERA

CUTS = int(os.environ.get("PIC4SER_CUTS", "2"))
STEPS = 21  # how many notebook 01 has on one node
AWAKE = {"swap.off", "kernel.modules_loaded", "kernel.sysctl_set", "services.running_current(containerd)"}
"""What a machine is only while it is on; other steps see to it that it comes back."""
_AFTERMATH = 300.0  # until a run has noticed that its machine is gone


@dataclass(frozen=True)
class Cut:
    """A run whose machine lost its power: how it ended, what it had reported, and what of that was gone afterwards."""

    code: int
    reported: tuple[str, ...]
    gone: tuple[str, ...]


def recorded(runs: Path, before: set[Path]) -> list[str]:
    """The steps that the run that is newer than these has reported as done, in their order."""
    news = [run for run in runs.glob("*") if run not in before]
    lines = [line for run in news for path in run.glob("journal/*.jsonl") for line in path.read_text().splitlines()]
    return [each["step"] for each in _read(lines) if each["outcome"] in ("ok", "changed")]


def ended(site: Path, *, after: int) -> tuple[int, tuple[str, ...]]:
    """Notebook 01, and a power cut once so many steps are reported: how the run ended, and what it had reported."""
    runs = machine.ROOT / "runs" / site.name
    before = set(runs.glob("*"))
    with subprocess.Popen(
        [*machine.PIC4SER, "run", str(site), "--only", "01"], cwd=machine.ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        while run.poll() is None and len(recorded(runs, before)) < after:
            try:
                run.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert run.poll() is None, "the run ended before the cut"
        VERA.cut_the_power()
        reported = tuple(recorded(runs, before))
        try:
            return run.wait(_AFTERMATH), reported
        finally:
            run.kill()


@pytest.fixture(scope="module")
def cuts(site: Path, asked: Path) -> list[Cut]:
    """Each run that lost its machine; the machine is on again, and was asked for what had been reported."""
    seen = []
    for number in range(1, CUTS + 1):
        code, reported = ended(site, after=1 + STEPS * number // (CUTS + 1))
        machine.up(asked)
        asks = machine.pic4ser("verify", str(site), "--only", "01", "--json")
        there = {each["step"] for each in _read(asks.stdout.splitlines()) if each["outcome"] == "ok"}
        assert there, asks.stdout + asks.stderr
        seen.append(Cut(code, reported, tuple(step for step in reported if step not in there | AWAKE)))
    return seen


def test_a_run_whose_machine_is_gone_fails(cuts: list[Cut]) -> None:
    assert len(cuts) == CUTS
    assert 0 not in [cut.code for cut in cuts]


def test_nothing_is_gone_that_was_reported(cuts: list[Cut]) -> None:
    assert all(cut.reported for cut in cuts)
    assert [cut.gone for cut in cuts] == [()] * CUTS


def test_the_same_command_goes_on_and_a_cut_at_once_after_it_loses_nothing(
    cuts: list[Cut], site: Path, asked: Path
) -> None:
    ran = machine.pic4ser("run", str(site), "--only", "01")
    VERA.cut_the_power()
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    machine.up(asked)
    verified = machine.pic4ser("verify", str(site), "--only", "01")
    assert verified.returncode == 0, verified.stdout[-3000:]


def _read(lines: list[str]) -> Iterator[dict[str, str]]:
    """The records among a journal's lines; its last line may be half written."""
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("event") == "record":
            yield told
