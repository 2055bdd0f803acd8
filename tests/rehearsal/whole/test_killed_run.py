"""The whole runbook on plain machines, killed again and again, once in the middle of kubeadm's join.

The same command goes on each time, and ends where an undisturbed run ends: final_state.txt says where that is. What
its notebooks show on the way, killed before or not, is the committed text.

PIC4SER_KILLS says how often it is killed, this once included (3; `make soak` asks for 20). The other moments are spread
over the run by what its journals hold, not by the clock: a busy machine is as far when it is killed as an idle one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_outside import PIC4SER, ROOT, differing, kernels_of_runs, node_conditions, pic4ser
from executed_text import committed_text, executed_text, finished
from final_state import committed, whole
from lab_outside import ADDRESSES, on

SITE = "parameters/lab"
RUNS = ROOT / "runs" / "lab"
KILLS = int(os.environ.get("PIC4SER_KILLS", "3"))
STEPS = 299  # as many does a whole run record; it only says where the kills fall


@pytest.fixture(scope="module")
def runs() -> set[Path]:
    """What ran before these tests."""
    return set(RUNS.glob("*"))


@pytest.fixture(scope="module")
def disturbed(plain_machines: None, runs: set[Path]) -> dict[str, str]:
    """Where the same command ends after it was killed at all these moments."""
    moments = [1 + STEPS * number // KILLS for number in range(1, KILLS)]
    assert killed(lambda before: joins("kitt")), "the run ended before kubeadm joined kitt"
    hits = [killed(lambda before, moment=moment: recorded(before) >= moment) for moment in moments]
    assert all(hits), f"only {sum(hits)} of {len(hits)} kills hit a run"
    ran = pic4ser("run", SITE)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    return whole()


def killed(when: Callable[[set[Path]], bool]) -> bool:
    """Start the run and kill it, and nothing else, when that is true of what was there before; False if it ended."""
    before = set(RUNS.glob("*"))
    with subprocess.Popen(
        [*PIC4SER, "run", SITE], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as run:  # fmt: skip
        while run.poll() is None:
            if when(before):
                run.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.2)
    return False


def recorded(before: set[Path]) -> int:
    """How many steps the run that is newer than these has recorded."""
    news = [run for run in RUNS.glob("*") if run not in before]
    return sum(path.read_bytes().count(b'"record"') for run in news for path in run.glob("journal/*.jsonl"))


def joins(node: str) -> bool:
    return "yes" in on(node, "pgrep -x kubeadm >/dev/null && echo yes || true")


def test_it_ends_where_an_undisturbed_run_ends(disturbed: dict[str, str]) -> None:
    assert differing(committed(), disturbed) == []


def test_every_node_is_ready_afterwards(disturbed: dict[str, str]) -> None:
    assert node_conditions() == dict.fromkeys(ADDRESSES, "True")


def test_no_object_of_a_proof_is_left(disturbed: dict[str, str]) -> None:
    assert not [key for key in disturbed if "pic4ser-proof" in key]


def test_no_kernel_of_a_killed_run_is_left(disturbed: dict[str, str]) -> None:
    assert kernels_of_runs() == []


def test_what_its_notebooks_show_is_the_committed_text(disturbed: dict[str, str], runs: set[Path]) -> None:
    """Also where a notebook has changed everything, or only half of it, since a killed run had done the other half."""
    executed = [path for run in set(RUNS.glob("*")) - runs for path in run.glob("notebooks/[0-9]*.ipynb")]
    seen = [path for path in executed if finished(path)]
    assert {path.name[:2] for path in seen} == {f"{number:02}" for number in range(13)}
    assert [path for path in seen if executed_text(path) != committed_text(path)] == []
