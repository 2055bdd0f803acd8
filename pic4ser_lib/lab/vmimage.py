"""The disk that virtual machines start from: Debian with a kernel of its own, an installed machine without a name.

The artifact vm-image holds disk.raw (ext4 without a partition table, sparse), and the kernel and initrd that QEMU boots
it with. A node's disk is an overlay on disk.raw, which itself never changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import processes, rootfs
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Made, Recipe

NAME, ROOT = "vm-image", "root-vm"
DISK, KERNEL, INITRD = "disk.raw", "vmlinuz", "initrd"
_DISK_BYTES = 16 * 2**30  # as large as the machine sees it; only what is written takes room


def recipes(pins: Pins) -> dict[str, Recipe]:
    """root-vm and vm-image: made only for a lab with virtual machines."""
    root = rootfs.recipes(pins)[ROOT]
    image = Recipe(
        name=NAME,
        inputs={"size": _DISK_BYTES, "recipe": 1},
        make=_make_image,
        needs=(root,),
        disk_bytes=2_500_000_000,
    )
    return {ROOT: root, NAME: image}


def _make_image(into: Path, made: Made) -> None:
    root = into / ".root"
    root.mkdir()
    processes.run(NAME, ["tar", "--extract", "--numeric-owner", "--file", made[ROOT] / "root.tar", "--directory", root])
    shutil.copyfile(_only((root / "boot").glob("vmlinuz-*"), "kernel"), into / KERNEL)
    shutil.copyfile(_only((root / "boot").glob("initrd.img-*"), "initrd"), into / INITRD)
    # Filled while it is made: nothing has to be mounted, so nothing can stay mounted.
    processes.run(
        NAME, ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, into / DISK, f"{_DISK_BYTES // 1024}k"]
    )
    shutil.rmtree(root)


def _only(found: Iterable[Path], what: str) -> Path:
    paths = sorted(found)
    if len(paths) != 1:
        seen = f"{len(paths)} of them: {', '.join(path.name for path in paths)}"
        raise ArtifactError(artifact=NAME, wanted=f"one {what} in the root's /boot", seen=seen)
    return paths[0]
