"""A proof's life against a cluster that plays its part in memory: causes at once, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pic4ser_lib.cluster import pods
from pic4ser_lib.cluster.proving import NAMESPACE, Clock, prove
from pic4ser_lib.errors import ClusterError, DeadlinePassed, StepFailed
from pic4ser_lib.steps import Apply, Delete, Patch, Proof, Read

PENDING = {"phase": "Pending"}
RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
DONE = {"phase": "Succeeded"}


TERMINATING = {
    "status": {
        "phase": "Terminating",
        "conditions": [
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all discovered"},
            {"type": "NamespaceDeletionContentFailure", "status": "True", "message": "1 remaining: pods"},
        ],
    }
}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"state": state}]}


FAILED = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "2 had taints"}],
}


@dataclass
class Cluster:
    """Keeps what it is told, and plays each pod's states one a look; not a judge of anything."""

    states: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    held: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    lingers: int = 0
    broken: Callable[[Apply | Patch | Delete], BaseException | None] = lambda action: None

    def ask(self, questions: Sequence[Read]) -> list[Any]:
        return [self._one(question) for question in questions]

    def act(self, action: Apply | Patch | Delete) -> None:
        if error := self.broken(action):
            raise error
        if isinstance(action, Apply):
            for obj in action.objects:
                assert obj["kind"] == "Namespace" or obj["metadata"]["namespace"] == NAMESPACE
                self.held[obj["kind"], obj["metadata"]["name"]] = obj
                self.did.append(f"apply {obj['metadata']['name']}")
        if isinstance(action, Delete):
            self.did.append(f"delete {action.name}")
            self.held.pop((action.kind, action.name), None)
            if action.kind == "Namespace":
                self.held.clear()
                if self.lingers:
                    self.held["Namespace", NAMESPACE] = TERMINATING

    def log(self, namespace: str, pod: str) -> str:
        return self.logs.get(pod, "")

    def _one(self, question: Read) -> Any:
        if question.kind == "Event":
            return self.events
        if question.kind == "Pod":
            return [self._played(obj) for (kind, _), obj in self.held.items() if kind == "Pod"]
        if question.kind == "PersistentVolumeClaim":
            return [obj for (kind, _), obj in self.held.items() if kind == question.kind]
        if question.kind == "ServiceAccount":
            return {"metadata": {"name": "default"}}
        seen = self.held.get((question.kind, question.name))
        if seen is TERMINATING:
            self.lingers -= 1
            if self.lingers <= 0:
                self.held.clear()
        return seen

    def _played(self, pod: dict[str, Any]) -> dict[str, Any]:
        states = self.states.get(pod["metadata"]["name"], [PENDING])
        return {**pod, "status": states.pop(0) if len(states) > 1 else states[0]}


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pod(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": "kitt"}}


def a_proof(**changes: Any) -> Proof:
    given: dict[str, Any] = {"pods": (pod("client"),), "expects": {"client": "all 3 reached"}, **changes}
    return Proof(name="network.proof", wanted="pods reach each other", **given)


def run(cluster: Cluster, proof: Proof, told: list[str] | None = None, *, patience: float = 1.0) -> str:
    time = Time()
    tell, clock = (told if told is not None else []).append, Clock(lambda: time.now, time.sleep)
    return prove(cluster, proof, tell=tell, patience=patience, clock=clock)


def test_the_evidence_is_what_the_pods_wrote_and_nothing_stays() -> None:
    cluster = Cluster({"client": [PENDING, RUNNING, DONE]}, {"client": "kitt -> rover: ok\nall 3 reached\n"})
    assert run(cluster, a_proof()) == "client:\nkitt -> rover: ok\nall 3 reached"
    assert cluster.held == {}


def test_servers_are_ready_before_clients_start() -> None:
    cluster = Cluster({"server": [PENDING, PENDING, RUNNING], "client": [DONE]}, {"client": "all 3 reached\n"})
    told: list[str] = []
    run(cluster, a_proof(objects=(pod("server"),)), told)
    assert cluster.did[:3] == [f"apply {NAMESPACE}", "apply server", "apply client"]
    assert any("server on kitt: Pending" in line for line in told)


def test_what_a_killed_run_left_is_removed_first() -> None:
    cluster = Cluster({"client": [DONE]}, {"client": "all 3 reached\n"})
    cluster.held = {("Namespace", NAMESPACE): {}, ("Pod", "old"): pod("old")}
    run(cluster, a_proof())
    assert cluster.did[:3] == ["delete old", f"delete {NAMESPACE}", f"apply {NAMESPACE}"]


def test_a_line_that_is_missing_fails_the_proof() -> None:
    cluster = Cluster({"client": [DONE]}, {"client": "all 2 reached\n"})
    with pytest.raises(StepFailed, match="no line 'all 3 reached' in the log of client, which ends: all 2 reached"):
        run(cluster, a_proof())
    assert cluster.held == {}


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (
            waiting("ImagePullBackOff", "manifest unknown"),
            r"client on kitt: Pending \(ImagePullBackOff: manifest unknown",
        ),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError", "runAsNonRoot"), "runAsNonRoot"),
        (FAILED, r"Failed \(exit code 1\), its log ends: kitt -> rover: no answer"),
    ],
)
def test_a_pod_without_hope_ends_the_proof_at_once_and_names_the_cause(state: dict[str, Any], cause: str) -> None:
    cluster = Cluster({"client": [PENDING, state]}, {"client": "kitt -> rover: no answer\n"})
    with pytest.raises(StepFailed, match=cause) as raised:
        run(cluster, a_proof())
    assert "after" not in raised.value.seen
    assert cluster.held == {}


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (UNSCHEDULABLE, "Unschedulable: 2 had taints"),
        (waiting("ErrImagePull", "connection reset"), "ErrImagePull: connection reset"),
    ],
)
def test_a_pod_that_may_still_come_is_waited_for_until_the_deadline(state: dict[str, Any], cause: str) -> None:
    cluster, told = Cluster({"client": [state]}), list[str]()
    with pytest.raises(StepFailed, match=f"after 120 s: client on kitt: Pending .{cause}"):
        run(cluster, a_proof(), told)
    assert any(cause in line for line in told)


def test_a_pod_whose_containers_are_not_made_is_explained_by_its_warning() -> None:
    cluster = Cluster({"client": [waiting("ContainerCreating")]})
    cluster.events = [
        {"type": "Warning", "involvedObject": {"name": "client"}, "reason": "FailedCreatePodSandBox",
         "message": "no subnet.env", "lastTimestamp": "2026-11-24T05:00:00Z"},
        {"type": "Normal", "involvedObject": {"name": "client"}, "reason": "Scheduled", "message": "ok"},
    ]  # fmt: skip
    with pytest.raises(StepFailed, match=r"FailedCreatePodSandBox: no subnet\.env"):
        run(cluster, a_proof())


def test_ctrl_c_leaves_nothing_behind_and_stays_ctrl_c() -> None:
    cluster = Cluster({"client": [RUNNING]})

    def stop(line: str) -> None:
        if "waits for pods to be Succeeded" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(cluster, a_proof(), tell=stop)
    assert cluster.held == {}


def test_an_api_that_fails_while_cleaning_up_does_not_hide_the_cause() -> None:
    cluster = Cluster({"client": [FAILED]})
    gone = ClusterError(reason="no answer", object="API server")
    cluster.broken = lambda action: gone if isinstance(action, Delete) else None
    with pytest.raises(StepFailed, match="exit code 1") as raised:
        run(cluster, a_proof())
    assert "may still be there" in raised.value.remedy


def test_a_pod_that_runs_is_not_explained_away() -> None:
    assert str(pods.seen({**pod("client"), "status": RUNNING})) == "client on kitt: Running"


def test_a_claim_that_stays_pending_is_named_with_its_reason() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    about = {"kind": "PersistentVolumeClaim", "name": "data"}
    said = [("ExternalProvisioning", "waiting", "08:00"), ("ProvisioningFailed", "mkdir: permission denied", "08:01")]
    events = [{"involvedObject": about, "reason": r, "message": m, "lastTimestamp": t} for r, m, t in said]
    cluster = Cluster({"client": [UNSCHEDULABLE]}, events=events)
    with pytest.raises(StepFailed) as caught:
        run(cluster, a_proof(objects=(claim,)))
    assert "claim data: Pending (ProvisioningFailed: mkdir: permission denied); client" in caught.value.seen
    assert cluster.held == {}


def test_a_claim_that_is_bound_is_not_waited_for() -> None:
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "status": {"phase": "Bound"}}
    cluster = Cluster({"client": [PENDING, DONE]}, {"client": "all 3 reached"})
    told: list[str] = []
    run(cluster, a_proof(objects=(claim,)), told)
    assert not [line for line in told if "claim" in line]


def _stays() -> Cluster:
    return Cluster({"client": [DONE]}, {"client": "all 3 reached"}, lingers=1000)


def test_a_namespace_that_stays_is_told_with_what_is_left_in_it() -> None:
    with pytest.raises(DeadlinePassed, match=r"waited 120 s .*last seen: Terminating; 1 remaining: pods"):
        run(_stays(), a_proof())


def test_on_a_slow_site_it_may_take_longer_to_go() -> None:
    assert "all 3 reached" in run(_stays(), a_proof(), patience=10.0)
