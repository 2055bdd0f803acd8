"""One process's journal: each line is on the disk before the next step begins."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import PicError
from pic4ser_lib.journal.chain import START, Head, State, chained, verify_bytes
from pic4ser_lib.journal.secrets import known, redacted


@dataclass(eq=False, kw_only=True)
class JournalFailed(PicError):
    """A journal cannot be written: then the run stops, since nobody could say later what it did."""

    path: str
    seen: str

    def sentence(self) -> str:
        """The file, and why."""
        return f"journal {self.path}: {self.seen.rstrip('.')}."


class Journal:
    """One process's journal. Each line is on the disk when `write` returns. Threads may share it. Ctrl-C waits for it.

    A file that is already there is continued; what a kill has torn off its end is cut away, and a line says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0
        self._head = Head(self.path.name, 0, START)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add one entry; `n` and `time` (UTC) are put before it. Raises JournalFailed."""
        with _no_ctrl_c(), self._lock:
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
            sync_folder(self.path.parent)
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
        line, hashed = chained({**ours, **redacted(entry, known()), **ours}, self._head.hash)
        try:
            _write_all(self._fd, line)
            os.fsync(self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)  # nothing half-written stays when the disk is full
            raise
        self._size += len(line)
        self._head = Head(self._head.name, self._head.count + 1, hashed)


def sync_folder(folder: Path) -> None:
    """What was created or renamed in `folder` survives a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Ctrl-C in here is heard at the end: a line that it cuts off, or does not let count, breaks the chain.

    Only the main thread hears it; the others are not disturbed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived:
            signal.raise_signal(signal.SIGINT)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
