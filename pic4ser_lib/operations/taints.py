"""Taint master nodes: control planes take ordinary pods, or keep them away, as the site says.

kubeadm puts the taint on each control plane; the document takes it off. Other taints stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import pods
from pic4ser_lib.steps import Later, Patch, Proof, Read, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

KEY = "node-role.kubernetes.io/control-plane"
TAINT = {"key": KEY, "effect": "NoSchedule"}


@dataclass(frozen=True)
class ControlPlane:
    """A control plane's taints as the API has them, and the version of the object they were read from."""

    name: str
    taints: tuple[dict[str, Any], ...]
    resource_version: str

    @property
    def keeps_pods_away(self) -> bool:
        """Whether the control plane's taint is on it."""
        return any(_is_ours(taint) for taint in self.taints)


@dataclass(frozen=True)
class ControlPlanes:
    """All control planes of the cluster."""

    nodes: tuple[ControlPlane, ...]

    def __str__(self) -> str:
        tainted = [node.name for node in self.nodes if node.keeps_pods_away]
        if not tainted:
            return "no control plane keeps pods away" if self.nodes else "no control plane"
        return f"{', '.join(tainted)} keep{'s' if len(tainted) == 1 else ''} pods away"


@dataclass(frozen=True)
class Tainted(Step):
    """The control planes have kubeadm's taint, or none of them has it."""

    name: str
    wanted: str
    keeps_pods_away: bool

    def probe(self) -> Read:
        """The nodes that are control planes by their label."""
        return Read("v1", "Node", labels=KEY)

    def parse(self, raw: Sequence[dict[str, Any]]) -> ControlPlanes:
        """Names and taints."""
        found = (_control_plane(node) for node in raw)
        return ControlPlanes(tuple(sorted(found, key=lambda node: node.name)))

    def actions(self, seen: ControlPlanes) -> list[Patch] | Later:
        """A new list of taints for each node where it differs; all other taints are in it again."""
        if not seen.nodes:
            return Later("kubeadm.initialised", "the cluster has no control plane yet")
        return [self._patch(node) for node in seen.nodes if node.keeps_pods_away != self.keeps_pods_away]

    def _patch(self, node: ControlPlane) -> Patch:
        """The version makes the server refuse it when somebody changed the node after we looked."""
        others = [taint for taint in node.taints if not _is_ours(taint)]
        taints = [*others, TAINT] if self.keeps_pods_away else others
        return Patch(
            "v1",
            "Node",
            node.name,
            {"metadata": {"resourceVersion": node.resource_version}, "spec": {"taints": taints}},
        )


def removed() -> Tainted:
    """No control plane keeps ordinary pods away."""
    return Tainted("taints.removed", "the control planes take ordinary pods", keeps_pods_away=False)


def restored() -> Tainted:
    """Every control plane keeps ordinary pods away."""
    return Tainted("taints.restored", "the control planes keep ordinary pods away", keeps_pods_away=True)


def as_wanted(site: Site) -> Tainted:
    """The one or the other, by the site's `pods_on_control_planes`."""
    return removed() if site.pods_on_control_planes else restored()


def scheduling_proof(site: Site) -> Proof:
    """Pods without any toleration are scheduled onto each control plane, or past them where the site says so."""
    return _runs_there(site) if site.pods_on_control_planes else _runs_elsewhere(site)


def _runs_there(site: Site) -> Proof:
    names = [node.name for node in site.control_planes]
    made = tuple(_placed(name, site.sources.images["proof"], required=[name]) for name in names)
    return Proof(
        name="taints.scheduling_proof",
        wanted="an ordinary pod is scheduled onto each control plane and succeeds there",
        pods=made,
        expects={pod["metadata"]["name"]: f"on {name}" for pod, name in zip(made, names, strict=True)},
    )


def _runs_elsewhere(site: Site) -> Proof:
    """A pod that would rather run on a control plane runs on a worker; without a worker there is nothing to show."""
    control_planes, workers = [n.name for n in site.control_planes], [n.name for n in site.workers]
    pod = _placed("worker", site.sources.images["proof"], preferred=control_planes)
    pod["spec"]["containers"][0]["command"][-1] += (
        f"\ncase ' {' '.join(control_planes)} ' in *\" $NODE \"*) exit 1;; esac"
    )
    pod["spec"]["containers"][0]["command"][-1] += "\necho 'on a worker'"
    return Proof(
        name="taints.scheduling_proof",
        wanted="an ordinary pod is scheduled past the control planes",
        pods=(pod,) if workers else (),
        expects={pod["metadata"]["name"]: "on a worker"} if workers else {},
    )


def _placed(name: str, image: str, *, required: Sequence[str] = (), preferred: Sequence[str] = ()) -> dict[str, Any]:
    """A pod for the scheduler, with nodes by name that it must or would rather run on."""
    made = pods.pod(f"scheduled-{pods.label(name)}", image, 'echo "on $NODE"')
    affinity: dict[str, Any] = {}
    if required:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [_named(required)]}
    if preferred:
        terms = [{"weight": 100, "preference": _named([name])} for name in preferred]
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = terms
    made["spec"]["affinity"] = {"nodeAffinity": affinity}
    return made


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": list(names)}]}


def _is_ours(taint: dict[str, Any]) -> bool:
    return taint.get("key") == KEY and taint.get("effect") == TAINT["effect"]


def _control_plane(node: dict[str, Any]) -> ControlPlane:
    meta = node["metadata"]
    return ControlPlane(meta["name"], tuple(node.get("spec", {}).get("taints", [])), meta.get("resourceVersion", ""))
