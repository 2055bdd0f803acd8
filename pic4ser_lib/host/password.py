"""The sudo password: asked once, by whoever can ask, and kept in memory only."""

from __future__ import annotations

import threading
from collections.abc import Callable


class once:
    """A password source that asks a single time, however many nodes and threads want to know.

    `forget()` makes it ask again: what it got was refused.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._value: str | None = None
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            if self._value is None:
                self._value = self._ask()
            return self._value

    def forget(self) -> None:
        """What is kept is dropped."""
        with self._lock:
            self._value = None

    def __repr__(self) -> str:
        return "once(<password>)"

    def __reduce__(self) -> str:
        raise TypeError("a password does not travel between processes")
