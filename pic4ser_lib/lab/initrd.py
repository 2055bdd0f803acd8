"""A file of ours in an initrd: the kernel unpacks one archive after another, so ours is appended to the image's."""

from __future__ import annotations

_FILE = 0o100600


def appended(initrd: bytes, name: str, content: bytes) -> bytes:
    """The initrd with one more file at its root, readable by root only."""
    return _padded(initrd) + _entry(name, content, mode=_FILE) + _entry("TRAILER!!!", b"")


def _entry(name: str, content: bytes, *, mode: int = 0) -> bytes:
    """One entry of a cpio archive in the form "newc", the only one that Linux reads."""
    path = name.encode() + b"\0"
    # inode, mode, user, group, links, time, size, four device numbers, the name's length, no checksum
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
