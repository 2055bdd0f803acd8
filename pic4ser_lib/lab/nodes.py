"""What a node of the lab is, whichever kind: a name, an address, and what one can do with it.

Kinds are containers (podman.py) and virtual machines (vm.py); machines.py knows which is which, and nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol

from pic4ser_lib.errors import DeadlinePassed

NETWORK = "pic4ser"
SUBNET = IPv4Network("10.83.17.0/24")
HOST_ADDRESS = "10.83.17.1"
MIRROR_ADDRESS = "10.83.17.2"
FIRST_NODE_ADDRESS = "10.83.17.11"
REGISTRY_PORT = 5000
USER = "pic4ser"
MIRROR = "pic4ser-mirror"
GUEST_MEMORY_BYTES = 3 * 2**30
GUEST_CPUS = 2  # kubeadm wants as many
CONTAINER, VIRTUAL = KINDS = ("container", "vm")
RELEASE, NEXT_RELEASE = RELEASES = ("bookworm", "trixie")  # Debian 12, whose systemd boots on cgroup v1 too; Debian 13


@dataclass(frozen=True)
class NodeSpec:
    """One node as the site's folder names it. `exports` is the path that it serves by NFS, "" for none.

    `release` is the code name of its Debian; only virtual machines may be of another than the lab's own.
    """

    name: str
    address: str
    gpus: int = 0
    exports: str = ""
    kind: str = CONTAINER
    release: str = RELEASE

    @property
    def container(self) -> str:
        """What podman or QEMU calls it: everything of the lab begins with pic4ser-."""
        return f"pic4ser-{self.name}"


class Machine(Protocol):
    """What this host knows now of a machine that it once made. `lab` is whose, `config` what it was made from."""

    @property
    def name(self) -> str:
        """As in NodeSpec.container."""

    @property
    def lab(self) -> str:
        """The folder of the lab that it belongs to."""

    @property
    def config(self) -> str:
        """LabNode.config of when it was made."""

    @property
    def alive(self) -> bool:
        """Whether it is powered on; asked from the kernel."""


class LabNode(Protocol):
    """A machine of the lab as it is wanted. Everything may be called in any state, and raises LabError."""

    @property
    def spec(self) -> NodeSpec:
        """Which node of the site it is."""

    @property
    def address(self) -> str:
        """Where sshd listens on port 22."""

    @property
    def config(self) -> str:
        """Changes when the machine would have to be made anew to be what is asked for."""

    @property
    def boot_seconds(self) -> float:
        """How long a boot may take, on a slow host that does other things too."""

    def prepared(self, seen: Machine | None) -> bool:
        """Whether this machine was made to the end: a kill in between leaves half of one."""

    def create(self) -> None:
        """A plain machine, off; what was there under its name is gone."""

    def connect(self) -> None:
        """Joins a running machine to the lab's network again, should that have been made anew under it."""

    def run(self, script: str, *, timeout: float) -> str:
        """What a bash script printed on the running machine, as root."""

    def start(self) -> None:
        """Powers the machine on; returns before it has booted."""

    def stop(self) -> None:
        """Shuts the machine down as its init wants it."""

    def kill(self) -> None:
        """Cuts the power: no process of the machine gets to finish anything."""


def until(
    missing: Callable[[], str],
    *,
    waiting_for: str,
    seconds: float,
    pause: float = 0.15,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when `missing()` says nothing any more. Raises DeadlinePassed with what it said last."""
    end = clock() + seconds
    while seen := missing():
        if clock() >= end:
            raise DeadlinePassed(waiting_for=waiting_for, seconds=seconds, last_seen=seen)
        sleep(pause)
