"""Says what is going on, on standard error: a line per change, and one at least every two seconds.

A long cell must never look stuck. Standard error is not compared by nbval, so it may carry seconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType


class Progress:
    """While entered, tells every `interval` seconds what each busy node is doing and for how long."""

    def __init__(self, *, interval: float = 2.0, write: Callable[[str], None] | None = None) -> None:
        self._interval, self._write = interval, write or to_stderr
        self._doing: dict[str, tuple[str, float]] = {}
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def tell(self, node: str, doing: str) -> None:
        """A node begins something; a step's action or wait ("step: what") is written at once."""
        with self._lock:
            known, since = self._doing.get(node, ("", 0.0))
            self._doing[node] = (doing, since if doing == known else time.monotonic())
        if ": " in doing and doing != known:
            self._write(f"{node}: {doing}")

    def done(self, node: str) -> None:
        """A node has nothing more to do."""
        with self._lock:
            self._doing.pop(node, None)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            with self._lock:
                busy = sorted(self._doing.items())
            for node, (doing, since) in busy:
                self._write(f"{node}: {_short(doing)} ({time.monotonic() - since:.0f} s)")


def _short(doing: str) -> str:
    """A wait is told again in full, since what is missing matters; a command was shown when it began."""
    step, _, what = doing.partition(": ")
    return doing if not what or what.startswith("waits for") else f"{step}: still at it"


def to_stderr(line: str) -> None:
    """One line, at once."""
    print(line, file=sys.stderr, flush=True)
