"""Whether nodes are Ready and why not, before flannel and after it, with the document's restart for the stubborn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Decision, Later, Read, Restart, Settling, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

GRACE = 30.0
"""Seconds that a node may stay NotReady although flannel is ready on it, before its services are restarted."""

_UNITS = ("containerd", "kubelet")
_SELF = """
for unit in containerd kubelet; do
  since=$(systemctl show "$unit" -p ActiveEnterTimestampMonotonic --value 2>/dev/null || true)
  echo "$(( ($(sed 's/[.].*//' /proc/uptime) * 1000000 - ${since:-0}) / 1000000 ))"
done
"""
_CLUSTER = """
[ -e /etc/kubernetes/admin.conf ] || exit 0
k="KUBECTL"
set -e
node=$($k get node NODE --ignore-not-found -o jsonpath='{.status.conditions}')
pod=$($k -n kube-flannel get pod -l app=flannel --field-selector spec.nodeName=NODE \\
  -o jsonpath='{range .items[*]}{.status.conditions}{"\\n"}{end}' | head -n 1)
echo "@now: $(date -u +%FT%TZ)"
echo "@node: $node"
echo "@pod: $pod"
""".replace("KUBECTL", KUBECTL)


@dataclass(frozen=True)
class Reasons:
    """Each node with what its conditions say, and those that lack something else than their network."""

    nodes: tuple[tuple[str, str], ...]
    others: tuple[str, ...]

    @property
    def note(self) -> str:
        """One clause a node."""
        return "; ".join(f"{name}: {why}" for name, why in self.nodes)

    def __str__(self) -> str:
        return self.note or "no nodes"


@dataclass(frozen=True)
class LookedAt(Step):
    """The document's look: a node that is not Ready waits for its network, and for nothing else."""

    name: str = "flannel.looked_at"
    wanted: str = "each node is Ready, or waits for its network and nothing else"
    settles_within: float = 60.0

    def probe(self) -> Read:
        """All nodes."""
        return Read("v1", "Node")

    def parse(self, raw: list[dict[str, Any]]) -> Reasons:
        """The conditions that the document looks for with `kubectl describe node`."""
        nodes = sorted((node["metadata"]["name"], *_said(_conditions(node))) for node in raw)
        others = tuple(name for name, _, fits in nodes if not fits)
        return Reasons(tuple((name, why) for name, why, _ in nodes), others)

    def actions(self, seen: Reasons) -> list[Any] | Later | Settling:
        """Nothing: a node that has just joined needs some seconds to know what it lacks."""
        if not seen.nodes:
            return Later("kubeadm.initialised", "the cluster has no nodes yet")
        return (
            Settling("; ".join(f"{name}: {why}" for name, why in seen.nodes if name in seen.others))
            if seen.others
            else []
        )


@dataclass(frozen=True)
class Readiness:
    """A node's condition, for how long flannel has been ready on it, and how long both services have been running."""

    why: str
    is_ready: bool = False
    is_known: bool = True
    network_seconds: float = -1.0
    service_seconds: float = 0.0

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True)
class Ready(Step):
    """The node is Ready; the document's restart is done when its network has been there for a while to no effect."""

    node: str
    first: str
    name: str = "flannel.ready"
    wanted: str = "the node is Ready"
    settles_within: float = 180.0

    def probe(self) -> tuple[Shell, Shell]:
        """How long the node's services have been running; what the cluster says of the node, and since when."""
        return Shell(_SELF), Shell(_CLUSTER.replace("NODE", self.node), on=self.first)

    def parse(self, raw: tuple[str, str]) -> Readiness:
        """The cluster's part: its clock, the node's conditions, those of flannel's pod there."""
        said = marked(raw[1])
        if not said.get("node"):
            return Readiness("not registered" if said else "no cluster yet", is_known=False)
        conditions = _by_type(json.loads(said["node"]))
        why, _ = _said(conditions)
        network = _by_type(json.loads(said["pod"] or "[]")).get("Ready", {})
        is_up = network.get("status") == "True"
        seconds = _seconds(network["lastTransitionTime"], said["now"]) if is_up else -1.0
        is_ready = conditions.get("Ready", {}).get("status") == "True"
        return Readiness(why, is_ready, True, seconds, min(map(float, raw[0].split())))

    def actions(self, seen: Readiness) -> Decision:
        """Restart what has had its network for longer than the grace, and was not restarted since."""
        if not seen.is_known:
            return Later("kubeadm.joined", f"{self.node}: {seen}")
        if seen.is_ready:
            return []
        if seen.network_seconds > GRACE and seen.service_seconds > GRACE:
            why = f"{self.node} has its network and is not Ready"
            return [Restart(unit, why) for unit in _UNITS]
        return Settling(str(seen))


def looked_at(site: Site) -> LookedAt:
    """A look at why nodes are not Ready; the record's note has each node's reason."""
    return LookedAt()


def ready(site: Site, node: Node) -> Ready:
    """This node is Ready; containerd and kubelet are restarted when that does not come by itself."""
    return Ready(node.name, site.first.name)


def _conditions(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return _by_type(node.get("status", {}).get("conditions", []))


def _by_type(conditions: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in conditions}


def _said(conditions: dict[str, dict[str, Any]]) -> tuple[str, bool]:
    """What the conditions say, and whether the node is Ready or lacks no more than its network."""
    ready, network = conditions.get("Ready", {}), conditions.get("NetworkUnavailable", {})
    if ready.get("status") == "True":
        by = {"FlannelIsUp": "flannel"}.get(network.get("reason", ""), "")
        return "Ready" + (f", network from {by}" if by else ""), True
    message = " ".join(str(ready.get("message", "it has said nothing yet")).split())
    state = "NotReady" if ready.get("status") == "False" else "unknown"
    unavailable = f"; NetworkUnavailable: {network.get('message')}" if network.get("status") == "True" else ""
    lacks_network = "NetworkReady=false" in message or "cni plugin not initialized" in message
    return f"{state}: {message}{unavailable}", ready.get("status") == "False" and lacks_network


def _seconds(since: str, now: str) -> float:
    return (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
