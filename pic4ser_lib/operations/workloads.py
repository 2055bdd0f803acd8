"""Deployments, DaemonSets and StatefulSets as the API shows them: ready, or which pod is not and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Around:
    """What explains a workload: its namespace's pods and warnings, and the last line of containers that crashed."""

    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    logs: Mapping[str, str] = field(default_factory=dict)


def missing(workload: Object, around: Around) -> str:
    """What a workload still lacks, as a sentence with its cause; empty when all its pods are the newest and ready.

    A DaemonSet for which there is no node lacks nothing.
    """
    spec, status = workload.get("spec", {}), workload.get("status", {})
    name = f"{workload['kind']} {workload['metadata']['name']}"
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return f"{name}: its controller has not looked at it yet"
    wanted, ready = _counts(workload["kind"], spec, status)
    if ready >= wanted:
        return ""
    causes = list(_causes(workload, around))
    return f"{name}: {ready} of {wanted} pods are ready" + (f"; {'; '.join(causes)}" if causes else "")


def pods_of(workload: Object, pods: Sequence[Object]) -> list[Object]:
    """Those of a namespace's pods that a workload's selector chooses."""
    labels = workload.get("spec", {}).get("selector", {}).get("matchLabels", {})
    return [pod for pod in pods if labels and labels.items() <= pod["metadata"].get("labels", {}).items()]


def why_not_ready(pod: Object, around: Around) -> str:
    """Why a pod is not ready, in the cluster's own words; empty when it is."""
    status = pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        why = f"{scheduled.get('reason', 'not scheduled')}: {_one_line(scheduled.get('message', ''))}"
        return "; ".join([why, *_about_claims(pod, around)])
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if why := _why_waiting(pod["metadata"]["name"], container, around):
            return why
    return _warned(pod["metadata"]["name"], around) or f"{status.get('phase', 'Pending')}, not ready yet"


def _counts(kind: str, spec: Object, status: Object) -> tuple[int, int]:
    if kind == "DaemonSet":
        ready = min(status.get("numberAvailable", 0), status.get("updatedNumberScheduled", 0))
        return status.get("desiredNumberScheduled", 0), ready
    ready = status.get("availableReplicas" if kind == "Deployment" else "readyReplicas", 0)
    return spec.get("replicas", 1), min(ready, status.get("updatedReplicas", 0))


def _causes(workload: Object, around: Around) -> Iterator[str]:
    pods = pods_of(workload, around.pods)
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"] and (why := why_not_ready(pod, around)):
            node = pod.get("spec", {}).get("nodeName", "")
            yield f"{pod['metadata']['name']}{f' on {node}' if node else ''}: {why}"
    # A quota, a missing service account: then there is no pod, and the warning is about its ReplicaSet.
    if not pods and (why := _warned(workload["metadata"]["name"], around, prefix=True)):
        yield why


def _why_waiting(pod: str, container: Object, around: Around) -> str:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), _one_line(waiting.get("message", ""))
    if not reason or reason in ("ContainerCreating", "PodInitializing"):
        return ""
    if reason == "CrashLoopBackOff":
        ended = container.get("lastState", {}).get("terminated") or {}
        said = around.logs.get(pod, "")
        code = f"exit code {ended.get('exitCode', '?')}" + (f" ({ended['reason']})" if ended.get("reason") else "")
        return f"{reason}: {container.get('name')} ended with {code}" + (f", its log ends: {said}" if said else "")
    return f"{reason}: {message}" if message else reason


def _about_claims(pod: Object, around: Around) -> Iterator[str]:
    """What is said about the claims that a pod uses: one that is not bound keeps it from every node."""
    for volume in pod.get("spec", {}).get("volumes", []):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
        if claim and (why := _warned(claim, around)):
            yield f"claim {claim}: {why}"


def _warned(name: str, around: Around, *, prefix: bool = False) -> str:
    """The newest warning about an object of this name, or about those named after it."""
    about = [event for event in around.events if _is_about(event, name, prefix=prefix)]
    newest = max(about, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), default=None)
    return f"{newest.get('reason', 'warning')}: {_one_line(newest.get('message', ''))}" if newest else ""


def _is_about(event: Object, name: str, *, prefix: bool) -> bool:
    about = str(event.get("involvedObject", {}).get("name", ""))
    same = about == name or (prefix and about.startswith(f"{name}-"))
    return same and event.get("type", "Warning") == "Warning"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
