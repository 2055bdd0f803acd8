"""Large answers on one line: a command's output, packed where it is made and unpacked here."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from typing import Any


def pack(command: str) -> str:
    """A command whose output comes as one line without spaces; an empty output as an empty line."""
    return f"{command} | gzip -c | base64 -w 0"


def unpacked(line: str) -> str:
    """The text of such a line. One that was never packed is taken as it is, so that fixtures can be read."""
    try:
        return gzip.decompress(base64.b64decode(line, validate=True)).decode(errors="replace") if line else ""
    except (binascii.Error, gzip.BadGzipFile, EOFError, ValueError):
        return line


def as_json(line: str) -> Any:
    """The JSON in such a line; None when it is empty."""
    text = unpacked(line).strip()
    return json.loads(text) if text else None
