"""What must hold across a site's files: pure rules over what could be read, each yielding findings.

A finding names the file, the key and what is allowed there; folder.py adds value and line. The rules see a draft in
which wrong parts are left out, so that one mistake does not hide another.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.site.explain import nearest
from pic4ser_lib.site.known import CHARTS
from pic4ser_lib.site.reading import Key
from pic4ser_lib.site.schema import ClusterFile, Network, NodeFile, Sources, Versions
from pic4ser_lib.site.skew import OLDEST_MINOR, minor, skew_problems

POD_RANGE_OF_A_NODE = 24
"""Prefix length that kube-controller-manager cuts for each node out of the pod range."""


@dataclass(frozen=True)
class Draft:
    """What could be read: cluster.yaml, which of its keys are wrong, the right node files, the names that have one."""

    cluster: ClusterFile
    wrong: frozenset[str]
    files: Mapping[str, NodeFile]
    present: tuple[str, ...]

    def section(self, name: str) -> Any:
        """A top-level part of cluster.yaml; None when it was wrong or missing."""
        return None if name in self.wrong else getattr(self.cluster, name, None)


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold. `node` names a node's file; empty: cluster.yaml."""

    key: Key
    allowed: str
    node: str = ""


def findings(draft: Draft) -> Iterator[Finding]:
    """All that does not hold in the draft."""
    if not draft.wrong & {"control_planes", "workers"}:
        yield from _names(draft)
    yield from _addresses(draft)
    yield from _logins(draft)
    network = draft.section("network")
    if network:
        yield from _ranges(network)
        yield from _nodes_in_ranges(network, draft.files)
        yield from _room(network, draft)
    versions, sources = draft.section("versions"), draft.section("sources")
    if versions:
        yield from _versions(versions)
    if sources:
        yield from _repositories(sources, versions)
    yield from _reserved(draft)
    yield from _components(draft)


def _listed(draft: Draft) -> list[tuple[Key, str]]:
    planes, workers = draft.section("control_planes") or (), draft.section("workers") or ()
    named = [(("control_planes", i), name) for i, name in enumerate(planes)]
    return [*named, *((("workers", i), name) for i, name in enumerate(workers))]


def _names(draft: Draft) -> Iterator[Finding]:
    listed = _listed(draft)
    if not draft.section("control_planes"):
        yield Finding(("control_planes",), "at least one node's name; without a control plane there is no cluster")
    seen: dict[str, Key] = {}
    for key, name in listed:
        if name in seen:
            yield Finding(key, f"each name once; {seen[name][0]} has it already")
        elif name not in draft.present:
            yield Finding(key, f"a node with a file: there is no nodes/{name}.yaml{_near(name, draft.present)}")
        seen.setdefault(name, key)
    for name in draft.present if seen else ():
        if name not in seen:
            yield Finding(
                (),
                f"a node that cluster.yaml lists under control_planes or workers; it lists {', '.join(seen)}",
                node=name,
            )


def _near(name: str, names: tuple[str, ...]) -> str:
    sentence = nearest(name, names) if names else ""
    return sentence.removeprefix("unknown") if "did you mean" in sentence else ""


def _addresses(draft: Draft) -> Iterator[Finding]:
    owner: dict[str, str] = {}
    for name, file in draft.files.items():
        if file.address in owner:
            yield Finding(("address",), f"an address of its own; {owner[file.address]} has it already", node=name)
        if ipaddress.ip_address(file.address).is_loopback:
            yield Finding(("address",), "an address that the other nodes reach, not the loopback's", node=name)
        owner.setdefault(file.address, name)


def _logins(draft: Draft) -> Iterator[Finding]:
    ssh = draft.section("ssh")
    if ssh is None or ssh.user or not draft.files:
        return
    without = [name for name, file in draft.files.items() if not file.ssh.user]
    if len(without) == len(draft.files):
        yield Finding(("ssh", "user"), "missing (the login name on the nodes; it may use sudo)")
        return
    for name in without:
        yield Finding(("ssh", "user"), "missing, here and in cluster.yaml (the login name; it may use sudo)", node=name)


def _ranges(network: Network) -> Iterator[Finding]:
    pods, services = ipaddress.ip_network(network.pod_cidr), ipaddress.ip_network(network.service_cidr)
    if pods.overlaps(services):
        yield Finding(("network", "service_cidr"), f"a range apart from the pods' {pods}; these two overlap")
    if not 12 <= services.prefixlen <= 28:
        yield Finding(("network", "service_cidr"), "a prefix length from 12 to 28; kubeadm takes no other")


def _nodes_in_ranges(network: Network, files: Mapping[str, NodeFile]) -> Iterator[Finding]:
    for key in ("pod_cidr", "service_cidr"):
        cidr = ipaddress.ip_network(getattr(network, key))
        for name, file in files.items():
            if ipaddress.ip_address(file.address) in cidr:
                yield Finding(("address",), f"an address outside of network.{key} {cidr}", node=name)


def _room(network: Network, draft: Draft) -> Iterator[Finding]:
    prefix = ipaddress.ip_network(network.pod_cidr).prefixlen
    room = 2 ** max(0, POD_RANGE_OF_A_NODE - prefix) if prefix <= POD_RANGE_OF_A_NODE else 0
    wanted = max(len(draft.present), 1)
    if room < wanted:
        yield Finding(
            ("network", "pod_cidr"),
            f"room for a /{POD_RANGE_OF_A_NODE} per node: this has {room} for {wanted} node{'s' if wanted > 1 else ''}",
        )


def _versions(versions: Versions) -> Iterator[Finding]:
    number = minor(versions.kubernetes)
    if number is None or number < (1, OLDEST_MINOR):
        yield Finding(
            ("versions", "kubernetes"),
            f"1.{OLDEST_MINOR}.0 or newer; older kubeadms do not read the configuration v1beta4 that is written here",
        )

    if not versions.helm.startswith("4."):
        yield Finding(("versions", "helm"), "4.y.z; Helm 3 is no longer supported and has other options")
    if not versions.training_operator.startswith("1."):
        allowed = "1.y.z; version 2 of the trainer has no TFJob any more"
        yield Finding(("versions", "training_operator"), allowed)


def _components(draft: Draft) -> Iterator[Finding]:
    """What the notebooks from 05 on take from the site."""
    for name in draft.section("charts") or ():
        if name not in CHARTS:
            yield Finding(("charts", name), nearest(name, CHARTS))
    storage, listed = draft.section("storage"), [name for _, name in _listed(draft)]
    if storage and storage.node and listed and storage.node not in listed:
        allowed = f"a node of this site, {', '.join(listed)}, or nothing when the server is there already"
        yield Finding(("storage", "node"), f"{allowed}{_near(storage.node, tuple(listed))}")


def _repositories(sources: Sources, versions: Versions | None) -> Iterator[Finding]:
    for name, source in sources.apt.items():
        key = ("sources", "apt", name)
        if source.suite.endswith("/") and source.components:
            yield Finding((*key, "components"), "none, because a suite that ends with / is a flat repository")
        if not source.suite.endswith("/") and not source.components:
            yield Finding((*key, "components"), "at least one, such as stable")
    if versions and "kubernetes" in sources.apt:
        yield from _repository_minor(sources.apt["kubernetes"].url, versions.kubernetes)


def _repository_minor(url: str, kubernetes: str) -> Iterator[Finding]:
    served = re.search(r"/v(\d+\.\d+)/", url)
    if served and minor(served[1]) != minor(kubernetes):
        reasons = [f"this one serves {served[1]}.x only", *skew_problems(kubernetes, {"kubeadm": served[1]})]
        allowed = f"the repository that serves versions.kubernetes {kubernetes}: {'. '.join(reasons)}"
        yield Finding(("sources", "apt", "kubernetes", "url"), allowed)


def _reserved(draft: Draft) -> Iterator[Finding]:
    for section in ("kubelet", "kube_proxy"):
        for name in ("apiVersion", "kind"):
            if name in (draft.section(section) or {}):
                yield Finding((section, name), "fields of the configuration only; the runbook writes this one itself")
