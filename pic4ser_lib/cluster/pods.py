"""What keeps a pod from succeeding, in the cluster's own words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Waiting reasons that no amount of waiting mends, or that come after the kubelet has tried already.
_HOPELESS = frozenset({
    "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CrashLoopBackOff",
})  # fmt: skip


@dataclass(frozen=True)
class Pod:
    """A pod as a proof sees it: `why` names what it waits for or why it failed; `hopeless`: waiting is of no use."""

    name: str
    node: str
    phase: str
    ready: bool
    why: str = ""
    hopeless: bool = False

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        return f"{self.name}{where}: {self.phase}" + (f" ({self.why})" if self.why else "")


def seen(pod: dict[str, Any], events: Iterable[dict[str, Any]] = ()) -> Pod:
    """What a pod's status says; `events` of its namespace explain one whose containers are still being created."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    containers = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    reason, message, hopeless = _waiting(containers)
    phase = status.get("phase", "Pending")
    if phase == "Failed":
        reason, message, hopeless = _ended(status, containers)
    elif not reason or reason in ("ContainerCreating", "PodInitializing"):
        reason, message = _unscheduled(status) or _warned(meta["name"], events) or (reason, message)
    return Pod(
        meta["name"], spec.get("nodeName", ""), phase, _is_ready(status),
        f"{reason}: {message}" if reason and message else reason or message, hopeless,
    )  # fmt: skip


def _waiting(containers: list[dict[str, Any]]) -> tuple[str, str, bool]:
    for container in containers:
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            reason = str(waiting.get("reason", ""))
            return reason, str(waiting.get("message", "")), reason in _HOPELESS
    return "", "", False


def _ended(status: dict[str, Any], containers: list[dict[str, Any]]) -> tuple[str, str, bool]:
    for container in containers:
        ended = container.get("state", {}).get("terminated")
        if ended and ended.get("exitCode"):
            return f"exit code {ended['exitCode']}", str(ended.get("message", "")), True
    return str(status.get("reason", "Failed")), str(status.get("message", "")), True


def _unscheduled(status: dict[str, Any]) -> tuple[str, str] | None:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("reason", "")), str(condition.get("message", ""))
    return None


def _warned(name: str, events: Iterable[dict[str, Any]]) -> tuple[str, str] | None:
    """The newest warning about a pod: an image that cannot be pulled, a network that cannot be set up."""
    about = [e for e in events if e.get("type") == "Warning" and e.get("involvedObject", {}).get("name") == name]
    newest = max(about, key=_when, default=None)
    return (str(newest.get("reason", "")), " ".join(str(newest.get("message", "")).split())) if newest else None


def _when(event: dict[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _is_ready(status: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
