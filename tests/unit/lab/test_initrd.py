"""A file appended to an initrd, read again as the kernel reads it: by the fields of each header."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pic4ser_lib.lab.initrd import appended

_HEADER = 110


def _entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content of each entry up to the trailer, from the form's description in cpio(5)."""
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, named = fields[6], fields[11]
        name = archive[at + _HEADER : at + _HEADER + named - 1].decode()
        start = -(-(at + _HEADER + named) // 4) * 4
        if name == "TRAILER!!!":
            return
        yield name, fields[1], archive[start : start + size]
        at = -(-(start + size) // 4) * 4


@pytest.mark.parametrize("content", [b"", b"x", b"four", b"a\0b" * 1001])
@pytest.mark.parametrize("name", ["a", "pic4ser-identity.tar"])
def test_the_file_is_found_behind_the_image_whatever_its_length(name: str, content: bytes) -> None:
    for image in (b"", b"\x1f\x8bpacked", b"12345678"):
        whole = appended(image, name, content)
        begin = -(-len(image) // 4) * 4
        assert whole.startswith(image)
        assert list(_entries(whole[begin:])) == [(name, 0o100600, content)]
