"""`kubeadm init` on the first control plane, and every state in which it must not be run.

One that began here and did not come to its end is cleared away and begun anew; one that nobody knows of is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import files
from pic4ser_lib.operations.kubeadm import configuration, unfinished
from pic4ser_lib.operations.kubeadm.membership import Membership, membership, question
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Action, Decision, Later, Refused, Run, Settling, Shell, Step, WriteFile

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

CONFIG = "/run/pic4ser/kubeadm-init.yaml"
# What kubeadm makes last: a cluster without one of these was left half made.
LAST_MADE = ("ConfigMap/kubeadm-config", "DaemonSet/kube-proxy", "Deployment/coredns")
_INIT = f"kubeadm init --config {CONFIG} --upload-certs --skip-token-print --skip-certificate-key-print"
_CLUSTER = """
if [ "$ready" = ok ]; then
  echo "@nodes: $($k get nodes -o name | wc -l)"
  $k -n kube-system get cm/kubeadm-config ds/kube-proxy deploy/coredns node/NODE --ignore-not-found \\
    -o jsonpath='{range .items[*]}@has {.kind}/{.metadata.name}: yes{"\\n"}{.data.ClusterConfiguration}{"\\n"}{end}' ||
    echo "@readyz: kubectl get failed"
fi
"""


@dataclass(frozen=True)
class FirstControlPlane:
    """The node's side, the objects kubeadm has made, and the configuration that the cluster keeps of itself.

    `config` is the file for kubeadm that an earlier try may have left, `nodes` how many the cluster knows.
    """

    here: Membership
    objects: tuple[str, ...]
    endpoint: str
    pod_cidr: str
    service_cidr: str
    config: files.File | None = None
    nodes: int = 0

    def __str__(self) -> str:
        return f"a cluster at {self.endpoint}" if self.endpoint and self.here.is_serving else str(self.here)


@dataclass(frozen=True)
class Initialised(Step):
    """The first control plane runs, made by kubeadm from a generated configuration."""

    node: str
    address: str
    port: int
    version: str
    endpoint: str
    pod_cidr: str
    service_cidr: str
    config: str
    patches: tuple[Run, ...] = ()
    name: str = "kubeadm.initialised"
    wanted: str = "the first control plane serves the API, made by kubeadm with the endpoint's name"
    settles_within: float = 180.0

    def probe(self) -> Shell:
        """The files and processes of a control plane on the node, and what its API server knows of itself."""
        return Shell(question(self.address, self.port) + _CLUSTER.replace("NODE", self.node) + files.show(CONFIG))

    def parse(self, raw: str) -> FirstControlPlane:
        """Lines with @ are ours, then comes the cluster's own configuration, then the file."""
        said = marked(raw)
        objects = tuple(key.removeprefix("has ") for key in said if key.startswith("has "))
        kept = _configuration(raw)
        networks = kept.get("networking", {})
        return FirstControlPlane(
            membership(raw), objects, str(kept.get("controlPlaneEndpoint", "")),
            str(networks.get("podSubnet", "")), str(networks.get("serviceSubnet", "")), files.shown(raw).get(CONFIG),
            int(said.get("nodes", "0")),
        )  # fmt: skip

    def actions(self, seen: FirstControlPlane) -> Decision:
        """Init on a machine without traces, or with our own half made; nothing where the cluster is complete."""
        here = seen.here
        if not here.kubeadm:
            return Later("kubeadm", "notebook 01 installs it")
        if here.running:
            return Settling("a kubeadm that was started earlier to end")
        if not here.traces and not (here.began and here.ca and not here.given):
            return self._init(seen)
        if here.is_serving:
            return self._serving(seen)
        if here.is_control_plane and here.rotates and not (here.began and here.torn):
            return Settling(f"the API server to come up again ({here.readyz}; the kubelet is {here.kubelet})")
        if here.began:
            return self._anew(seen)
        if here.kubelet_server and not here.manifests:
            raise self._refused(f"a node of the cluster at {here.kubelet_server}", _LEAVE)
        raise self._refused(f"a kubeadm init that did not come to its end: {here}", _START_OVER)

    def _init(self, seen: FirstControlPlane) -> list[Action]:
        here = seen.here
        if here.listens:
            raise self._refused(
                f"{here.listens} listens on port {self.port}", f"Stop what holds port {self.port} on {self.node}."
            )
        return [*([] if here.began else [unfinished.begin()]), *self._made(seen)]

    def _anew(self, seen: FirstControlPlane) -> list[Action]:
        """What our own kubeadm left half made, and nothing depends on, goes first."""
        if seen.here.given:
            raise self._refused(f"a kubeadm init that did not come to its end: {seen.here}", _START_OVER + _GIVEN)
        return [unfinished.clear(), *self._made(seen)]

    def _made(self, seen: FirstControlPlane) -> list[Action]:
        here, before = seen.here, seen.config
        if here.kubeadm != f"v{self.version}":
            raise self._refused(f"kubeadm {here.kubeadm}, not v{self.version}", "Run notebook 01 on this node first.")
        run = Run(unfinished.to_its_end(_INIT), timeout=900.0)
        if before and before.content == self.config:
            return [*self.patches, run]
        written = WriteFile(CONFIG, self.config, before=before.content if before else None, mode=0o600)
        return [written, *self.patches, run]

    def _serving(self, seen: FirstControlPlane) -> Decision:
        wanted = {"the endpoint": self.endpoint, "pods": self.pod_cidr, "services": self.service_cidr}
        found = {"the endpoint": seen.endpoint, "pods": seen.pod_cidr, "services": seen.service_cidr}
        missing = [name for name in (*LAST_MADE, f"Node/{self.node}") if name not in seen.objects]
        if seen.here.began and set(missing) & set(LAST_MADE) and seen.nodes <= 1:
            return self._anew(seen)
        if "ConfigMap/kubeadm-config" in missing:
            raise self._refused(f"an API server without {', '.join(missing)}", _START_OVER)
        other = [f"{found[k] or 'nothing'} for {k} instead of {wanted[k]}" for k in wanted if found[k] != wanted[k]]
        if other:
            raise self._refused(f"a cluster with {', '.join(other)}", _OTHER)
        if f"Node/{self.node}" in missing:
            return Settling(f"node {self.node} to be registered")
        if missing:
            raise self._refused(f"a cluster without {', '.join(missing)}", _ADDONS)
        return [unfinished.end()] if seen.here.began else []

    def _refused(self, seen: str, remedy: str) -> Refused:
        return Refused(self.wanted, seen, remedy.replace("NODE", self.node))


_START_OVER = (
    "Nothing can depend on it yet. `kubeadm reset -f` on NODE takes away what is there, then run this cell again."
)
_GIVEN = " The certificates that were there before it go with them: lay them there again."
_LEAVE = (
    "If it is to leave that cluster: drain and delete it there, `kubeadm reset -f` on NODE, then run this cell again."
)
_OTHER = (
    "These cannot be changed in place. Either cluster.yaml means this cluster: put its values there; or it is to be "
    "replaced, with all that runs in it: `kubeadm reset -f` on every node, then run this notebook again."
)
_ADDONS = "`kubeadm init phase addon all` on NODE puts kube-proxy and CoreDNS back."


def initialised(site: Site) -> Initialised:
    """The first control plane of the site is made. For `nodes.first` only."""
    return Initialised(
        node=site.first.name, address=site.first.address, port=site.endpoint.port,
        version=site.versions.kubernetes, endpoint=configuration.endpoint(site),
        pod_cidr=site.network.pod_cidr, service_cidr=site.network.service_cidr, config=configuration.for_init(site),
        patches=configuration.patches(site),
    )  # fmt: skip


def _configuration(raw: str) -> dict[str, Any]:
    import yaml

    text = raw.partition(f"{CONFIG}: ")[0]
    kept = yaml.safe_load("\n".join(line for line in text.splitlines() if not line.startswith("@")))
    return kept if isinstance(kept, dict) else {}
