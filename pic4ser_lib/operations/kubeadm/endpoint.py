"""The control plane's name leads to a control plane, on each node.

Where DNS answers the name (a virtual address, a load balancer), nothing is written. Elsewhere each node's /etc/hosts
gets one marked line with the first control plane's address, the same line on all nodes. A control plane that has
joined keeps it too: its kubelet, scheduler and controller manager talk to the API server beside them anyway, so only
workers and kubectl use the name. To move it away from a lost first control plane, name another one first in
cluster.yaml and run this step again.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations import files
from pic4ser_lib.steps import Action, Refused, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

HOSTS = "/etc/hosts"
MARK = "# pic4ser: the control plane's endpoint"


@dataclass(frozen=True)
class Resolution:
    """The addresses that a name leads to on a node, and the node's /etc/hosts."""

    addresses: tuple[str, ...]
    hosts: files.File | None

    def __str__(self) -> str:
        return ", ".join(self.addresses) or "no address"


@dataclass(frozen=True)
class EndpointResolved(Step):
    """The endpoint's name leads to a control plane."""

    endpoint: str
    first: str
    is_first: bool
    name: str = "kubeadm.endpoint_resolved"
    wanted: str = "the control plane's name leads to a control plane"

    def probe(self) -> Shell:
        """What the node's resolver says, within ten seconds: a node may have a DNS server that does not answer."""
        ask = f"timeout 10 getent ahostsv4 {shlex.quote(self.endpoint)} | awk '{{ print $1 }}' | sort -u"
        return Shell(f"{{ {ask} || true; }}; {files.show(HOSTS)}")

    def parse(self, raw: str) -> Resolution:
        """Addresses stand before the file."""
        addresses, _, _ = raw.partition(f"{HOSTS}: ")
        return Resolution(tuple(addresses.split()), files.shown(raw).get(HOSTS))

    def actions(self, seen: Resolution) -> list[Action]:
        """A marked line in /etc/hosts where the name leads nowhere, or where our line is out of date."""
        lines = seen.hosts.content.splitlines(keepends=True) if seen.hosts else []
        if any(MARK in line for line in lines) or not seen.addresses:
            return files.edited(HOSTS, seen.hosts, self._with_line(lines))
        if not self.is_first and all(ipaddress.ip_address(a).is_loopback for a in seen.addresses):
            raise Refused(
                self.wanted, f"{self.endpoint} leads to this node itself ({seen})",
                f"Somebody's line in {HOSTS} says so: take {self.endpoint} out of it, then run this cell again.",
            )  # fmt: skip
        return []

    def _with_line(self, lines: list[str]) -> str:
        """All lines but ours as they are, then ours; in place when it is right already."""
        ours = f"{self.first} {self.endpoint} {MARK}\n"
        if [line for line in lines if MARK in line] == [ours]:
            return "".join(lines)
        kept = "".join(line for line in lines if MARK not in line)
        return kept + ("" if kept.endswith("\n") or not kept else "\n") + ours


def endpoint_resolved(site: Site, node: Node) -> EndpointResolved:
    """On this node, the endpoint's name of the site leads to a control plane."""
    return EndpointResolved(site.endpoint.name, site.first.address, node.name == site.first.name)
