"""The record of a run: one file of JSON lines per notebook process, chained by hashes, with secrets left out.

Each line ends with the SHA-256 of the line before it and of its own text, so an edit that is not followed by
recomputing everything below shows. A seal over the last hashes and counts of all journals of a run, kept elsewhere
(the terminal's scrollback, an email), shows any edit.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import PicError

REDACTED = "<redacted>"
_START = "0" * 64
_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


@dataclass(eq=False, kw_only=True)
class JournalFailed(PicError):
    """A journal cannot be written: then the run stops, since nobody could say later what it did."""

    path: str
    seen: str

    def sentence(self) -> str:
        """The file, and why."""
        return f"journal {self.path}: {self.seen.rstrip('.')}."


# ---------------------------------------------------------------------------------------------- secrets

_secrets: set[str] = set()


def register_secret(value: str) -> None:
    """From now on no journal of this process shows `value`, nor a line of it, nor its base64 form.

    Values of fewer than four characters are not looked for: they would be found everywhere.
    """
    if len(value.strip()) < 4:
        return
    lines = [line.strip() for line in value.splitlines()]
    encoded = base64.b64encode(value.encode()).decode()
    _secrets.update((value.strip(), encoded, *(line for line in lines if len(line) >= 8)))


def redacted(value: Any, secrets: Iterable[str]) -> Any:
    """`value` (JSON's kinds) with each secret replaced, in keys too; longer ones first."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, Mapping):
        return {redacted(str(key), secrets): redacted(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, secrets) for item in value]
    return value


# ---------------------------------------------------------------------------------------------- writing


class Journal:
    """One process's journal. Each line is on the disk when `write` returns. Threads may share it.

    A file that is already there is continued; what a kill has torn off its end is cut away, and a line says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0
        self._head = Head(self.path.name, 0, _START)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add one entry; `n` and `time` (UTC) are put before it. Raises JournalFailed."""
        with self._lock:
            try:
                if self._fd < 0:
                    self._open()
                self._append(entry)
            except OSError as error:
                raise JournalFailed(
                    path=str(self.path),
                    seen=error.strerror or str(error),
                    remedy="Make room or give write permission there, then run this again.",
                ) from error

    def close(self) -> None:
        """Nothing more is written; the next `write` opens the file again."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalFailed(path=str(self.path), seen="another process is writing it") from None
            data = self.path.read_bytes()
            verdict = verify_bytes(data, self.path.name)
            if verdict.state is State.EDITED:
                raise JournalFailed(path=str(self.path), seen=str(verdict), remedy="Move it away.")
            whole = data[: data.rfind(b"\n") + 1]
            os.ftruncate(fd, len(whole))
            _sync_folder(self.path.parent)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._size, self._head = fd, len(whole), verdict.head
        if len(whole) < len(data):
            self._append({"event": "torn", "bytes": len(data) - len(whole)})

    def _append(self, entry: Mapping[str, Any]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        ours = {"n": self._head.count + 1, "time": stamp}
        line, hashed = chained({**ours, **redacted(entry, tuple(_secrets)), **ours}, self._head.hash)
        try:
            _write_all(self._fd, line)
            os.fsync(self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)  # nothing half-written stays when the disk is full
            raise
        self._size += len(line)
        self._head = Head(self._head.name, self._head.count + 1, hashed)


def chained(entry: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """The line of an entry that follows a line with the hash `before`, and its own hash."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str)
    body = text.removesuffix("}").encode("utf-8", errors="backslashreplace")
    hashed = _hash(before, body)
    return body + f',"hash":"{hashed}"}}\n'.encode(), hashed


# ---------------------------------------------------------------------------------------------- verifying


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


def verify(path: Path) -> Verdict:
    """Whether one journal is as it was written."""
    try:
        return verify_bytes(Path(path).read_bytes(), Path(path).name)
    except FileNotFoundError:
        return Verdict(State.MISSING, Head(Path(path).name, 0, _START))


def verify_bytes(data: bytes, name: str) -> Verdict:
    """The same for a journal's bytes."""
    *whole, rest = data.split(b"\n")
    before = _START
    for number, line in enumerate(whole, start=1):
        match = _LINE.fullmatch(line)
        if not match or _hash(before, match[1]) != match[2].decode() or not _numbered(line, number):
            return Verdict(State.EDITED, Head(name, number - 1, before), number)
        before = match[2].decode()
    head = Head(name, len(whole), before)
    return Verdict(State.TORN, head, len(whole) + 1) if rest else Verdict(State.OK, head)


def verify_run(folder: Path, *, seal: str = "") -> tuple[Verdict, ...]:
    """One verdict a journal of a run's folder, compared with what run.json sealed (if the run got that far).

    With `seal`, what the run printed: one more verdict, which is good only if nothing at all was edited since.
    """
    sealed = {head.name: head for head in _sealed(folder)}
    paths = {path.name: path for path in _journals(folder)}
    verdicts = [_against(verify(path), sealed, name) for name, path in sorted(paths.items())]
    verdicts += [Verdict(State.MISSING, head) for name, head in sorted(sealed.items()) if name not in paths]
    if seal:
        heads = [verdict.head for verdict in verdicts if verdict.state is not State.MISSING]
        now = Head("seal", len(heads), seal_of(heads))
        same = now.hash == seal.strip() and all(verdict.good for verdict in verdicts)
        verdicts.append(Verdict(State.OK if same else State.UNSEALED, now, note="" if same else f"now {now.hash}"))
    return tuple(verdicts)


def seal(paths: Iterable[Path]) -> str:
    """One hash over the names, counts and last hashes of journals; keep it where nobody can edit it."""
    return seal_of(verify(path).head for path in paths)


def seal_of(heads: Iterable[Head]) -> str:
    """The same for heads that are known already."""
    rows = sorted([head.name, head.count, head.hash] for head in heads)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_run(folder: Path, run: Mapping[str, Any]) -> str:
    """Write run.json, atomically: `run`, the heads of the folder's journals and their seal, which is returned."""
    heads = [verify(path).head for path in _journals(folder)]
    sealed = seal_of(heads)
    journals = [{"name": head.name, "count": head.count, "hash": head.hash} for head in heads]
    content = redacted({**run, "journals": journals, "seal": sealed}, tuple(_secrets))
    _replace(folder / "run.json", json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
    return sealed


def _against(verdict: Verdict, sealed: Mapping[str, Head], name: str) -> Verdict:
    """Not what run.json says: somebody recomputed the chain, or cut lines off its end."""
    if not verdict.good or not sealed or sealed.get(name) == verdict.head:
        return verdict
    known = sealed.get(name)
    note = f"run.json counted {known.count}" if known else "run.json does not know it"
    return Verdict(State.UNSEALED, verdict.head, note=note)


def _sealed(folder: Path) -> list[Head]:
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        return [Head(str(one["name"]), int(one["count"]), str(one["hash"])) for one in run["journals"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _journals(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.jsonl"))


def _numbered(line: bytes, number: int) -> bool:
    try:
        return bool(json.loads(line)["n"] == number)
    except (ValueError, KeyError, TypeError):
        return False


def _hash(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _replace(path: Path, text: str) -> None:
    """A whole new file or the old one, also after a power cut."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
