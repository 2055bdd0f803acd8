"""What a lab that died can leave on the host besides containers: mounts in its folders."""

from __future__ import annotations

import subprocess
from pathlib import Path


def unmount(home: Path) -> list[Path]:
    """Unmounts whatever is mounted inside the lab's folder, the innermost first; what it unmounted."""
    mounted = inside(home, Path("/proc/self/mounts").read_text())
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], capture_output=True, timeout=30)
    return mounted


def inside(home: Path, mounts: str) -> list[Path]:
    """Mount points below `home` in the text of /proc/self/mounts, the innermost first."""
    points = (Path(_unescaped(line.split()[1])) for line in mounts.splitlines())
    return sorted((p for p in points if p != home and p.is_relative_to(home)), key=lambda p: (-len(p.parts), str(p)))


def _unescaped(field: str) -> str:
    # The kernel writes blanks in paths as \040 and the like.
    return field.encode().decode("unicode_escape")
