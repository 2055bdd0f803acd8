"""A second run of the whole runbook, on a site that has converged, changes nothing.

How changing commands are counted: not by a wrapper around the library, but by what they would leave. On the nodes a
write shows in a file's ctime, a restart in the unit's invocation id, a package in dpkg; at the API servers every
writing request is in their own counters. What would leave no trace at all (a command without effect) only the
journal could tell; its actions are counted as well.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from cluster_outside import KUBECONFIG, NodeSeen, differing, newest_run, node_seen, objects, pic4ser, records, writes
from lab_outside import ADDRESSES

CONTROL_PLANES = ("bonnie", "kitt")


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
def again(may_boot: None) -> Again:
    """The whole runbook once more."""
    before = Seen.now()
    ran = pic4ser("run", "parameters/lab")
    return Again(before, ran, records(newest_run()), Seen.now())


def test_it_proves_everything_again(again: Again) -> None:
    assert again.ran.returncode == 0, again.ran.stdout + again.ran.stderr
    assert {record["outcome"] for record in again.records} == {"ok"}


def test_it_takes_no_action_by_its_own_account(again: Again) -> None:
    assert [record["actions"] for record in again.records if record["actions"]] == []


@pytest.mark.parametrize("node", sorted(ADDRESSES))
@pytest.mark.parametrize("what", ["files", "services", "unit_files", "packages"])
def test_it_leaves_a_node_as_it_was(again: Again, node: str, what: str) -> None:
    before, after = getattr(again.before.nodes[node], what), getattr(again.after.nodes[node], what)
    assert len(before) > 3, "too little was seen to compare"
    assert differing(before, after) == []


def test_it_leaves_every_object_as_it_was(again: Again) -> None:
    assert len(again.before.objects) > 100
    assert differing(again.before.objects, again.after.objects) == []


def test_the_api_servers_counted_no_writing_request(again: Again) -> None:
    assert again.before.writes["POST nodes"] >= 3, "the counters do not count what the first run did"
    assert again.after.writes - again.before.writes == Counter()


def test_it_leaves_the_operators_kubeconfig_alone(again: Again) -> None:
    assert again.after.kubeconfig == again.before.kubeconfig
