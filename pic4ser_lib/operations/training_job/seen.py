"""The state of a job and of each of its workers, and what keeps it from succeeding, by name and cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.operations.training_job.said import Said, said
from pic4ser_lib.operations.training_job.specification import STAMP, Job

# Reasons of a container that waits that no amount of waiting mends.
_HOPELESS = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Worker:
    """One worker: its pod's phase, where it is, what it has said, and why it does not run."""

    index: int
    said: Said
    phase: str = "not created yet"
    node: str = ""
    why: str = ""
    exit_code: int | None = None
    finished: str = ""
    is_hopeless: bool = False

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        if self.why:
            return f"worker {self.index}{where}: {self.why}"
        if self.phase == "Running" and self.said.losses:
            step, loss = self.said.losses[-1]
            return f"worker {self.index}{where}: epoch {self.said.epoch}, step {step}, loss {loss:.4f}"
        return f"worker {self.index}{where}: {self.phase}"


@dataclass(frozen=True)
class Seen:
    """A job as the cluster shows it. `state` is the last condition that holds; empty: there is no such job."""

    state: str
    stamp: str
    message: str
    started: str
    completed: str
    workers: tuple[Worker, ...]
    pods: tuple[str, ...] = ()
    has_operator: bool = True

    def __str__(self) -> str:
        if not self.state:
            return "no such job"
        return "; ".join([self.state, *map(str, self.workers)])

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("Succeeded", "Failed")


def seen(
    job: Job,
    tf_job: Object | None,
    pods: Sequence[Object],
    nodes: Sequence[Object] = (),
    raw: str = "",
    *,
    has_operator: bool = True,
) -> Seen:
    """Everything in one: the job's conditions, its pods, what the nodes have, and the workers' logs."""
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    spoken = said(job, raw)
    workers = tuple(_worker(job, i, by_name.get(job.pod(i)), nodes, spoken[i]) for i in range(job.workers))
    names = tuple(sorted(by_name))
    if tf_job is None:
        return Seen("", "", "", "", "", workers, names, has_operator)
    status = tf_job.get("status", {})
    state, message = _condition(status)
    stamp = tf_job["metadata"].get("annotations", {}).get(STAMP, "")
    started, completed = str(status.get("startTime") or ""), str(status.get("completionTime") or "")
    return Seen(state, stamp, message, started, completed, workers, names)


def cause(found: Seen) -> str:
    """Why the job cannot succeed any more, with the worker's name; empty as long as it still may."""
    crashed = [worker for worker in found.workers if worker.exit_code]
    if first := min(crashed, key=lambda w: (w.finished or "~", w.index), default=None):
        return str(first)
    hopeless = "; ".join(str(worker) for worker in found.workers if worker.is_hopeless)
    if found.state == "Failed" and not hopeless:
        return f"the job failed: {found.message or 'no reason given'}"
    return hopeless


def _condition(status: Object) -> tuple[str, str]:
    held = [one for one in status.get("conditions") or () if one.get("status") == "True"]
    for kind in ("Succeeded", "Failed", "Suspended", "Restarting", "Running", "Created"):
        for one in held:
            if one.get("type") == kind:
                return kind, " ".join(str(one.get("message", "")).split())
    return "Submitted", ""


def _worker(job: Job, index: int, pod: Object | None, nodes: Sequence[Object], spoken: Said) -> Worker:
    if pod is None:
        return Worker(index, spoken)
    status, node = pod.get("status", {}), pod.get("spec", {}).get("nodeName", "")
    phase = status.get("phase", "Pending")
    ended, waiting = _states(status)
    if ended and ended.get("exitCode"):
        tail = f", its log ends: {spoken.last_line}" if spoken.last_line else ""
        why = f"exit code {ended['exitCode']}{_reason(ended)}{tail}"
        return Worker(index, spoken, phase, node, why, ended["exitCode"], str(ended.get("finishedAt", "")))
    if waiting.get("reason") in _HOPELESS:
        why = f"{waiting['reason']}: {_one_line(waiting.get('message'))} (image {job.image})"
        return Worker(index, spoken, phase, node, why, is_hopeless=True)
    if phase == "Failed":  # and no container ended: the kubelet rejected the pod, or evicted it before
        why = f"{status.get('reason') or phase}: {_one_line(status.get('message'))}".removesuffix(": ")
        return Worker(index, spoken, phase, node, why, is_hopeless=True)
    if unplaced := _unplaced(status):
        impossible = _impossible(job, nodes)
        return Worker(index, spoken, phase, node, impossible or unplaced, is_hopeless=bool(impossible))
    return Worker(index, spoken, phase, node)


def _states(status: Object) -> tuple[dict[str, Any], dict[str, Any]]:
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        state = container.get("state", {})
        if state.get("terminated") or state.get("waiting"):
            return state.get("terminated") or {}, state.get("waiting") or {}
    return {}, {}


def _reason(ended: Mapping[str, Any]) -> str:
    """OOMKilled says something; Error does not."""
    return f" ({ended['reason']})" if ended.get("reason") not in (None, "", "Error") else ""


def _unplaced(status: Object) -> str:
    for one in status.get("conditions", ()):
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"{one.get('reason', 'not scheduled')}: {_one_line(one.get('message'))}"
    return ""


def _impossible(job: Job, nodes: Sequence[Object]) -> str:
    """What no waiting for other jobs will bring: more GPUs than a node has, more workers than nodes have them."""
    if not nodes or not job.gpus_per_worker:
        return ""
    gpus = [int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", 0)) for node in nodes]
    if max(gpus) < job.gpus_per_worker:
        return f"it asks for {_gpus(job.gpus_per_worker)}, and no node has more than {max(gpus)}"
    fit = sum(one >= job.gpus_per_worker for one in gpus)
    if fit < job.workers:
        return f"{job.workers} workers ask for {_gpus(job.gpus_per_worker)} each, and only {fit} nodes have as many"
    return ""


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count != 1 else ''}"


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
