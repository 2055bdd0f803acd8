"""Whether this machine can hold the lab: looked at before anything starts, everything at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import GUEST_MEMORY_BYTES

NODE_BYTES = 900_000_000  # one node with its share of a cluster, measured; see README
_INOTIFY_MOST = Path("/proc/sys/fs/inotify/max_user_instances")
MIRROR_BYTES = 100_000_000
NODE_DISK_BYTES = 3_000_000_000
_QEMU_BYTES = 200_000_000
_TRANSLATED_BYTES = 2**30  # what QEMU keeps of translated code; machines of a cluster fill it more than once
GUEST_DISK_BYTES = 6_000_000_000  # a virtual machine shares nothing with the others but the image
INOTIFY_PER_NODE = 25  # measured: 29 and 24 on control planes, 16 on a worker; all of them count as root's
PROGRAMS = {  # and the Debian package each comes in
    "podman": "podman",
    "runc": "runc",
    "netavark": "netavark",
    "skopeo": "skopeo",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
}
GUEST_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mke2fs": "e2fsprogs"}
_TUN = Path("/dev/net/tun")


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
    tun: bool = True


def seen(state: Path, *, guests: bool = False) -> Capacity:
    """The machine as it is now; with `guests`, looked at for what virtual machines need too."""
    programs = {**PROGRAMS, **GUEST_PROGRAMS} if guests else PROGRAMS
    there = next(path for path in (state, *state.parents) if path.exists())
    return Capacity(
        root=os.geteuid() == 0,
        missing_programs=tuple(name for name in programs if shutil.which(name, path=_path()) is None),
        memory_bytes=_available_memory(),
        disk_bytes=shutil.disk_usage(there).free,
        inotify_instances=int(_INOTIFY_MOST.read_text()) - _inotify_used(),
        inotify_most=int(_INOTIFY_MOST.read_text()),
        overlay=file_system(there, Path("/proc/self/mounts").read_text()) == "overlay",
        tun=_TUN.exists() if guests else True,
    )


def require(machine: Capacity, *, new_nodes: int, new_guests: int = 0) -> None:
    """Raises LabError with everything that is missing for so many more containers and virtual machines."""
    missing = shortcomings(machine, new_nodes=new_nodes, new_guests=new_guests)
    if missing:
        raise LabError(
            what="start", seen="; ".join(seen for seen, _ in missing), remedy=" ".join(m for _, m in missing)
        )


def shortcomings(machine: Capacity, *, new_nodes: int, new_guests: int = 0) -> list[tuple[str, str]]:
    """Pairs of what is missing and what to do about it."""
    found = []
    if not machine.root:
        found.append(("this is not root", "Run it with sudo: nodes are privileged containers."))
    if machine.missing_programs:
        packages = sorted({(PROGRAMS | GUEST_PROGRAMS)[name] for name in machine.missing_programs})
        found.append((f"no {', '.join(machine.missing_programs)}", f"apt-get install {' '.join(packages)}."))
    if machine.overlay:
        found.append(
            ("the lab's state would be on an overlay file system, where containerd cannot work",
             "Set XDG_STATE_HOME to a folder on ext4 or xfs.")
        )  # fmt: skip
    if not machine.tun:
        found.append(("no /dev/net/tun, which connects virtual machines to the lab's network", "modprobe tun."))
    return found + _too_little(machine, new_nodes, new_guests)


def guest_bytes(*, emulated: bool) -> int:
    """How much memory one virtual machine takes of the host."""
    return GUEST_MEMORY_BYTES + _QEMU_BYTES + (_TRANSLATED_BYTES if emulated else 0)


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, out of the text of /proc/self/mounts."""
    fields: Sequence[list[str]] = [line.split() for line in mounts.splitlines()]
    holders = [(len(field[1]), field[2]) for field in fields if path.is_relative_to(field[1])]
    return max(holders)[1] if holders else ""


def _too_little(machine: Capacity, containers: int, guests: int) -> list[tuple[str, str]]:
    # Whether a guest is emulated is tried only once there is room for it.
    memory = (
        containers * NODE_BYTES + guests * guest_bytes(emulated=True) + (MIRROR_BYTES if containers or guests else 0)
    )
    disk = containers * NODE_DISK_BYTES + guests * GUEST_DISK_BYTES
    watches, asked, found = containers * INOTIFY_PER_NODE, _asked(containers, guests), []
    if memory > machine.memory_bytes:
        seen = f"{asked} need {_gb(memory)} of memory and {_gb(machine.memory_bytes)} is free"
        fitting = _fitting(machine, containers, guests)
        found.append((seen, f"Here is room for {fitting}: give the site fewer nodes, or stop other programs."))
    if disk > machine.disk_bytes:
        seen = f"{asked} need {_gb(disk)} of disk and {_gb(machine.disk_bytes)} is free"
        found.append((seen, "Make room, or set XDG_STATE_HOME to a folder on a larger disk."))
    if watches > machine.inotify_instances:
        seen = f"{containers} nodes need {watches} inotify instances and {max(0, machine.inotify_instances)} are free"
        remedy = f"sysctl -w fs.inotify.max_user_instances={max(512, 2 * (machine.inotify_most + watches))}."
        found.append((seen, remedy))
    return found


def _asked(containers: int, guests: int) -> str:
    if not guests:
        return f"{containers} nodes"
    machines = f"{guests} virtual machine{'' if guests == 1 else 's'}"
    return f"{machines} and {containers} containers" if containers else machines


def _fitting(machine: Capacity, containers: int, guests: int) -> int:
    """How many fit: of virtual machines if any are asked for, beside all the containers; else of containers."""
    each, beside = (guest_bytes(emulated=True), containers * NODE_BYTES) if guests else (NODE_BYTES, 0)
    return max(0, (machine.memory_bytes - MIRROR_BYTES - beside) // each)


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
