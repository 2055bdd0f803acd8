"""A lab's site folder made from a site of your own: rehearse with its names before you touch its machines.

Taken from the site: node names, roles, GPU counts, versions, the endpoint's name, the pod and service ranges, and
whether control planes run pods. Everything else (addresses, sources, settings of container nodes, stand-ins, and the
training operator's version, of which the lab has one only) is parameters/lab's.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pic4ser_lib.errors import LabError
from pic4ser_lib.house import shared
from pic4ser_lib.lab import pins, state
from pic4ser_lib.lab.nodes import FIRST_NODE_ADDRESS, SUBNET

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

OWN_VERSIONS = frozenset({"training_operator"})
"""What the lab has in one version only, whatever the site says: the newest that can be built."""


def like(site: Site | str | Path) -> Path:
    """Writes the folder (anew, if it is there) and returns it; `lab up` boots it.

    Raises SiteError if the site cannot be read, LabError if the lab cannot play it.
    """
    from pic4ser_lib.site import Site, load

    real = site if isinstance(site, Site) else load(site)
    if missing := unpinned(real.versions.model_dump(), pins.load().versions):
        raise LabError(
            what=f"rehearse {real.name}",
            seen=f"no artifacts for {', '.join(missing)}",
            remedy=f"The lab is pinned to {_listed(pins.load().versions, real.versions.model_dump())}: take those "
            "versions in the site, or raise the pins in pic4ser_lib/lab/pins.",
        )
    folder = state.folder().parent / "sites" / f"{real.name}-rehearsal"
    files = {"cluster.yaml": _cluster(real), **nodes(real)}
    shutil.rmtree(folder / "nodes", ignore_errors=True)
    for name, text in files.items():
        state.write(folder / name, text, mode=0o644)
    return folder


def unpinned(versions: Mapping[str, str], pinned: Mapping[str, str]) -> list[str]:
    """What the site wants in a version that the lab does not have, as "kubernetes 1.35.1"."""
    return [
        f"{name} {version}"
        for name, version in versions.items()
        if version and name not in OWN_VERSIONS and pinned.get(name.replace("_", "-")) != version
    ]


def nodes(site: Site) -> dict[str, str]:
    """The nodes' files by name: the lab's addresses in the site's order."""
    first = IPv4Address(FIRST_NODE_ADDRESS)
    if first + len(site.nodes) > SUBNET.broadcast_address:
        raise LabError(what=f"rehearse {site.name}", seen=f"{len(site.nodes)} nodes and the lab has {SUBNET} only")
    return {
        f"nodes/{node.name}.yaml": f"address: {first + number}\ngpus: {node.gpus}\n"
        for number, node in enumerate(site.nodes)
    }


def taken_from(site: Site) -> dict[str, Any]:
    """The keys of cluster.yaml that say what the site says."""
    taken: dict[str, Any] = {
        "title": f"Rehearsal of {site.title}",
        "control_planes": [node.name for node in site.control_planes],
        "workers": [node.name for node in site.workers],
        "endpoint": {"name": site.endpoint.name, "port": site.endpoint.port},
        "versions": {
            name: version
            for name, version in site.versions.model_dump().items()
            if version and name not in OWN_VERSIONS
        },
        "pods_on_control_planes": site.pods_on_control_planes,
        "storage": _storage(site),
    }
    ranges = {"pod_cidr": site.network.pod_cidr, "service_cidr": site.network.service_cidr}
    if not any(ip_network(cidr).overlaps(SUBNET) for cidr in map(str, ranges.values())):
        taken["network"] = {name: str(cidr) for name, cidr in ranges.items()}
    return taken


def _storage(site: Site) -> dict[str, str]:
    # The lab plays a server that the site has already; what the runbook sets up on a node it sets up there too. A site
    # without either gets one on its last control plane.
    told = site.storage
    asked = {told.node, told.server} if told else set()
    has_it = (number for number, node in enumerate(site.nodes) if {node.name, node.address} & asked)
    number = next(has_it, len(site.control_planes) - 1)
    sets_up = told is None or bool(told.node)
    server = {
        "node": site.nodes[number].name if sets_up else "",
        "server": str(IPv4Address(FIRST_NODE_ADDRESS) + number),
    }
    return server | ({"path": told.path} if told else {})


def _cluster(site: Site) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    cluster = yaml.load(shared() / "parameters/lab/cluster.yaml")
    for key, value in taken_from(site).items():
        # Into the mapping that is there, so that its comments stay.
        target, news = (cluster[key], value) if isinstance(value, dict) else (cluster, {key: value})
        target.update(news)
    text = io.StringIO()
    yaml.dump(cluster, text)
    return f"# Made by `pic4ser lab up --like {json.dumps(str(site.path))}`; written anew each time.\n{text.getvalue()}"


def _listed(pinned: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    names = [name.replace("_", "-") for name in wanted if name not in OWN_VERSIONS]
    return ", ".join(f"{name} {pinned[name]}" for name in names if name in pinned)
