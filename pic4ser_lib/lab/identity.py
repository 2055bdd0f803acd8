"""What makes a booted image one machine of the lab: its files, as data.

Everything an administrator would have set up before the runbook begins: names, the SSH keys, the sudo user's
access, Debian's own package source, the default route. Nothing of Kubernetes.
"""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from pic4ser_lib.lab.nodes import MIRROR_ADDRESS, USER, NodeSpec

_KEYRING = "/usr/share/keyrings/pic4ser-lab.asc"
_UNITS = "/etc/systemd/system"
_USER_ID = 1000

_ROUTE_UNIT = f"""\
[Unit]
Description=Default route through the lab's mirror, which forwards nothing
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip route replace default via {MIRROR_ADDRESS}

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class File:
    """A file (or, with `target`, a symbolic link) in the node's own disk."""

    path: str
    content: str | bytes = ""
    mode: int = 0o644
    owner: int = 0
    target: str = ""


ROUTED = (
    File(f"{_UNITS}/pic4ser-route.service", _ROUTE_UNIT),
    File(f"{_UNITS}/sysinit.target.wants/pic4ser-route.service", target=f"{_UNITS}/pic4ser-route.service"),
)
"""A container's address comes from podman; its default route is all that lacks."""


@dataclass(frozen=True)
class Plain:
    """One machine as it leaves the hands of whoever installed Debian on it."""

    spec: NodeSpec
    machine_id: str
    product_uuid: str
    user_key: str
    apt_key: str
    host_public_key: str
    host_private_key: str = field(repr=False)
    neighbours: tuple[NodeSpec, ...] = ()
    more: tuple[File, ...] = field(default=(), repr=False)
    network: tuple[File, ...] = ROUTED

    def files(self) -> tuple[File, ...]:
        """Everything that differs from the image; `network` is how its kind of node comes by address and route."""
        return (
            File("/etc/hosts", hosts(self.neighbours or (self.spec,))),
            # Nothing answers there, and says so at once: a lookup in the lab fails in a moment, not in 10 seconds.
            File("/etc/resolv.conf", f"nameserver {MIRROR_ADDRESS}\noptions timeout:1 attempts:1\n"),
            File("/etc/machine-id", f"{self.machine_id}\n", mode=0o444),
            File("/etc/ssh/ssh_host_ed25519_key", self.host_private_key, mode=0o600),
            File("/etc/ssh/ssh_host_ed25519_key.pub", f"{self.host_public_key}\n"),
            File(f"/home/{USER}/.ssh/authorized_keys", f"{self.user_key}\n", mode=0o600, owner=_USER_ID),
            File(_KEYRING, self.apt_key),
            File("/etc/apt/sources.list.d/debian.sources", _sources(self.spec.release)),
            *self.network,
            *self.more,
        )


def plain(
    node: NodeSpec,
    nodes: Sequence[NodeSpec],
    *,
    user_key: str,
    apt_key: str,
    host_key: tuple[str, str],
    more: tuple[File, ...] = (),
    network: tuple[File, ...] = ROUTED,
) -> Plain:
    """A machine that has never been seen before: its machine-id and its firmware's UUID are new.

    `more` are files of this node's hardware and services.
    """
    return Plain(
        spec=node,
        machine_id=uuid.uuid4().hex,
        product_uuid=str(uuid.uuid4()),
        user_key=user_key,
        apt_key=apt_key,
        host_private_key=host_key[0],
        host_public_key=host_key[1],
        neighbours=tuple(nodes),
        more=more,
        network=network,
    )


def _sources(release: str) -> str:
    fields = ("Types: deb", f"URIs: http://{MIRROR_ADDRESS}/debian", f"Suites: {release}", "Components: main")
    return "\n".join((*fields, f"Signed-By: {_KEYRING}", ""))


def hosts(nodes: Sequence[NodeSpec]) -> str:
    """/etc/hosts of every node: machines of one rack know each other's names."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{node.address}\t{node.name}" for node in nodes)]) + "\n"


def as_tar(files: Sequence[File]) -> bytes:
    """The files as a tar that unpacks at /; folders that are missing are made by whoever unpacks it.

    It ends with the two blocks of zeros that end an archive, without the padding that is usual after them: `podman cp`
    stops reading there, and now and then fails because it could not pass the rest on.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in files:
            content = file.content.encode() if isinstance(file.content, str) else file.content
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.mode, entry.uid, entry.gid = file.mode, file.owner, file.owner
            if file.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.target
            else:
                entry.size = len(content)
            tar.addfile(entry, None if file.target else io.BytesIO(content))
        end = packed.tell() + 2 * tarfile.BLOCKSIZE
    return packed.getvalue()[:end]
