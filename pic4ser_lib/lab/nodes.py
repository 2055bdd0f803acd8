"""What a node of the lab is, whichever kind: a name, an address, and four things one can do with it.

Containers (podman.py) are one kind; virtual machines would be one more module beside it.
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


@dataclass(frozen=True)
class NodeSpec:
    """One node as the site's folder names it. `exports` is the path that it serves by NFS, "" for none."""

    name: str
    address: str
    gpus: int = 0
    exports: str = ""

    @property
    def container(self) -> str:
        """The container's name: everything of the lab begins with pic4ser-."""
        return f"pic4ser-{self.name}"


class LabNode(Protocol):
    """A machine of the lab. All four may be called in any state; each raises LabError."""

    @property
    def address(self) -> str:
        """Where sshd listens on port 22."""

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
