"""What the finished cluster is made of: the versions of its components, and the members of etcd."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Later, Read, Refused, Settling, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_PKI = "/etc/kubernetes/pki/etcd"
ETCDCTL = (
    f"{KUBECTL} -n kube-system exec etcd-NODE -- etcdctl "
    f"--endpoints=https://127.0.0.1:2379 --cacert={_PKI}/ca.crt --cert={_PKI}/healthcheck-client.crt "
    f"--key={_PKI}/healthcheck-client.key"
)
"""etcdctl in etcd's pod on the control plane NODE, where that has an admin.conf."""
# Its errors apart from its answer: etcd may be silent for a while after a join, and its pod is not listed for minutes
# after it was started anew under an API server that had no etcd meanwhile.
_MEMBERS = f"""
[ -e /etc/kubernetes/admin.conf ] || exit 0
{{ said=$({ETCDCTL} member list -w json 2>&1 >&3); }} 3>&1 || echo "@failed: $(tr '\\n' ' ' <<<"$said")"
"""


@dataclass(frozen=True)
class Running:
    """Pairs of a component and its version, such as ("kubelet on kitt", "v1.36.3")."""

    versions: tuple[tuple[str, str], ...]

    def others(self, wanted: str) -> tuple[str, ...]:
        """The components that run another version."""
        return tuple(f"{name} {version}" for name, version in self.versions if version != wanted)

    def __str__(self) -> str:
        return ", ".join(sorted({version for _, version in self.versions})) or "nothing"


@dataclass(frozen=True)
class VersionsAgree(Step):
    """Every kubelet and every component of the control plane runs the version that the site pins."""

    version: str
    name: str = "kubeadm.versions_agree"
    wanted: str = "every kubelet and control-plane component runs the pinned version"

    def probe(self) -> tuple[Read, Read]:
        """The nodes, and the control planes' static pods."""
        return Read("v1", "Node"), Read("v1", "Pod", namespace="kube-system", labels="tier=control-plane")

    def parse(self, raw: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> Running:
        """A kubelet says its version; the others' is their image's tag."""
        nodes, pods = raw
        kubelets = [(f"kubelet on {n['metadata']['name']}", n["status"]["nodeInfo"]["kubeletVersion"]) for n in nodes]
        return Running(tuple(sorted([*kubelets, *_images(pods)])))

    def actions(self, seen: Running) -> list[Any] | Later:
        """Nothing: what runs is upgraded by its own procedure, not by a changed pin."""
        if not seen.versions:
            return Later("kubeadm.initialised", "the cluster has no nodes yet")
        if others := seen.others(f"v{self.version}"):
            raise Refused(self.wanted, ", ".join(others), _UPGRADE.format(version=self.version))
        return []


@dataclass(frozen=True)
class Members:
    """The members of etcd by name. `silent` is what was said instead of an answer."""

    names: tuple[str, ...]
    learners: tuple[str, ...] = ()
    silent: str = ""

    @property
    def note(self) -> str:
        """How many of them may fail before the cluster's state can no longer be changed."""
        if self.silent:
            return ""
        count = len(self.names) - len(self.learners)
        survives = (count - 1) // 2
        members = f"{count} member{'' if count == 1 else 's'}"
        if survives:
            return f"etcd has {members} and survives {survives} failure{'' if survives == 1 else 's'}"
        more = 3 - count
        hint = f"{more} more control plane{'' if more == 1 else 's'} would let it survive one"
        return f"etcd has {members} and survives no failure; {hint}"

    def __str__(self) -> str:
        return ", ".join(self.names) or ("no answer from etcd" if self.silent else "no etcd")


@dataclass(frozen=True)
class EtcdMembers(Step):
    """Every control plane is a full member of etcd, and nobody else is."""

    first: str
    control_planes: tuple[str, ...]
    name: str = "kubeadm.etcd_members"
    wanted: str = "every control plane is a member of etcd, and nobody else"
    settles_within: float = 60.0

    def probe(self) -> Shell:
        """The list that etcd itself keeps, asked in its pod on the first control plane."""
        return Shell(_MEMBERS.replace("NODE", self.first), on=self.first)

    def parse(self, raw: str) -> Members:
        """Names, and who does not vote yet."""
        if failed := marked(raw).get("failed"):
            return Members((), silent=failed)
        members: Sequence[dict[str, Any]] = json.loads(raw)["members"] if raw.strip() else []
        learners = [m.get("name", "") for m in members if m.get("isLearner")]
        names = sorted(m.get("name") or f"a member that never started ({m['peerURLs'][0]})" for m in members)
        return Members(tuple(names), tuple(sorted(learners)))

    def actions(self, seen: Members) -> list[Any] | Later | Settling:
        """Nothing, or what to wait for; a stranger is refused, because each one costs a vote."""
        if seen.silent:
            return Settling(f"etcd on {self.first} to answer: {seen.silent}")
        if not seen.names:
            return Later("kubeadm.initialised", f"{self.first} has no cluster yet")
        if strangers := sorted(set(seen.names) - set(self.control_planes)):
            raise Refused(
                self.wanted, f"a member that is no control plane of this site: {', '.join(strangers)}", _STRANGER
            )
        if missing := [name for name in self.control_planes if name not in seen.names]:
            return Later("kubeadm.joined", f"{', '.join(missing)} not a member yet")
        return Settling(f"{', '.join(seen.learners)} to become a voting member") if seen.learners else []


_UPGRADE = (
    "A changed pin upgrades nothing that is in use. kubeadm's own procedure does, one minor version at a time: "
    "`kubeadm upgrade apply v{version}` on the first control plane, `kubeadm upgrade node` on the others, then each "
    "node's kubelet after a drain; a kubelet is never newer than the API server. Or put the old version back into "
    "cluster.yaml."
)
_STRANGER = (
    "If that machine is gone for good, `etcdctl member remove` with its ID, in etcd's pod on the first control plane; "
    "if not, name it among control_planes in cluster.yaml."
)


def versions_agree(site: Site) -> VersionsAgree:
    """Every component runs the version that the site pins."""
    return VersionsAgree(site.versions.kubernetes)


def etcd_members(site: Site) -> EtcdMembers:
    """The control planes of the site are the members of etcd; the record's note says how many may fail."""
    return EtcdMembers(site.first.name, tuple(node.name for node in site.control_planes))


def _images(pods: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    found = []
    for pod in pods:
        component = pod["metadata"].get("labels", {}).get("component", "")
        if component in _COMPONENTS:
            image = pod["spec"]["containers"][0]["image"]
            found.append((f"{component} on {pod['spec'].get('nodeName', '?')}", image.rpartition(":")[2]))
    return found
