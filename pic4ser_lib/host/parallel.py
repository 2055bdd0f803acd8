"""Several nodes at once, in threads: one bad node does not stop the others; Ctrl-C stops all of them cleanly."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What a stop closes: an open channel."""

    def close(self) -> None:
        """End it; whoever waits for it wakes up."""


class Stop:
    """A request to stop, for all that a group of threads is waiting for."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._open: set[Closable] = set()
        self._lock = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether somebody wants this group to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """From now on nothing is opened, and what is open is closed."""
        with self._lock:
            self._asked.set()
            waiting = tuple(self._open)
        for channel in waiting:
            channel.close()

    def add(self, channel: Closable) -> None:
        """Remember an open channel. Raises KeyboardInterrupt when the group is to stop."""
        with self._lock:
            self._open.add(channel)
        self.check()

    def drop(self, channel: Closable) -> None:
        """The channel is closed."""
        with self._lock:
            self._open.discard(channel)

    def check(self) -> None:
        """Raises KeyboardInterrupt when the group is to stop: a thread's way to hear of Ctrl-C."""
        if self.asked:
            raise KeyboardInterrupt


_stop: contextvars.ContextVar[Stop] = contextvars.ContextVar("stop")
_never = Stop()


def current_stop() -> Stop:
    """The stop that this thread's group listens to."""
    return _stop.get(_never)


def in_parallel(tasks: dict[str, Callable[[], T]], cap: int = 10) -> dict[str, T | Exception]:
    """Every task's result, or the exception it raised, in the order of `tasks`; at most `cap` run at once.

    Ctrl-C closes the channels of all tasks (what was started on a node finishes there), starts none that waits, and
    raises KeyboardInterrupt once their threads have ended.
    """
    stop = Stop()
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in tasks:
        todo.put(name)
    results: dict[str, T | Exception] = {}
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(_work, stop, todo, tasks, results), daemon=True)
        for _ in range(min(cap, len(tasks)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        stop.ask()
        for thread in threads:
            if thread.ident is not None:  # started
                thread.join(timeout=20)
        raise
    return {name: results[name] for name in tasks}


def _work(
    stop: Stop, todo: queue.SimpleQueue[str], tasks: dict[str, Callable[[], T]], results: dict[str, T | Exception]
) -> None:
    _stop.set(stop)
    while not stop.asked:
        try:
            name = todo.get_nowait()
        except queue.Empty:
            return
        try:
            results[name] = tasks[name]()
        except Exception as error:
            results[name] = error
        except BaseException as error:
            if not stop.asked:
                results[name] = RuntimeError(f"{name}: stopped by {type(error).__name__}")
