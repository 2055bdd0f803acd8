"""Archives as upstream publishes them (a release of helm, a tag's source): tar.gz with the same bytes each time."""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from pic4ser_lib.lab import cache
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Made, Recipe, origin

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # gzip without a name and without a time
_MOST = 65535  # what one stored block of deflate can hold


def recipe(pins: Pins, known: Mapping[str, Recipe]) -> Recipe:
    """All archives, under the paths at which they are served."""
    pin: Mapping[str, Mapping[str, Any]] = pins.files["archives"]
    sources = sorted({source.partition("/")[0] for told in pin.values() for source in told["content"].values()})

    def make(into: Path, made: Made) -> None:
        for told in pin.values():
            write(into / told["path"], {target: origin(source, made) for target, source in told["content"].items()})

    return Recipe(
        name="archives",
        inputs={"pin": pin, "recipe": 1},
        make=make,
        needs=tuple(known[name] for name in sources if name != "files"),
        disk_bytes=150_000_000,
    )


def sums(pins: Pins, folder: Path) -> dict[str, str]:
    """The SHA-256 of each archive in the made artifact, by the name under which a site knows it."""
    return {name: cache.digest_of(folder / told["path"]) for name, told in pins.files["archives"].items()}


def write(target: Path, content: Mapping[str, Path]) -> None:
    """Writes files and whole folders, each under a path of the archive."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        stored = _Stored(file)
        with tarfile.open(fileobj=cast(BinaryIO, stored), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name, source in sorted(content.items()):
                _add(tar, name, source)
        stored.end()


def _add(tar: tarfile.TarFile, name: str, source: Path) -> None:
    # Of root and as old as the epoch: the bytes must not depend on who packed them, and when.
    entry = tarfile.TarInfo(name)
    if source.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        for path in sorted(source.iterdir()):
            _add(tar, f"{name}/{path.name}", path)
        return
    entry.mode, entry.size = (0o755 if source.stat().st_mode & 0o100 else 0o644), source.stat().st_size
    with source.open("rb") as file:
        tar.addfile(entry, file)


class _Stored:
    """Writes gzip without compressing: how zlib compresses differs by its version, and sums are pinned."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sum, self._size = file, 0, 0
        file.write(_HEADER)

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), _MOST):
            self._block(data[start : start + _MOST], last=False)
        self._sum, self._size = zlib.crc32(data, self._sum), self._size + len(data)
        return len(data)

    def end(self) -> None:
        self._block(b"", last=True)
        self._file.write(struct.pack("<II", self._sum, self._size & 0xFFFFFFFF))

    def _block(self, data: bytes, *, last: bool) -> None:
        self._file.write(struct.pack("<BHH", last, len(data), len(data) ^ _MOST) + data)
