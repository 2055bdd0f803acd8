"""Puts artifacts where the mirror serves them: every file there whole or not at all, while others download."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pic4ser_lib.lab import cache, state


def publish(trees: Iterable[tuple[str, Path]], top: Path, listing: Path) -> None:
    """Links each folder's files below its path under `top`; what `listing` names from before and is gone now, goes.

    Files come before the repositories' indexes that name them, and what is there already stays as it is.
    """
    wanted = {
        top / below / path.relative_to(folder): path
        for below, folder in trees
        for path in folder.rglob("*")
        if path.is_file()
    }
    for target in sorted(wanted, key=_is_index):
        _link(wanted[target], target)
    before = listing.read_text().splitlines() if listing.exists() else []
    state.write(listing, "".join(f"{target}\n" for target in sorted(wanted)), mode=0o644)
    for line in before:
        if Path(line) not in wanted:
            Path(line).unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    if target.exists() and _same(source, target):
        return
    beside = target.with_name(f".{target.name}.new")
    beside.unlink(missing_ok=True)
    cache.link(source, beside)
    beside.rename(target)


def _same(source: Path, target: Path) -> bool:
    one, other = source.stat(), target.stat()
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev) or (one.st_size, one.st_mtime_ns) == (
        other.st_size,
        other.st_mtime_ns,
    )


def _is_index(path: Path) -> tuple[bool, str]:
    return path.name.startswith(("InRelease", "Packages", "Release", "index.yaml")), str(path)
