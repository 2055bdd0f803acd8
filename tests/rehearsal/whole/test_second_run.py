"""One whole rehearsal, judged from outside the library.

On plain machines the first run is killed in the middle of notebook 02, and the same command goes on. The second run
of the whole runbook changes nothing. In the end the lab goes down, the host is as it was before, and no packet left.

How changing commands are counted: not by a wrapper around the library, but by what they would leave. On the nodes a
write shows in a file's ctime, a restart in the unit's invocation id, a package in dpkg; at the API servers every
writing request is in their own counters. What would leave no trace at all (a command without effect) only the
journal could tell; its actions are counted as well.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

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
from lab_outside import ADDRESSES, Capture, on, outer_interfaces, said

SITE = "parameters/lab"
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
def booted(may_boot: None) -> Iterator[Before]:
    """Plain machines; what the host was like before them is known."""
    assert pic4ser("lab", "down").returncode == 0
    before = host_seen()
    with Capture(outer_interfaces()) as capture:
        up = pic4ser("lab", "up")
        assert up.returncode == 0, up.stderr
        yield Before(before, capture)


@pytest.fixture(scope="module")
def killed(booted: Before) -> subprocess.CompletedProcess[str]:
    """The same command after the first one was killed while kubeadm was joining kitt."""
    with subprocess.Popen(
        [*PIC4SER, "run", SITE], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as first:  # fmt: skip
        try:
            until(lambda: joins("kitt") or first.poll() is not None, "kubeadm join on kitt")
            assert first.poll() is None, f"the first run ended with {first.returncode} before kitt joined"
        finally:
            first.send_signal(signal.SIGKILL)
    return pic4ser("run", SITE)


@pytest.fixture(scope="module")
def again(killed: subprocess.CompletedProcess[str]) -> Again:
    """The whole runbook once more."""
    assert killed.returncode == 0, killed.stdout + killed.stderr
    before = Seen.now()
    ran = pic4ser("run", SITE)
    return Again(before, ran, records(newest_run()), Seen.now())


def until(true: Callable[[], bool], what: str, *, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


def joins(node: str) -> bool:
    return "yes" in on(node, "pgrep -x kubeadm >/dev/null && echo yes || true")


def test_the_same_command_goes_on_after_a_kill_in_the_middle_of_02(killed: subprocess.CompletedProcess[str]) -> None:
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert node_conditions() == {"bonnie": "True", "kitt": "True", "rover": "True"}


def test_no_kernel_of_the_killed_run_is_left(killed: subprocess.CompletedProcess[str]) -> None:
    assert kernels_of_runs() == []


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
