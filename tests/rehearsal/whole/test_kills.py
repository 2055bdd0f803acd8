"""A run that is killed again and again, and the same command each time: it ends where an undisturbed run ends.

PIC4SER_KILLS says how often (3; `make soak` asks for 20). The moments are spread over the run by what its journals
hold, not by the clock: a busy machine is as far when it is killed as an idle one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cluster_outside import PIC4SER, ROOT, kernels_of_runs, pic4ser
from final_state import whole

RUNS = ROOT / "runs" / "lab"
KILLS = int(os.environ.get("PIC4SER_KILLS", "3"))


def records(before: set[Path]) -> int:
    """How many steps the run that is newer than these has recorded."""
    news = [run for run in RUNS.glob("*") if run not in before]
    return sum(path.read_bytes().count(b'"record"') for run in news for path in run.glob("journal/*.jsonl"))


def killed_after(steps: int) -> bool:
    """Start the run and kill it, and nothing else, once it has recorded so many steps; False if it ended before."""
    before = set(RUNS.glob("*"))
    with subprocess.Popen(
        [*PIC4SER, "run", "parameters/lab"], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        while run.poll() is None:
            if records(before) >= steps:
                run.send_signal(signal.SIGKILL)
                return True
            try:
                run.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    return False


@pytest.fixture(scope="module")
def undisturbed(may_boot: None) -> dict[str, str]:
    """Where a run ends that nobody disturbs: the lab as it is if it is converged, else a fresh one."""
    if pic4ser("verify", "parameters/lab").returncode != 0:
        assert pic4ser("lab", "down").returncode == 0
        assert pic4ser("lab", "up", "--wait").returncode == 0
        ran = pic4ser("run", "parameters/lab")
        assert ran.returncode == 0, ran.stdout[-3000:]
    return whole()


@pytest.fixture(scope="module")
def steps(undisturbed: dict[str, str]) -> int:
    """How many steps a whole run records."""
    newest = max(RUNS.glob("*"), key=lambda run: run.stat().st_mtime)
    return records(set(RUNS.glob("*")) - {newest})


@pytest.fixture(scope="module")
def disturbed(undisturbed: dict[str, str], steps: int) -> dict[str, str]:
    """Where a run ends that was killed at these moments, on machines that were plain before."""
    assert pic4ser("lab", "down").returncode == 0
    assert pic4ser("lab", "up", "--wait").returncode == 0
    kills = sum(killed_after(1 + steps * number // (KILLS + 1)) for number in range(1, KILLS + 1))
    assert kills == KILLS, f"only {kills} of {KILLS} kills hit a run"
    ran = pic4ser("run", "parameters/lab")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    return whole()


def test_it_ends_where_an_undisturbed_run_ends(undisturbed: dict[str, str], disturbed: dict[str, str]) -> None:
    keys = sorted(key for key in {*undisturbed, *disturbed} if undisturbed.get(key) != disturbed.get(key))
    assert [f"{key}: {undisturbed.get(key)} -> {disturbed.get(key)}" for key in keys] == []
    assert len(disturbed) > 300, "too little was seen to compare"


def test_everything_is_proven_afterwards(disturbed: dict[str, str]) -> None:
    verified = pic4ser("verify", "parameters/lab")
    assert verified.returncode == 0, verified.stdout[-3000:]


def test_no_object_of_a_proof_is_left(disturbed: dict[str, str]) -> None:
    assert not [key for key in disturbed if "pic4ser-proof" in key]


def test_no_kernel_of_a_killed_run_is_left(disturbed: dict[str, str]) -> None:
    assert kernels_of_runs() == []
