"""Where artifacts live: one folder each, named by the hash of what it is made of, complete or not there at all.

<root>/artifacts/<name>/<key>/     an artifact; never changed once it is there
<root>/artifacts/<name>/.building-*    a build under way, or what a killed one left
<root>/locks/<name>.lock           held while <name> is built: two runs at once share the work
<root>/go/mod, <root>/go/build     Go's module and build caches
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ArtifactError

_UNFINISHED = ".building-"


def root() -> Path:
    """The cache's folder: $PIC4SER_CACHE, else $XDG_CACHE_HOME/pic4ser, else ~/.cache/pic4ser."""
    if named := os.environ.get("PIC4SER_CACHE"):
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "pic4ser"


def key_of(inputs: Mapping[str, Any]) -> str:
    """Sixteen hex digits that change whenever one of the inputs (anything JSON can hold) does."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder(cache: Path, name: str, key: str) -> Path:
    """Where this artifact is, or will be once it is complete."""
    return cache / "artifacts" / name / key


def ensure(cache: Path, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The complete artifact, built by `build(folder)` unless it is there already.

    Raises ArtifactError when the disk refuses; whatever else `build` raises passes through. Either way nothing is left.
    """
    complete = folder(cache, name, key)
    if complete.is_dir():
        return complete
    with _disk_errors(name, complete), lock(cache, name):
        _remove_leftovers(complete.parent)
        if not complete.is_dir():
            _build_beside(complete, build)
    return complete


@contextmanager
def lock(cache: Path, name: str, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Holds <name>'s lock; it ends with the process. Raises BlockingIOError if it is taken and `wait` is false."""
    path = cache / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with path.open("w") as file:
        fcntl.flock(file, mode)
        yield


def write(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """A new file with its folders, created with its mode: a secret is never readable in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        os.fchmod(descriptor, mode)


def link(source: Path, target: Path) -> None:
    """The same file under a second name, without a second copy where the file system can do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(tree: Path) -> None:
    """Deletes a folder, also one with read-only folders in it (Go's module cache has them)."""
    if not tree.exists():
        return
    for path, _, _ in os.walk(tree):
        Path(path).chmod(0o700)
    shutil.rmtree(tree)


def _build_beside(complete: Path, build: Callable[[Path], None]) -> None:
    beside = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{complete.name}-", dir=complete.parent))
    try:
        beside.chmod(0o755)
        build(beside)
        _sync_tree(beside)
        beside.rename(complete)
        _sync(complete.parent)
    finally:
        remove(beside)


def _remove_leftovers(parent: Path) -> None:
    # The lock is ours, so whoever made these is dead.
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{_UNFINISHED}*"):
        remove(leftover)


def _sync_tree(tree: Path) -> None:
    for path, _, names in os.walk(tree):
        for file in map(Path(path).joinpath, names):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        _sync(Path(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(name: str, where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            artifact=name,
            wanted=f"to be built under {where.parent}",
            seen=f"{error.strerror or error} ({error.filename or where})",
            remedy="Make room and check the rights there, or set PIC4SER_CACHE to another folder; then run this again.",
        ) from error
