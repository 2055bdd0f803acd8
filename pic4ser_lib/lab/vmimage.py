"""The disk that virtual machines start from: Debian with a kernel of its own, an installed machine without a name.

The artifact vm-image (vm-image-trixie for that release) holds disk.raw (ext4 without a partition table, sparse), and
the kernel and initrd that QEMU boots it with. A node's disk is an overlay on disk.raw, which itself never changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import processes, rootfs
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Recipe

NAME, ROOT = "vm-image", "root-vm"
DISK, KERNEL, INITRD = "disk.raw", "vmlinuz", "initrd"
_DISK_BYTES = 16 * 2**30  # as large as the machine sees it; only what is written takes room


def recipes(pins: Pins, release: str) -> dict[str, Recipe]:
    """root-vm and vm-image, or those of another release: made only for a lab with such virtual machines."""
    roots, name = rootfs.recipes(pins), name_of(pins, release)
    root = roots[name.replace(NAME, ROOT)]
    image = Recipe(
        name=name,
        inputs={"size": _DISK_BYTES, "recipe": 1},
        make=lambda into, made: _make_image(name, into, made[root.name] / "root.tar"),
        needs=(root,),
        disk_bytes=2_500_000_000,
    )
    return {root.name: root, name: image}


def name_of(pins: Pins, release: str) -> str:
    """The artifact with this release's image."""
    return NAME if release == pins.debian["suite"] else f"{NAME}-{release}"


def _make_image(name: str, into: Path, packed: Path) -> None:
    root = into / ".root"
    root.mkdir()
    processes.run(name, ["tar", "--extract", "--numeric-owner", "--file", packed, "--directory", root])
    shutil.copyfile(_only(name, (root / "boot").glob("vmlinuz-*"), "kernel"), into / KERNEL)
    shutil.copyfile(_only(name, (root / "boot").glob("initrd.img-*"), "initrd"), into / INITRD)
    # Filled while it is made: nothing has to be mounted, so nothing can stay mounted.
    processes.run(
        name, ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, into / DISK, f"{_DISK_BYTES // 1024}k"]
    )
    shutil.rmtree(root)


def _only(artifact: str, found: Iterable[Path], what: str) -> Path:
    paths = sorted(found)
    if len(paths) != 1:
        seen = f"{len(paths)} of them: {', '.join(path.name for path in paths)}"
        raise ArtifactError(artifact=artifact, wanted=f"one {what} in the root's /boot", seen=seen)
    return paths[0]
