"""The fingerprints of the keys in a keyring, computed from its bytes (RFC 4880): no program on the node is needed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(.*?)\n-----END", re.DOTALL)
_PUBLIC_KEY = 6


def fingerprints(data: bytes) -> tuple[str, ...]:
    """The primary keys' fingerprints, 40 hexadecimal digits each, sorted; armored and binary keyrings alike.

    What is no keyring has none.
    """
    blocks = [_unarmored(block) for block in _ARMOR.findall(data)] or [data]
    keys = [body for block in blocks for tag, body in _packets(block) if tag == _PUBLIC_KEY and body[:1] == b"\x04"]
    return tuple(sorted({_fingerprint(key) for key in keys}))


def _fingerprint(key: bytes) -> str:
    digest = hashlib.sha1(b"\x99" + len(key).to_bytes(2, "big") + key, usedforsecurity=False)
    return digest.hexdigest().upper()


def _unarmored(block: bytes) -> bytes:
    """The radix-64 part: after the headers' empty line (if there are headers), before the checksum."""
    lines = [line.strip() for line in block.splitlines()]
    body = [line for line in lines if line and b":" not in line and not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(body), validate=True)
    except binascii.Error:
        return b""


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data) and data[position] & 0x80:
        head = data[position]
        new_format = bool(head & 0x40)
        tag = head & 0x3F if new_format else (head >> 2) & 0x0F
        measured = _new_length(data, position + 1) if new_format else _old_length(data, position + 1, head & 3)
        if measured is None:
            return
        start, length = measured
        yield tag, data[start : start + length]
        position = start + length


def _new_length(data: bytes, at: int) -> tuple[int, int] | None:
    first = data[at] if at < len(data) else 255
    if first < 192:
        return at + 1, first
    if first < 224:
        return at + 2, ((first - 192) << 8) + int.from_bytes(data[at + 1 : at + 2], "big") + 192
    return (at + 5, int.from_bytes(data[at + 1 : at + 5], "big")) if first == 255 else None


def _old_length(data: bytes, at: int, kind: int) -> tuple[int, int] | None:
    size = {0: 1, 1: 2, 2: 4}.get(kind)
    return (at + size, int.from_bytes(data[at : at + size], "big")) if size else None
