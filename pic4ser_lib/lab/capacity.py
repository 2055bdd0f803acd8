"""Whether this machine can hold the lab: looked at before anything starts, everything at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pic4ser_lib.errors import LabError

NODE_BYTES = 900_000_000  # one node with its share of a cluster, measured; see README
_INOTIFY_MOST = Path("/proc/sys/fs/inotify/max_user_instances")
MIRROR_BYTES = 100_000_000
NODE_DISK_BYTES = 3_000_000_000
INOTIFY_PER_NODE = 25  # measured: 29 and 24 on control planes, 16 on a worker; all of them count as root's
PROGRAMS = {  # and the Debian package each comes in
    "podman": "podman",
    "runc": "runc",
    "netavark": "netavark",
    "skopeo": "skopeo",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
}


@dataclass(frozen=True)
class Capacity:
    """What the machine has left. `overlay` says that the state folder is itself on an overlay file system."""

    root: bool
    missing_programs: tuple[str, ...]
    memory_bytes: int
    disk_bytes: int
    inotify_instances: int
    inotify_most: int = 128
    overlay: bool = False


def seen(state: Path) -> Capacity:
    """The machine as it is now."""
    there = next(path for path in (state, *state.parents) if path.exists())
    return Capacity(
        root=os.geteuid() == 0,
        missing_programs=tuple(name for name in PROGRAMS if shutil.which(name, path=_path()) is None),
        memory_bytes=_available_memory(),
        disk_bytes=shutil.disk_usage(there).free,
        inotify_instances=int(_INOTIFY_MOST.read_text()) - _inotify_used(),
        inotify_most=int(_INOTIFY_MOST.read_text()),
        overlay=file_system(there, Path("/proc/self/mounts").read_text()) == "overlay",
    )


def require(machine: Capacity, *, new_nodes: int) -> None:
    """Raises LabError with everything that is missing for so many more nodes."""
    missing = shortcomings(machine, new_nodes=new_nodes)
    if missing:
        raise LabError(
            what="start", seen="; ".join(seen for seen, _ in missing), remedy=" ".join(m for _, m in missing)
        )


def shortcomings(machine: Capacity, *, new_nodes: int) -> list[tuple[str, str]]:
    """Pairs of what is missing and what to do about it."""
    found = []
    if not machine.root:
        found.append(("this is not root", "Run it with sudo: nodes are privileged containers."))
    if machine.missing_programs:
        packages = sorted({PROGRAMS[name] for name in machine.missing_programs})
        found.append((f"no {', '.join(machine.missing_programs)}", f"apt-get install {' '.join(packages)}."))
    if machine.overlay:
        found.append(
            ("the lab's state would be on an overlay file system, where containerd cannot work",
             "Set XDG_STATE_HOME to a folder on ext4 or xfs.")
        )  # fmt: skip
    return found + _too_little(machine, new_nodes)


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, out of the text of /proc/self/mounts."""
    fields: Sequence[list[str]] = [line.split() for line in mounts.splitlines()]
    holders = [(len(field[1]), field[2]) for field in fields if path.is_relative_to(field[1])]
    return max(holders)[1] if holders else ""


def _too_little(machine: Capacity, new_nodes: int) -> list[tuple[str, str]]:
    memory = new_nodes * NODE_BYTES + (MIRROR_BYTES if new_nodes else 0)
    disk, watches = new_nodes * NODE_DISK_BYTES, new_nodes * INOTIFY_PER_NODE
    found = []
    if memory > machine.memory_bytes:
        fitting = max(0, (machine.memory_bytes - MIRROR_BYTES) // NODE_BYTES)
        seen = f"{new_nodes} nodes need {_gb(memory)} of memory and {_gb(machine.memory_bytes)} is free"
        found.append((seen, f"Here is room for {fitting}: give the site fewer nodes, or stop other programs."))
    if disk > machine.disk_bytes:
        seen = f"{new_nodes} nodes need {_gb(disk)} of disk and {_gb(machine.disk_bytes)} is free"
        found.append((seen, "Make room, or set XDG_STATE_HOME to a folder on a larger disk."))
    if watches > machine.inotify_instances:
        seen = f"{new_nodes} nodes need {watches} inotify instances and {max(0, machine.inotify_instances)} are free"
        remedy = f"sysctl -w fs.inotify.max_user_instances={max(512, 2 * (machine.inotify_most + watches))}."
        found.append((seen, remedy))
    return found


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _available_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes["MemAvailable"] * 1024


def _inotify_used() -> int:
    # The limit counts per user: root's containers and root's services share one.
    used = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == 0:
                used += sum(fd.readlink().name == "anon_inode:inotify" for fd in (process / "fd").iterdir())
    return used


def _path() -> str:
    # runc, ip and podman's own helpers live where a user's PATH does not look.
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman"
