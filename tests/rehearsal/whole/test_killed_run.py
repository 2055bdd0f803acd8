"""One whole rehearsal, judged from outside the library.

On plain machines a run is killed again and again, once in the middle of kubeadm's join, and the same command goes on
each time: it ends where an undisturbed run ends. A second run of the whole runbook then changes nothing. In the end the
lab goes down, the host is as it was before, and no packet left.

PIC4SER_KILLS says how often it is killed besides (3; `make soak` asks for 20). The moments are spread over the run by
what its journals hold, not by the clock: a busy machine is as far when it is killed as an idle one.

How changing commands are counted: not by a wrapper around the library, but by what they would leave. On the nodes a
write shows in a file's ctime, a restart in the unit's invocation id, a package in dpkg; at the API servers every
writing request is in their own counters. What would leave no trace at all (a command without effect) only the
journal could tell; its actions are counted as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cluster_outside import (
    KUBECONFIG,
    PIC4SER,
    ROOT,
    NodeSeen,
    differing,
    host_differs,
    host_seen,
    kernels_of_runs,
    newest_run,
    node_conditions,
    node_seen,
    objects,
    pic4ser,
    records,
    writes,
)
from final_state import whole
from lab_outside import ADDRESSES, Capture, on, outer_interfaces, said

SITE = "parameters/lab"
RUNS = ROOT / "runs" / "lab"
KILLS = int(os.environ.get("PIC4SER_KILLS", "3"))
CONTROL_PLANES = ("bonnie", "kitt")


@dataclass
class Before:
    """The host before the lab, and the eye on its outer interfaces since then."""

    host: dict[str, str]
    capture: Capture


@dataclass(frozen=True)
class Seen:
    """The whole site at one moment."""

    nodes: dict[str, NodeSeen]
    objects: dict[str, str]
    writes: Counter[str]
    kubeconfig: int = field(default_factory=lambda: KUBECONFIG.stat().st_ctime_ns)

    @classmethod
    def now(cls) -> Seen:
        """Looks at nodes, objects and counters."""
        with ThreadPoolExecutor() as pool:
            nodes = dict(zip(ADDRESSES, pool.map(node_seen, ADDRESSES), strict=True))
        return cls(nodes, objects(), sum((writes(ADDRESSES[name]) for name in CONTROL_PLANES), Counter()))


@dataclass(frozen=True)
class Again:
    """A run of the whole runbook on a converged site: what was there before it, what it said, what was there after."""

    before: Seen
    ran: subprocess.CompletedProcess[str]
    records: list[dict[str, object]]
    after: Seen


@pytest.fixture(scope="module")
def undisturbed(may_boot: None) -> dict[str, str]:
    """Where a run ends that nobody disturbs: the lab as it is if it is converged, else a fresh one."""
    if pic4ser("verify", SITE).returncode != 0:
        assert pic4ser("lab", "down").returncode == 0
        assert pic4ser("lab", "up", "--wait").returncode == 0
        ran = pic4ser("run", SITE)
        assert ran.returncode == 0, ran.stdout[-3000:]
    return whole()


@pytest.fixture(scope="module")
def steps(undisturbed: dict[str, str]) -> int:
    """How many steps a whole run records."""
    return recorded(set(RUNS.glob("*")) - {newest_run()})


@pytest.fixture(scope="module")
def booted(undisturbed: dict[str, str]) -> Iterator[Before]:
    """Plain machines; what the host was like before them is known."""
    assert pic4ser("lab", "down").returncode == 0
    before = host_seen()
    with Capture(outer_interfaces()) as capture:
        up = pic4ser("lab", "up", "--wait")
        assert up.returncode == 0, up.stderr
        yield Before(before, capture)


@pytest.fixture(scope="module")
def disturbed(booted: Before, steps: int) -> dict[str, str]:
    """Where the same command ends after it was killed at all these moments."""
    moments = [1 + steps * number // (KILLS + 1) for number in range(1, KILLS + 1)]
    assert killed(lambda before: joins("kitt")), "the run ended before kubeadm joined kitt"
    hits = [killed(lambda before, moment=moment: recorded(before) >= moment) for moment in moments]
    assert all(hits), f"only {sum(hits)} of {KILLS} kills hit a run"
    ran = pic4ser("run", SITE)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    return whole()


@pytest.fixture(scope="module")
def again(disturbed: dict[str, str]) -> Again:
    """The whole runbook once more."""
    before = Seen.now()
    ran = pic4ser("run", SITE)
    return Again(before, ran, records(newest_run()), Seen.now())


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


# ------------------------------------------------------------------------------------- a run that was killed


def test_it_ends_where_an_undisturbed_run_ends(undisturbed: dict[str, str], disturbed: dict[str, str]) -> None:
    assert differing(undisturbed, disturbed) == []
    assert len(disturbed) > 300, "too little was seen to compare"


def test_every_node_is_ready_afterwards(disturbed: dict[str, str]) -> None:
    assert node_conditions() == {"bonnie": "True", "kitt": "True", "rover": "True"}


def test_no_object_of_a_proof_is_left(disturbed: dict[str, str]) -> None:
    assert not [key for key in disturbed if "pic4ser-proof" in key]


def test_no_kernel_of_a_killed_run_is_left(disturbed: dict[str, str]) -> None:
    assert kernels_of_runs() == []


# ---------------------------------------------------------------------------------------------- a second run


def test_a_second_run_proves_everything_again(again: Again) -> None:
    assert again.ran.returncode == 0, again.ran.stdout + again.ran.stderr
    assert {record["outcome"] for record in again.records} == {"ok"}


def test_a_second_run_takes_no_action_by_its_own_account(again: Again) -> None:
    assert [record["actions"] for record in again.records if record["actions"]] == []


@pytest.mark.parametrize("node", sorted(ADDRESSES))
@pytest.mark.parametrize("what", ["files", "services", "unit_files", "packages"])
def test_a_second_run_leaves_a_node_as_it_was(again: Again, node: str, what: str) -> None:
    before, after = getattr(again.before.nodes[node], what), getattr(again.after.nodes[node], what)
    assert len(before) > 3, "too little was seen to compare"
    assert differing(before, after) == []


def test_a_second_run_leaves_every_object_as_it_was(again: Again) -> None:
    assert len(again.before.objects) > 100
    assert differing(again.before.objects, again.after.objects) == []


def test_the_api_servers_counted_no_writing_request(again: Again) -> None:
    assert again.before.writes["POST nodes"] >= 3, "the counters do not count what the first run did"
    assert again.after.writes - again.before.writes == Counter()


def test_a_second_run_leaves_the_operators_kubeconfig_alone(again: Again) -> None:
    assert again.after.kubeconfig == again.before.kubeconfig


def test_after_down_the_host_is_as_it_was_and_no_packet_has_left(booted: Before, again: Again) -> None:
    assert again.ran.returncode == 0
    down = pic4ser("lab", "down")
    assert down.returncode == 0, down.stdout
    assert host_differs(booted.host, host_seen()) == []
    assert said("podman", "ps", "--all", "--quiet", "--filter", "label=pic4ser.lab") == ""
    booted.capture.__exit__(None, None, None)
    assert booted.capture.alive, "tcpdump ended early: nothing is known about what left"
    assert booted.capture.packets() == []
