"""Preflight of the nodes together: can they be told apart, and do their clocks agree? One step asks all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.look import Finding, Look, values
from pic4ser_lib.steps import Shell

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

NODES_AGREE_WITHIN = 2.0
"""Seconds between any two nodes: certificates and etcd's leases live by the clock."""
OPERATOR_AGREES_WITHIN = 5.0
"""Seconds; more, because nothing that runs on the nodes lives by the operator's clock."""


@dataclass(frozen=True)
class Identity:
    """By what a cluster tells a machine from others. In a container the product_uuid is the host's, and left out."""

    hostname: str
    machine_id: str
    product_uuid: str


@dataclass(frozen=True)
class Identities:
    """Pairs of node and identity."""

    nodes: tuple[tuple[str, Identity], ...]

    @property
    def note(self) -> str:
        """Nodes that call themselves otherwise than the site does: kubeadm takes their own name."""
        other = [
            f"{node} calls itself {identity.hostname}" for node, identity in self.nodes if identity.hostname != node
        ]
        return "; ".join(other)

    def __str__(self) -> str:
        return ", ".join(identity.hostname for _, identity in self.nodes)


@dataclass(frozen=True)
class IdentityUnique(Look):
    """Host name, machine-id and product_uuid of each node are its own."""

    nodes: tuple[str, ...]
    name = "preflight.identity_unique"
    wanted = "every node has a name and ids of its own"

    def probe(self) -> tuple[Shell, ...]:
        """Each node about itself."""
        script = (
            "echo hostname: $(hostname); echo machine-id: $(cat /etc/machine-id 2>/dev/null); "
            "systemd-detect-virt -cq 2>/dev/null || echo uuid: $(cat /sys/class/dmi/id/product_uuid 2>/dev/null)"
        )
        return tuple(Shell(script, on=node) for node in self.nodes)

    def parse(self, raw: tuple[str, ...]) -> Identities:
        """By node."""
        return Identities(tuple((node, _identity(answer)) for node, answer in zip(self.nodes, raw, strict=True)))

    def findings(self, seen: Identities) -> list[Finding]:
        """Whatever two nodes share."""
        return identity_problems(dict(seen.nodes))


def identity_problems(answers: Mapping[str, Identity]) -> list[Finding]:
    """What two nodes share that each should have for itself; an id that is not known is shared with nobody."""
    remedies = {
        "hostname": "Give each its own: hostnamectl set-hostname NAME.",
        "machine_id": "On all but one: rm /etc/machine-id; systemd-machine-id-setup; reboot.",
        "product_uuid": "Set another one in the firmware, or ask the maker of the board.",
    }
    found = [
        Finding("the machine-id of " + node + " is empty", "Run systemd-machine-id-setup there and reboot.")
        for node, identity in answers.items()
        if not identity.machine_id
    ]
    for field, remedy in remedies.items():
        owners: dict[str, list[str]] = {}
        for node, identity in answers.items():
            owners.setdefault(getattr(identity, field), []).append(node)
        shared = [(value, nodes) for value, nodes in owners.items() if value and len(nodes) > 1]
        label = field.replace("_", "-") if field == "machine_id" else field
        found += [Finding(f"{' and '.join(nodes)} have the same {label} {value}", remedy) for value, nodes in shared]
    return found


@dataclass(frozen=True)
class Ahead:
    """Seconds by which a node's clock is ahead of the operator's: at least and at most, since asking it took time."""

    node: str
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.node} {self.least:+.1f} to {self.most:+.1f} s"


@dataclass(frozen=True)
class Clocks:
    """How far each node's clock is ahead of the operator's."""

    ahead: tuple[Ahead, ...]

    @property
    def spread(self) -> float:
        """Seconds that the fastest and the slowest node are certainly apart, however long the ways to them took."""
        apart = max((a.least for a in self.ahead), default=0.0) - min((a.most for a in self.ahead), default=0.0)
        return max(apart, 0.0)

    def __str__(self) -> str:
        return f"{self.spread:.1f} s between the nodes"


@dataclass(frozen=True)
class ClockAgrees(Look):
    """The nodes' clocks agree with each other and with the operator's.

    `now` is the operator's clock. An answer lies between the moment of asking and that of reading it, which is seconds
    later where a node is slow; only what no such delay explains is found wrong.
    """

    nodes: tuple[str, ...]
    now: Callable[[], float] = time.time
    name = "preflight.clock_agrees"
    wanted = "the nodes' clocks agree"

    def probe(self) -> tuple[Shell, ...]:
        """Each node's clock, beside the operator's at the moment of asking."""
        return tuple(Shell(f"echo operator: {self.now():.3f}; echo node: $EPOCHREALTIME", on=n) for n in self.nodes)

    def parse(self, raw: tuple[str, ...]) -> Clocks:
        """The difference, by node."""
        read = self.now()
        return Clocks(tuple(_ahead(node, answer, read) for node, answer in zip(self.nodes, raw, strict=True)))

    def findings(self, seen: Clocks) -> list[Finding]:
        """Nodes apart from each other; if they agree, all of them apart from the operator."""
        sync = "timedatectl set-ntp true (or look at chronyc tracking); certificates made now would not be valid yet."
        if seen.spread > NODES_AGREE_WITHIN:
            each = ", ".join(map(str, seen.ahead))
            return [
                Finding(f"clocks {seen.spread:.1f} s apart ({each}, against this machine)", f"On the nodes: {sync}")
            ]
        off = [str(a) for a in seen.ahead if a.least > OPERATOR_AGREES_WITHIN or a.most < -OPERATOR_AGREES_WITHIN]
        return (
            [Finding(f"the nodes agree, but not with this machine: {', '.join(off)}", f"Here or there: {sync}")]
            if off
            else []
        )


def identity_unique(nodes: Sequence[str]) -> IdentityUnique:
    """Host name, machine-id and product_uuid are unique among these nodes."""
    return IdentityUnique(tuple(nodes))


def clock_agrees(site: Site) -> ClockAgrees:
    """The clocks of a site's nodes are within 2 s of each other, and 5 s of the operator's."""
    return ClockAgrees(tuple(node.name for node in site.nodes), now=lambda: site.now(time.time()))


def _identity(raw: str) -> Identity:
    v = values(raw)
    return Identity(v.get("hostname", ""), v.get("machine-id", ""), v.get("uuid", ""))


def _ahead(node: str, raw: str, read: float) -> Ahead:
    v = values(raw)
    told, asked = float(v["node"].replace(",", ".")), float(v["operator"])
    return Ahead(node, least=told - read, most=told - asked)
