"""What a lab that died can leave on the host besides containers: mounts."""

from __future__ import annotations

import subprocess
from pathlib import Path


def unmount(folder: Path, *, with_name: str = "") -> list[Path]:
    """Unmounts what is mounted inside the folder (with this name in its path), the innermost first; what it was."""
    mounted = inside(folder, Path("/proc/self/mounts").read_text(), with_name=with_name)
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], capture_output=True, timeout=30)
    return mounted


def inside(folder: Path, mounts: str, *, with_name: str = "") -> list[Path]:
    """Mount points below `folder` in the text of /proc/self/mounts, the innermost first."""
    points = (Path(_unescaped(line.split()[1])) for line in mounts.splitlines())
    found = (p for p in points if p != folder and p.is_relative_to(folder))
    wanted = (p for p in found if not with_name or with_name in p.parts)
    return sorted(wanted, key=lambda p: (-len(p.parts), str(p)))


def _unescaped(field: str) -> str:
    # The kernel writes blanks in paths as \040 and the like.
    return field.encode().decode("unicode_escape")
