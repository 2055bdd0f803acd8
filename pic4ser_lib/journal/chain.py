"""The chain: how a line follows from the one before it, and whether a file still does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

START = "0" * 64
_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


class State(StrEnum):
    """What a journal was found to be."""

    OK = "ok"
    EDITED = "edited"
    TORN = "torn"
    MISSING = "missing"
    UNSEALED = "unsealed"


@dataclass(frozen=True)
class Head:
    """A journal's name, how many whole lines it has, and the hash of the last of them."""

    name: str
    count: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What is known of one journal (or of a run's seal); `line` is the first that is not as it was written."""

    state: State
    head: Head
    line: int = 0
    note: str = ""

    @property
    def good(self) -> bool:
        """Nothing was edited; a torn last line is a kill's doing, and good."""
        return self.state in (State.OK, State.TORN)

    def __str__(self) -> str:
        lines = f"{self.head.count} line{'s' if self.head.count != 1 else ''}"
        said = {
            State.OK: f"{lines}, as they were written",
            State.TORN: f"{lines}, as they were written; line {self.line} is torn: the process was killed",
            State.EDITED: f"edited at line {self.line}",
            State.MISSING: "missing",
            State.UNSEALED: "not what was sealed",
        }[self.state]
        return f"{self.head.name}: {said}" + (f" ({self.note})" if self.note else "")


def chained(entry: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """The line of an entry that follows a line with the hash `before`, and its own hash."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str)
    body = text.removesuffix("}").encode("utf-8", errors="backslashreplace")
    hashed = _hash(before, body)
    return body + f',"hash":"{hashed}"}}\n'.encode(), hashed


def verify(path: Path) -> Verdict:
    """Whether one journal is as it was written."""
    try:
        return verify_bytes(Path(path).read_bytes(), Path(path).name)
    except FileNotFoundError:
        return Verdict(State.MISSING, Head(Path(path).name, 0, START))


def verify_bytes(data: bytes, name: str) -> Verdict:
    """The same for a journal's bytes."""
    *whole, rest = data.split(b"\n")
    before = START
    for number, line in enumerate(whole, start=1):
        match = _LINE.fullmatch(line)
        if not match or _hash(before, match[1]) != match[2].decode() or not _numbered(line, number):
            return Verdict(State.EDITED, Head(name, number - 1, before), number)
        before = match[2].decode()
    head = Head(name, len(whole), before)
    return Verdict(State.TORN, head, len(whole) + 1) if rest else Verdict(State.OK, head)


def _numbered(line: bytes, number: int) -> bool:
    try:
        return bool(json.loads(line)["n"] == number)
    except (ValueError, KeyError, TypeError):
        return False


def _hash(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()
