"""Run a proof: its pods in a namespace of their own, their outcome with its cause, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pic4ser_lib.cluster import claims, pods
from pic4ser_lib.errors import DeadlinePassed, PicError, StepFailed
from pic4ser_lib.pace import rest
from pic4ser_lib.steps import Apply, Delete, Patch, Proof, Read

NAMESPACE = "pic4ser-proof"
# Seconds on machines of usual speed.
_POLL, _REMOVED_WITHIN, _BORN_WITHIN, _PODS_END_WITHIN = 0.5, 120.0, 30.0, 15.0
_TAIL = 12
# Proofs need nothing special of a node: the cluster's own default must neither forbid nor widen that.
_LABELS = {"app.kubernetes.io/managed-by": "pic4ser", "pod-security.kubernetes.io/enforce": "baseline"}

_THE_NAMESPACE = Read("v1", "Namespace", NAMESPACE)
_CLAIMS = Read("v1", "PersistentVolumeClaim", namespace=NAMESPACE)
_PODS, _EVENTS = Read("v1", "Pod", namespace=NAMESPACE), Read("v1", "Event", namespace=NAMESPACE)


class Api(Protocol):
    """What a proof needs of a cluster."""

    def ask(self, questions: Sequence[Read]) -> list[Any]:
        """Read objects."""

    def act(self, action: Apply | Patch | Delete) -> None:
        """Change objects."""

    def log(self, namespace: str, pod: str) -> str:
        """A pod's log."""


@dataclass(frozen=True)
class Clock:
    """Time as a proof sees it; a test brings its own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def prove(
    api: Api, proof: Proof, *, tell: Callable[[str], None], patience: float = 1.0, clock: Clock | None = None
) -> str:
    """The logs of the proof's pods as evidence. Raises StepFailed with the cause that the cluster names.

    `patience` is how many times longer than usual anything may take. The namespace goes first, because a killed run may
    have left one, and goes last, whatever happened.
    """
    run = _Run(api, replace(proof, within=proof.within * patience), tell, clock or Clock(), patience)
    run.remove_namespace()
    try:
        run.make_namespace()
        run.create(proof.objects)
        run.wait_for(proof.objects, "Running and ready", lambda pod: pod.ready)
        run.create(proof.pods)
        run.wait_for(proof.pods, "Succeeded", lambda pod: pod.phase == "Succeeded")
        evidence = run.read_logs()
    except BaseException as error:
        run.remove_namespace_after(error)
        raise
    run.remove_namespace()
    return evidence


@dataclass
class _Run:
    """One run of one proof: its deadline counts from its creation."""

    api: Api
    proof: Proof
    tell: Callable[[str], None]
    clock: Clock
    patience: float
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = self.clock.now() + self.proof.within

    def make_namespace(self) -> None:
        """The namespace, and the service account that the server gives it and that each pod needs."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": _LABELS}}
        self.api.act(Apply((namespace,)))
        account = Read("v1", "ServiceAccount", "default", NAMESPACE)
        self._until(
            "the service account of its namespace", _BORN_WITHIN,
            lambda: "" if self.api.ask([account])[0] else "none yet",
        )  # fmt: skip
        self.deadline = self.clock.now() + self.proof.within

    def create(self, objects: Sequence[dict[str, Any]]) -> None:
        """Objects in the proof's namespace, whatever namespace they name."""
        if objects:
            self.tell(f"{self.proof.name}: creates {', '.join(o['metadata']['name'] for o in objects)}")
        inside = ({**o, "metadata": {**o["metadata"], "namespace": NAMESPACE}} for o in objects)
        self.api.act(Apply(tuple(inside)))

    def wait_for(self, objects: Sequence[dict[str, Any]], state: str, good: Callable[[pods.Pod], bool]) -> None:
        """Until each pod among `objects` is as wanted. Raises StepFailed at once for a pod that never will be."""
        names = {o["metadata"]["name"] for o in objects if o["kind"] == "Pod"}
        while names:
            asked = self.clock.now()
            seen = self._pods(names)
            open_pods = [pod for pod in seen if not good(pod)]
            if lost := [pod for pod in open_pods if pod.hopeless]:
                raise self._failed("; ".join(map(self._with_log, lost)))
            if not open_pods and len(seen) == len(names):
                return
            unbound = self._unbound()
            waiting = "; ".join([*unbound, *map(str, open_pods)]) or "pods that are not there yet"
            if self.clock.now() >= self.deadline:
                seen_last = "; ".join([*unbound, *map(self._with_log, open_pods)])
                raise self._failed(f"after {self.proof.within:.0f} s: {seen_last}")
            self.tell(f"{self.proof.name}: waits for pods to be {state}: {waiting}")
            self.clock.sleep(rest(self.clock.now() - asked, least=_POLL))

    def read_logs(self) -> str:
        """The evidence, each pod's log; a missing line fails the proof. Raises StepFailed."""
        evidence = []
        for pod in self.proof.pods:
            name = pod["metadata"]["name"]
            log, expected = self.api.log(NAMESPACE, name), self.proof.expects.get(name)
            if expected is not None and expected not in map(str.strip, log.splitlines()):
                raise self._failed(f"no line {expected!r} in the log of {name}, which ends: {_tail(log)}")
            evidence.append(f"{name}:\n{log.rstrip()}")
        return "\n".join(evidence)

    def remove_namespace(self) -> None:
        """No namespace of proofs any more, with all that was in it. Raises DeadlinePassed."""
        if self.api.ask([_THE_NAMESPACE])[0] is None:
            return
        self.tell(f"{self.proof.name}: removes namespace {NAMESPACE}")
        # Pods first: a namespace with running pods is looked at again by its controller only after ten seconds.
        for pod in self.api.ask([_PODS])[0]:
            self.api.act(Delete("v1", "Pod", pod["metadata"]["name"], NAMESPACE))
        deadline = self.clock.now() + _PODS_END_WITHIN * self.patience
        while self.api.ask([_PODS])[0] and self.clock.now() < deadline:
            self.clock.sleep(_POLL)
        self.api.act(Delete("v1", "Namespace", NAMESPACE))
        self._until(f"namespace {NAMESPACE} to be gone", _REMOVED_WITHIN, self._left)

    def remove_namespace_after(self, error: BaseException) -> None:
        """The same after a failure, which stays the error that is raised."""
        try:
            self.remove_namespace()
        except PicError as second:
            note = f"Namespace {NAMESPACE} may still be there ({second}); the next proof removes it."
            if isinstance(error, PicError):
                error.remedy = f"{error.remedy} {note}".strip()
            else:
                error.add_note(note)

    def _left(self) -> str:
        """What is left of the namespace, in the words of its controller; "" once it is gone."""
        there = self.api.ask([_THE_NAMESPACE])[0]
        if there is None:
            return ""
        status = there.get("status", {})
        said = [each.get("message", "") for each in status.get("conditions", ()) if each.get("status") == "True"]
        return "; ".join([status.get("phase", "it is there"), *said])

    def _until(self, what: str, seconds: float, lacks: Callable[[], str]) -> None:
        within = seconds * self.patience
        asked = self.clock.now()
        deadline = asked + within
        while missing := lacks():
            if self.clock.now() >= deadline:
                raise DeadlinePassed(waiting_for=what, seconds=within, last_seen=missing, remedy=_CONTROLLERS)
            self.tell(f"{self.proof.name}: waits for {what}")
            self.clock.sleep(rest(self.clock.now() - asked, least=_POLL))
            asked = self.clock.now()

    def _pods(self, names: set[str]) -> list[pods.Pod]:
        found, events = self.api.ask([_PODS, _EVENTS])
        return [pods.seen(pod, events) for pod in found if pod["metadata"]["name"] in names]

    def _unbound(self) -> list[str]:
        """The proof's claims that are not bound: usually the reason why its pods do not start."""
        if not any(o["kind"] == "PersistentVolumeClaim" for o in self.proof.objects):
            return []
        found, events = self.api.ask([_CLAIMS, _EVENTS])
        return [why for claim in found if (why := claims.missing(claim, events))]

    def _with_log(self, pod: pods.Pod) -> str:
        log = self.api.log(NAMESPACE, pod.name)
        return f"{pod}" + (f", its log ends: {_tail(log)}" if log.strip() else "")

    def _failed(self, seen: str) -> StepFailed:
        return StepFailed(
            node="cluster", step=self.proof.name, wanted=self.proof.wanted, seen=seen,
            remedy="What the proof created has been removed; run the cell again once the cause is gone.",
        )  # fmt: skip


_CONTROLLERS = "kube-controller-manager does this: look at its pods in kube-system."


def _tail(log: str) -> str:
    return " | ".join(log.strip().splitlines()[-_TAIL:]) or "empty"
