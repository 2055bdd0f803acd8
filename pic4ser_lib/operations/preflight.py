"""What has to be true before anything is changed (notebook 00). Nothing here changes anything.

What notebooks 01 and 02 set up themselves (swap, modules, sysctls, packages) is at most noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.operations.look import Looks
from pic4ser_lib.operations.preflight_group import clock_agrees, identity_problems, identity_unique
from pic4ser_lib.operations.preflight_machine import kernel_features, os_supported, resources, root, swap_noted
from pic4ser_lib.operations.preflight_network import mtu, names_resolve, ports_free, sources_reachable
from pic4ser_lib.operations.preflight_state import disk, no_foreign_cluster

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

__all__ = [
    "clock_agrees",
    "disk",
    "fit",
    "identity_problems",
    "identity_unique",
    "kernel_features",
    "mtu",
    "names_resolve",
    "no_foreign_cluster",
    "os_supported",
    "ports_free",
    "resources",
    "root",
    "sources_reachable",
    "swap_noted",
    "together",
]


def fit(site: Site, node: Node) -> Looks:
    """One node is fit for its role. One step, so that all its findings are told at once."""
    looks = (
        root(),
        os_supported(),
        resources(node.role),
        swap_noted(),
        kernel_features(cgroup_v1=site.kubelet.get("failCgroupV1") is False),
        disk(),
        no_foreign_cluster(f"{site.endpoint.name}:{site.endpoint.port}", [n.address for n in site.control_planes]),
        ports_free(node.role),
        mtu(site.network.mtu),
        names_resolve({other.name: other.address for other in site.nodes}, own=node.name),
        sources_reachable(site.sources),
    )
    return Looks("preflight.fit", f"the machine is fit to be a {node.role}", looks)


def together(site: Site) -> Looks:
    """The nodes fit together: each is itself, and their clocks agree. Asks all of them at once."""
    names = [node.name for node in site.nodes]
    looks = (identity_unique(names), clock_agrees(site))
    return Looks("preflight.together", "the nodes can be told apart and their clocks agree", looks)
