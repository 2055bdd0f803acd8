"""How an artifact is made: its name, what it is made of, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import cache
from pic4ser_lib.lab.pins import FILES

Made = Mapping[str, Path]  # the folders of the artifacts that a recipe needs, by name


@dataclass(frozen=True)
class Recipe:
    """One artifact. Its key changes with `inputs` and with the key of everything it `needs`."""

    name: str
    inputs: Mapping[str, Any]
    make: Callable[[Path, Made], None] = field(repr=False)
    needs: tuple[Recipe, ...] = ()
    heavy: bool = False  # uses all cores by itself: only one such at a time
    disk_bytes: int = 50_000_000  # what making it needs at most, with the caches that it fills

    @property
    def key(self) -> str:
        """Sixteen hex digits."""
        return cache.key_of({"inputs": self.inputs, "needs": {need.name: need.key for need in self.needs}})

    def folder(self, root: Path) -> Path:
        """Where it is in this cache once it is made."""
        return cache.folder(root, self.name, self.key)

    def ensure(self, root: Path) -> Path:
        """Makes it unless it is there; everything it needs is there already. Raises ArtifactError."""
        made = {need.name: need.folder(root) for need in self.needs}
        return cache.ensure(root, self.name, self.key, lambda into: self.make(into, made))


@dataclass(frozen=True)
class Entry:
    """A file to put somewhere: from an artifact ("etcd/etcdctl"), from files/ in this package, or a text."""

    target: str
    source: str = ""
    text: str = ""
    mode: int = 0o644

    def content(self, made: Made) -> Path | str:
        """The file to copy, or the text."""
        return origin(self.source, made) if self.source else self.text


def entries(files: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The `files` of a pin; where only a source is named, the file can be executed."""
    return tuple(_entry(target, told) for target, told in files.items())


def place(chosen: Iterable[Entry], into: Path, made: Made) -> None:
    """Puts the files into a folder as if it were the root."""
    for entry in chosen:
        content = entry.content(made)
        cache.write(
            into / entry.target.lstrip("/"),
            content.read_bytes() if isinstance(content, Path) else content,
            mode=entry.mode,
        )


def origin(source: str, made: Made) -> Path:
    """The file that a pin's `from` means."""
    first, _, rest = source.partition("/")
    return FILES / rest if first == "files" else made[first] / rest


def needed(chosen: Iterable[Entry], known: Mapping[str, Recipe]) -> tuple[Recipe, ...]:
    """The recipes whose artifacts these files come from. Raises KeyError for one that no pin names."""
    names = {entry.source.partition("/")[0] for entry in chosen if entry.source}
    return tuple(known[name] for name in sorted(names - {"files"}))


def fingerprint(paths: Iterable[Path]) -> dict[str, str]:
    """File name to SHA-256: own sources and locks as an input of a key."""
    return {path.name: cache.digest_of(path) for path in sorted(paths)}


def own_files(chosen: Iterable[Entry]) -> dict[str, str]:
    """The same for the files/ that these entries use."""
    return {entry.source: cache.digest_of(origin(entry.source, {})) for entry in chosen if _is_own(entry.source)}


def _entry(target: str, told: Any) -> Entry:
    if isinstance(told, str):
        return Entry(target, source=told, mode=0o755)
    return Entry(target, source=told.get("from", ""), text=told.get("text", ""), mode=told.get("mode", 0o644))


def _is_own(source: str) -> bool:
    return source.startswith("files/")
