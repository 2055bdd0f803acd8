"""NFS where nodes are containers: a folder of this machine that all nodes share, and programs that act as NFS's.

The server answers NFS's and MOUNT's questions on TCP 2049 (and the port mapper's on 111) out of what exportfs exports;
mount.nfs asks it and then binds the shared folder, once the package nfs-common is installed. Data never travels as NFS.
Who serves is up to the site: the node on which the runbook installs the package nfs-kernel-server, whose unit is ours
then; or, where the site says that it has a server already, the node with that address, from its first boot on.
"""

from __future__ import annotations

from pathlib import Path

from pic4ser_lib.lab.identity import File
from pic4ser_lib.lab.nodes import SUBNET, NodeSpec
from pic4ser_lib.lab.pins import FILES

SHARED = "/srv/pic4ser-nfs"
PACKAGES_UNIT = "nfs-server.service"
_OWN = "/usr/local/lib/pic4ser"
_UNITS = "/etc/systemd/system"
_SOURCES = FILES / "node-nfs"


def files(node: NodeSpec, *, program: Path) -> tuple[File, ...]:
    """The stand-ins on every node, and a server that runs on one that exports something. `program` plays both."""
    every = (
        File(f"{_OWN}/nfs", program.read_bytes(), mode=0o755),
        File(f"{_OWN}/mount-nfs.sh", (_SOURCES / "pic4ser-mount-nfs.sh").read_text(), mode=0o755),
        *_unit("pic4ser-mount-nfs.service", wanted_by="sysinit.target"),
        File(f"{_UNITS}/{PACKAGES_UNIT}", (_SOURCES / PACKAGES_UNIT).read_text()),
    )
    if not node.exports:
        return every
    exports = f"{node.exports}\t{SUBNET}(rw,sync,no_subtree_check,no_root_squash)\n"
    server = _unit("pic4ser-nfs-server.service", wanted_by="multi-user.target")
    return (*every, File("/etc/exports", exports), *server)


def _unit(name: str, *, wanted_by: str) -> tuple[File, File]:
    path = f"{_UNITS}/{name}"
    return File(path, (_SOURCES / name).read_text()), File(f"{_UNITS}/{wanted_by}.wants/{name}", target=path)
