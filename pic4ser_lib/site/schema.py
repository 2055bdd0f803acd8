"""The models of a site's folder: what cluster.yaml, local.yaml and nodes/<name>.yaml may say, and the Site they make.

All are frozen, refuse unknown keys, and describe each field; the reference of the parameters is made from here.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.site.scalars import (
    Cidr,
    Duration,
    EndpointName,
    Exported,
    Fingerprint,
    Gateway,
    HostName,
    Image,
    Ipv4,
    Keyring,
    ListFile,
    Login,
    OptionalSha256,
    Preflight,
    Quantity,
    Registry,
    Repository,
    Server,
    Sha256,
    Url,
    Version,
    Word,
)

Role = Literal["control-plane", "worker"]
Kind = Literal["container", "vm"]
Release = Literal["bookworm", "trixie"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(_Model):
    """Where the API server is found: a name that every node resolves, never one node's address."""

    name: EndpointName = Field(description="the control plane's DNS name, such as k8s-api.example.org")
    port: int = Field(default=6443, ge=1, le=65535, description="the API server's TCP port")


class Versions(_Model):
    """What is installed, as upstream numbers it, without a leading v."""

    kubernetes: Version = Field(description="kubelet, kubeadm, kubectl and the control plane, x.y.z")
    containerd: Version = Field(description="the package containerd.io, x.y.z")
    flannel: Version = Field(description="flannel's release, x.y.z")
    helm: Version = Field(default="4.3.1", description="helm on the first control plane, 4.y.z")
    nvidia_container_toolkit: Version = Field(
        default="1.20.1", description="the package nvidia-container-toolkit on nodes with GPUs, x.y.z"
    )
    training_operator: Version = Field(
        default="1.9.4", description="Kubeflow's training operator, 1.y.z; the document has 1.6.0"
    )


class Network(_Model):
    """The cluster's own address ranges; neither may overlap the other or hold a node's address."""

    pod_cidr: Cidr = Field(
        default="10.244.0.0/16", description="range of the pods' addresses; each node gets a /24 of it"
    )
    service_cidr: Cidr = Field(default="10.96.0.0/12", description="range of the services' addresses")
    mtu: int | None = Field(
        default=None, ge=576, le=9216, description="MTU in bytes of the nodes' network; empty: found out"
    )


class AptSource(_Model):
    """One apt repository and the key that signs it."""

    url: Url = Field(description="the repository's base URL")
    suite: Word = Field(
        description="the distribution's code name, / for a flat repository, or {codename} for each node's own"
    )
    components: tuple[Word, ...] = Field(default=(), description="the repository's components; none for a flat one")
    key_url: Url = Field(description="where the ASCII-armored public key is fetched")
    fingerprint: Fingerprint = Field(description="the key's fingerprint, 40 hexadecimal digits; another key is refused")
    keyring: Keyring = Field(description="path of the keyring on the nodes; .asc for an armored key")
    list_file: ListFile = Field(description="path of the source list on the nodes")


class Manifest(_Model):
    """One manifest, pinned by the checksum of its bytes."""

    url: Url = Field(description="where it is fetched")
    sha256: Sha256 = Field(description="checksum of its bytes, 64 hexadecimal digits")


class Download(_Model):
    """One file that a node fetches, pinned by the checksum of its bytes."""

    url: Url = Field(description="where it is fetched")
    sha256: OptionalSha256 = Field(
        default="",
        description="checksum of its bytes, 64 hexadecimal digits; empty: nothing is installed, its sum is shown",
    )


class Chart(_Model):
    """One Helm chart: where it is found, what it is called there, and in which version it is installed."""

    repository: Url = Field(description="the chart repository's base URL")
    name: str = Field(min_length=1, description="the chart's name in that repository")
    version: Version = Field(description="the chart's version (not its application's), x.y.z")


class Sources(_Model):
    """Where packages, images, charts and manifests come from; what a site does not say is upstream's."""

    apt: dict[str, AptSource] = Field(default_factory=dict, description="apt repositories: docker, kubernetes, nvidia")
    registries: dict[Registry, Url] = Field(
        default_factory=dict, description="upstream registry to the base URL of its mirror; empty: upstream directly"
    )
    image_repository: Repository = Field(default="registry.k8s.io", description="where kubeadm takes its images from")
    manifests: dict[str, Manifest] = Field(default_factory=dict, description="manifests that are applied: flannel")
    archives: dict[str, Download] = Field(
        default_factory=dict, description="archives that are unpacked: helm, training-operator"
    )
    charts: dict[str, Chart] = Field(
        default_factory=dict,
        description="Helm charts: nfs-subdir-external-provisioner, nvidia-device-plugin, kube-prometheus-stack, "
        "dcgm-exporter",
    )
    dashboards: dict[str, Download] = Field(
        default_factory=dict, description="Grafana dashboards that are imported, by their number on grafana.com"
    )
    images: dict[str, Image] = Field(
        default_factory=dict, description="images of our own pods: proof, vector-add, training"
    )


class Kubeadm(_Model):
    """What this site tells kubeadm besides what the runbook does."""

    ignore_preflight_errors: tuple[Preflight, ...] = Field(
        default=(), description="kubeadm's checks that may fail here"
    )


class Storage(_Model):
    """The NFS export that the default storage class uses."""

    server: Server = Field(description="the NFS server's name or address")
    path: Exported = Field(description="the exported folder, absolute")
    node: str = Field(
        default="", description="the node on which notebook 06 sets this NFS server up; empty: it is there already"
    )


class Monitoring(_Model):
    """What Prometheus keeps, and where."""

    prometheus_storage: Quantity = Field(
        default="", description="size of the claim for Prometheus's own data, such as 50Gi; empty: lost with its pod"
    )
    retention: Duration = Field(default="10d", description="how long Prometheus keeps its data, such as 10d or 2w")


class StandIn(_Model):
    """Something that is not the real thing here, named in every report."""

    name: str = Field(min_length=1, description="what is here")
    instead_of: str = Field(min_length=1, description="what a real site has in its place")
    does_not_prove: str = Field(min_length=1, description="what a rehearsal with it says nothing about")
    online: bool = Field(
        default=False, description="true: a lab started with `pic4ser lab up --online` has the real thing in its place"
    )
    containers: bool = Field(
        default=False, description="true: only container nodes need it; virtual machines have the real thing"
    )


class Ssh(_Model):
    """How a node is reached; a node's own file overrides cluster.yaml key by key."""

    user: Login = Field(default="", description="the login name; it may use sudo")
    port: int = Field(default=22, ge=1, le=65535, description="sshd's TCP port")
    key: Path | None = Field(default=None, description="private key file; empty: the agent's and ssh_config's keys")
    known_hosts: Path | None = Field(default=None, description="known_hosts file; empty: the user's own")
    password_sudo: bool = Field(default=False, description="true when sudo asks for a password")
    gateway: Gateway | None = Field(default=None, description="[user@]host[:port] to go through")


class NodeFile(_Model):
    """nodes/<name>.yaml: one machine. Its name is the file's, its role is cluster.yaml's."""

    address: Ipv4 = Field(description="the node's IPv4 address, which the other nodes reach")
    gpus: int = Field(default=0, ge=0, description="number of NVIDIA GPUs in it")
    ssh: Ssh = Field(default_factory=Ssh, description="what differs from cluster.yaml's ssh")
    kind: Kind = Field(default="container", description="what the rehearsal lab boots for it; on a real site, nothing")
    release: Release = Field(
        default="bookworm", description="the release of Debian of a virtual machine of the lab; on a real site, nothing"
    )


class Node(_Model):
    """One machine of the site."""

    name: HostName = Field(description="its host name")
    address: Ipv4 = Field(description="its IPv4 address")
    role: Role = Field(description="control-plane or worker")
    gpus: int = Field(default=0, ge=0, description="number of NVIDIA GPUs in it")
    ssh: Ssh = Field(default_factory=Ssh, description="how it is reached")


class Dilation(_Model):
    """The nodes' time, where it passes more slowly than this machine's: only emulated machines of a lab have that."""

    since: float = Field(description="when both clocks agreed, in seconds since 1970")
    times: int = Field(ge=1, le=100, description="how many seconds pass here in one of theirs")

    def now(self, here: float) -> float:
        """The moment there when this machine's clock says `here`; both in seconds since 1970."""
        return self.since + (here - self.since) / self.times


class _Settings(_Model):
    title: str = Field(default="", description="what the site is called in reports; empty: its folder's name")
    endpoint: Endpoint = Field(description="where the API server is found")
    versions: Versions = Field(description="what is installed")
    network: Network = Field(default_factory=Network, description="the cluster's own address ranges")
    sources: Sources = Field(default_factory=Sources, description="where everything comes from")
    kubelet: dict[str, Any] = Field(default_factory=dict, description="extra fields of the KubeletConfiguration")
    kube_proxy: dict[str, Any] = Field(default_factory=dict, description="extra fields of the KubeProxyConfiguration")
    kubeadm: Kubeadm = Field(default_factory=Kubeadm, description="what kubeadm is told besides")
    containerd: dict[str, Any] = Field(default_factory=dict, description="extra keys of the CRI runtime plugin's table")
    pods_on_control_planes: bool = Field(
        default=True, description="true: notebook 04 removes the taint; false: puts it back"
    )
    storage: Storage | None = Field(default=None, description="the NFS export of notebook 06")
    charts: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="a chart's name to further values, laid over those of the runbook"
    )
    monitoring: Monitoring = Field(default_factory=Monitoring, description="what notebook 08 keeps")
    confirm: bool = Field(default=True, description="show the plan and ask before a run changes anything")
    patience: int = Field(
        default=1,
        ge=1,
        le=100,
        description="for slow machines: how many times longer than usual a wait may take, kubeadm's own too; "
        "from 2 on a control plane is also made so that its parts are asked less",
    )
    dilation: Dilation | None = Field(default=None, description="how slowly the nodes' time passes; null: as here")
    stand_ins: tuple[StandIn, ...] = Field(default=(), description="what is not the real thing here")
    valid_on: str = Field(
        default="", description="machine-id of the only machine this folder may be used on; empty: any"
    )
    valid_while: str = Field(
        default="", description="network interface of this machine without which nothing is sent; empty: none"
    )


class ClusterFile(_Settings):
    """cluster.yaml with local.yaml laid over it: all of a site but its nodes' own files."""

    control_planes: tuple[HostName, ...] = Field(
        (), description="names of the control planes; the first runs kubeadm init"
    )
    workers: tuple[HostName, ...] = Field(default=(), description="names of the workers")
    ssh: Ssh = Field(default_factory=Ssh, description="how the nodes are reached, unless their file says otherwise")
    completed_by: str = Field(
        "", description="the command that writes local.yaml, without which this folder is incomplete"
    )


class Site(_Settings):
    """A whole site, judged and frozen. Its nodes are in the order control planes, then workers."""

    name: str = Field(description="the folder's name")
    path: Path = Field(description="the folder")
    nodes: tuple[Node, ...] = Field(description="the machines, the first control plane first")

    @property
    def first(self) -> Node:
        """The control plane that runs kubeadm init."""
        return self.control_planes[0]

    @property
    def control_planes(self) -> tuple[Node, ...]:
        """The control planes, in the order of cluster.yaml."""
        return tuple(node for node in self.nodes if node.role == "control-plane")

    @property
    def workers(self) -> tuple[Node, ...]:
        """The workers, in the order of cluster.yaml."""
        return tuple(node for node in self.nodes if node.role == "worker")

    @property
    def slowness(self) -> int:
        """How many times longer than usual the nodes' own parts wait for each other, by the nodes' own clocks."""
        return self.patience if self.dilation is None else -(-self.patience // self.dilation.times)

    def now(self, here: float) -> float:
        """What the nodes' clocks should say when this machine's says `here`; both in seconds since 1970."""
        return self.dilation.now(here) if self.dilation else here

    def node(self, name: str) -> Node:
        """The node of this name. Raises SiteError with the nearest name there is."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise SiteError(path=str(self.path), problems=(self._no_such_node(name),))

    def select(self, node: str) -> tuple[Node, ...]:
        """All nodes for "*", else the one of this name: what a notebook's parameter `node` means."""
        return self.nodes if node == "*" else (self.node(node),)

    def binding_rows(self, node: str = "*") -> tuple[tuple[str, str, str, int], ...]:
        """Name, role, address and number of GPUs of each selected node: the binding table."""
        return tuple((each.name, each.role, each.address, each.gpus) for each in self.select(node))

    def _no_such_node(self, name: str) -> Problem:
        names = [node.name for node in self.nodes]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem("parameter node", "", name, f'a node of this site, {", ".join(names)}, or "*" for all{hint}')
