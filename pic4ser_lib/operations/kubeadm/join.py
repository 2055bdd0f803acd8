"""`kubeadm join` by a node's role, with secrets made at that moment, and every state in which it must not be run.

One that began here and did not come to its end is cleared away and begun anew; one that nobody knows of is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.kubeadm import configuration, unfinished
from pic4ser_lib.operations.kubeadm.membership import Membership, membership, question
from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Action, Content, Decision, Later, Refused, Run, Secret, Settling, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

# The configuration, with the token in it, comes on standard input and is never a file. `cat` makes a pipe of it,
# which kubeadm can open by name.
_JOIN = "set -o pipefail; cat | kubeadm join --config /dev/stdin"
_TOKEN = "kubeadm token create --ttl 2h --description 'pic4ser join'"
_KEY = "set -o pipefail; kubeadm init phase upload-certs --upload-certs | tail -n 1"
_CA_HASH = "CA_HASH"
_REGISTERS_WITHIN = 120.0
_LABEL = "node-role.kubernetes.io/control-plane"
# The hash of the CA's public key is what a joining node recognises the cluster by; it is public.
_CLUSTER = """
e=/etc/kubernetes
k() { KUBECTL "$@"; }
if [ -e $e/admin.conf ]; then
  ready=$(k get --raw /readyz 2>&1 || true)
  echo "@readyz: $(echo "$ready" | tr '\\n' ' ')"
  if node=$(k get node NODE --ignore-not-found -o jsonpath='{.metadata.labels}{.status.conditions}'); then
    echo "@node: $node"
  elif [ "$ready" = ok ]; then
    echo "@readyz: kubectl get node failed"
  fi
  echo "@ca: $(sha256sum <$e/pki/ca.crt | cut -d ' ' -f 1)"
  if command -v openssl >/dev/null; then
    key() { openssl x509 -pubkey -noout -in $e/pki/ca.crt | openssl pkey -pubin -outform DER; }
    echo "@hash: $(key | sha256sum | cut -d ' ' -f 1)"
  fi
fi
""".replace("KUBECTL", KUBECTL)


@dataclass(frozen=True)
class Registered:
    """A node as the cluster knows it."""

    is_ready: bool
    is_control_plane: bool


@dataclass(frozen=True)
class Joining:
    """Both sides of a join: the node's own, and what the first control plane knows."""

    here: Membership
    cluster: str
    ca: str
    ca_hash: str
    registered: Registered | None

    def __str__(self) -> str:
        if not self.registered:
            return str(self.here)
        return f"registered as a {'control plane' if self.registered.is_control_plane else 'worker'}"


@dataclass(frozen=True)
class Joined(Step):
    """A node belongs to the cluster of the first control plane, in its role."""

    node: str
    role: str
    address: str
    port: int
    version: str
    first: str
    config: Content
    patches: tuple[Run, ...] = ()
    name: str = "kubeadm.joined"
    wanted: str = "the node belongs to the cluster, in its role"
    settles_within: float = 180.0

    def probe(self) -> tuple[Shell, Shell]:
        """The node's own side, and the first control plane's."""
        return Shell(question(self.address, self.port)), Shell(_CLUSTER.replace("NODE", self.node), on=self.first)

    def parse(self, raw: tuple[str, str]) -> Joining:
        """The two sides together."""
        said = marked(raw[1])
        return Joining(
            membership(raw[0]), said.get("readyz", ""), said.get("ca", ""), said.get("hash", ""),
            _registered(said.get("node", "")),
        )  # fmt: skip

    def actions(self, seen: Joining) -> Decision:
        """Join a machine without traces; nothing for a member in its role; else a refusal that says why."""
        here = seen.here
        if not here.kubeadm:
            return Later("kubeadm", "notebook 01 installs it")
        if seen.cluster != "ok":
            return Later("kubeadm.initialised", seen.cluster or f"{self.first} has no cluster yet")
        if here.running:
            return Settling("a kubeadm that was started earlier to end")
        if not here.traces and not here.ca:
            return self._join(seen)
        if here.began and (here.torn or not here.kubelet_server):
            return self._anew(seen)
        if not here.kubelet_server:
            raise self._refused(f"a join that did not come to its end: {here}", _START_OVER)
        if here.ca != seen.ca:
            raise self._refused(f"a node of another cluster, at {here.kubelet_server}", _LEAVE)
        if not seen.registered:
            return self._unregistered(seen)
        if here.began and self.role == "control-plane" and not seen.registered.is_control_plane:
            return self._anew(seen)  # etcd's part of the join comes before the label
        return self._member(here, seen.registered)

    def _join(self, seen: Joining) -> Decision:
        if seen.registered and seen.registered.is_ready and not seen.here.began:
            remedy = "Two machines must not share a name: look which one answers to it, or delete the Node object."
            raise self._refused(f"another machine that is Ready under the name {self.node}", remedy)
        joins = self._joins(seen)
        if isinstance(joins, Later):
            return joins
        return [*self._forgotten(seen), *joins] if seen.here.began else [unfinished.begin(), *joins]

    def _anew(self, seen: Joining) -> Decision:
        """What our own kubeadm left half made goes first, its member of etcd before all else."""
        joins = self._joins(seen)
        if isinstance(joins, Later):
            return joins
        member = [unfinished.no_member(self.address, first=self.first)] if self.role == "control-plane" else []
        return [*member, unfinished.clear(), *self._forgotten(seen), *joins]

    def _forgotten(self, seen: Joining) -> list[Run]:
        return [unfinished.no_node(self.node, first=self.first)] if seen.registered else []

    def _joins(self, seen: Joining) -> list[Action] | Later:
        if seen.here.kubeadm != f"v{self.version}":
            found = f"kubeadm {seen.here.kubeadm}, not v{self.version}"
            raise self._refused(found, "Run notebook 01 on this node first.")
        if not seen.ca_hash:
            return Later(f"openssl on {self.first}", "it comes with ca-certificates, which notebook 01 installs")
        parts = (self.config,) if isinstance(self.config, str) else self.config
        config = (part.replace(_CA_HASH, seen.ca_hash) if isinstance(part, str) else part for part in parts)
        return [*self.patches, Run(unfinished.to_its_end(_JOIN), stdin=tuple(config))]

    def _unregistered(self, seen: Joining) -> Decision:
        here = seen.here
        if here.joined_seconds < _REGISTERS_WITHIN:
            return Settling(f"node {self.node} to be registered (its kubelet is {here.kubelet})")
        if here.began:
            return self._anew(seen)
        found = f"credentials of this cluster, which knows no node {self.node}; {here}"
        raise self._refused(found, _START_OVER if here.kubelet == "active" else _KUBELET)

    def _member(self, here: Membership, registered: Registered) -> Decision:
        wants_control_plane = self.role == "control-plane"
        if bool(here.manifests) != wants_control_plane:
            now = "control plane" if here.manifests else "worker"
            raise self._refused(f"a {now} of this cluster", _LEAVE)
        if wants_control_plane and not here.is_control_plane:
            raise self._refused(f"a control plane with no more than {', '.join(here.manifests)}", _LEAVE)
        if here.kubelet != "active":
            return Settling(f"the kubelet to run (it is {here.kubelet}: journalctl -u kubelet)")
        if wants_control_plane and not here.is_serving:
            return Settling(f"the API server of {self.node} to be ready ({here.readyz or 'no admin.conf yet'})")
        if wants_control_plane and not registered.is_control_plane:
            raise self._refused(f"a control plane without the label {_LABEL}", _MARK)
        return [unfinished.end()] if here.began else []

    def _refused(self, seen: str, remedy: str) -> Refused:
        return Refused(self.wanted, seen, remedy.replace("NODE", self.node))


_START_OVER = (
    "`kubeadm reset -f` on NODE takes away what is there, then run this cell again: it joins with new secrets."
)
_KUBELET = "The kubelet does not stay up: `journalctl -u kubelet -n 50` on NODE says why. Then run this cell again."
_LEAVE = (
    "If it is to change: `kubectl drain NODE --ignore-daemonsets` and `kubectl delete node NODE` where it belongs now, "
    "`kubeadm reset -f` on NODE, then run this cell again."
)
_MARK = "`kubeadm join phase control-plane-join mark-control-plane --control-plane` on NODE is what is left to do."


def joined(site: Site, node: Node) -> Joined | None:
    """This node belongs to the site's cluster, in its role; None for the first control plane, which makes it."""
    first = site.first.name
    if node.name == first:
        return None
    config = configuration.for_join(
        site, node, _CA_HASH,
        token=Secret("join token", _TOKEN, on=first), certificate_key=Secret("certificate key", _KEY, on=first),
    )  # fmt: skip
    return Joined(
        node.name, node.role, node.address, site.endpoint.port, site.versions.kubernetes, first, config,
        patches=configuration.patches(site) if node.role == "control-plane" else (),
    )  # fmt: skip


def _registered(text: str) -> Registered | None:
    """Labels and conditions of a Node, as kubectl prints the two after each other."""
    if not text:
        return None
    labels, end = json.JSONDecoder().raw_decode(text)
    conditions = json.loads(text[end:] or "[]")
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return Registered(is_ready, _LABEL in labels)
