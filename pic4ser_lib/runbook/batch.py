"""Notebook processes side by side: started, watched and stopped from one thread.

One thread, because a child asks the kernel to be told when the thread that started it dies.
"""

from __future__ import annotations

import enum
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pic4ser_lib.runbook.execution import STARTER
from pic4ser_lib.runbook.notebook import outcome_of

STOPS_WITHIN = 60.0
"""Seconds that an interrupted notebook has for the action it is in the middle of."""

_BEAT = 0.5


class State(enum.StrEnum):
    """How a notebook (on one node, or on the cluster) stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Launch:
    """One notebook process to be: what it executes, with which parameters, and where its traces go."""

    notebook: str
    node: str
    source: Path
    executed: Path
    journal: Path
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """What it is called in sentences."""
        return f"{self.notebook} on {self.node}" if self.node else self.notebook


@dataclass(frozen=True)
class Standing:
    """One notebook process as it is seen now. `counts` maps a node to its outcomes so far."""

    launch: Launch
    state: State = State.WAITING
    seconds: float = 0.0
    doing: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    error: str = ""
    error_name: str = ""


Tell = Callable[[Sequence[Standing]], None]


def go(
    launches: Sequence[Launch], *, at_once: int, environment: dict[str, str], folder: Path, tell: Tell
) -> list[Standing]:
    """Run all launches, at most `at_once` at a time; none stops another. On Ctrl-C, stops them and says so by STOPPED.

    `folder` is the processes' working directory; `tell` gets the standings whenever a beat passes.
    """
    batch = _Batch(list(launches), at_once, {**environment, STARTER: str(os.getpid())}, folder, tell)
    try:
        batch.run()
    except KeyboardInterrupt:
        batch.stop()
    finally:
        batch.kill()
    return batch.standings()


class _Batch:
    def __init__(
        self, launches: list[Launch], at_once: int, environment: dict[str, str], folder: Path, tell: Tell
    ) -> None:
        self._waiting, self._at_once, self._tell = deque(launches), at_once, tell
        self._environment, self._folder = environment, folder
        self._children: dict[str, _Child] = {}
        self._order = launches
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        while self._waiting or self._running():
            while self._waiting and len(self._running()) < self._at_once:
                self._start(self._waiting.popleft())
            self._beat()

    def stop(self) -> None:
        """Interrupt what runs, and wait for it; a second Ctrl-C does not wait."""
        deadline = time.monotonic() + STOPS_WITHIN
        try:
            for child in self._running():
                child.interrupt()
            while self._running() and time.monotonic() < deadline:
                self._beat()
        except KeyboardInterrupt:
            pass

    def kill(self) -> None:
        """End whatever still runs, and its kernel: SIGTERM does both, SIGKILL leaves the kernel to its own watch."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5.0
            for child in self._running():
                child.end(number)
            while self._running() and time.monotonic() < deadline:
                self._look(0.05)
        self._selector.close()

    def standings(self) -> list[Standing]:
        return [self._children[x.label].standing() if x.label in self._children else Standing(x) for x in self._order]

    def _running(self) -> list[_Child]:
        return [child for child in self._children.values() if child.code is None]

    def _start(self, launch: Launch) -> None:
        child = _Child(launch, self._environment, self._folder)
        self._children[launch.label] = child
        self._selector.register(child.pipe, selectors.EVENT_READ, child)

    def _beat(self) -> None:
        self._look(_BEAT)
        with suppress(OSError):  # a terminal that went away must not keep us from waiting for the notebooks
            self._tell(self.standings())

    def _look(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if not key.data.read():
                self._selector.unregister(key.fileobj)
        for child in self._running():
            child.reap()
            if child.code is not None:
                with suppress(KeyError):  # its end of file may have been seen before
                    self._selector.unregister(child.pipe)
                child.pipe.close()


class _Child:
    """One running process, what it said last, and what its journal says."""

    def __init__(self, launch: Launch, environment: dict[str, str], folder: Path) -> None:
        self.launch, self.interrupted = launch, False
        self.code: int | None = None
        self._started, self._seconds = time.monotonic(), 0.0
        self._said: deque[str] = deque(maxlen=20)
        self._rest = b""
        self._journal = Tail(launch.journal)
        pairs = [f"{name}={value}" for name, value in launch.parameters]
        command = [sys.executable, "-W", "ignore", "-m", "pic4ser_lib.runbook.execution"]
        self._process = subprocess.Popen(
            [*command, str(launch.source), str(launch.executed), *pairs],
            cwd=folder, process_group=0, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**environment, "PIC4SER_JOURNAL": str(launch.journal), "PIC4SER_NOTEBOOK": launch.notebook},
        )  # fmt: skip
        assert self._process.stderr is not None
        self.pipe = self._process.stderr
        os.set_blocking(self.pipe.fileno(), False)

    def read(self) -> bool:
        """Take what was said; False when there is no more for now, or for good."""
        chunk = self.pipe.read(65536)
        *lines, self._rest = (self._rest + (chunk or b"")).split(b"\n")
        self._said.extend(text for line in lines if (text := line.decode("utf-8", "replace").strip()))
        return bool(chunk)

    def reap(self) -> None:
        """Notice the end of the process, and take its last words."""
        self._journal.read()
        if self._process.poll() is not None:
            self._seconds = time.monotonic() - self._started
            while self.read():
                pass
            self._journal.read()
            self.code = self._process.returncode

    def interrupt(self) -> None:
        """Ctrl-C: the running cell is interrupted, and the process ends by itself."""
        self.interrupted = True
        self.end(signal.SIGINT)

    def end(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def standing(self) -> Standing:
        seconds = self._seconds if self.code is not None else time.monotonic() - self._started
        said = self._said[-1] if self._said else "starts"
        said = f"stops when this has ended (Ctrl-C again: at once): {said}" if self.interrupted else said
        standing = Standing(self.launch, State.RUNNING, seconds, said, self._journal.counts)
        return standing if self.code is None else self._ended(standing)

    def _ended(self, standing: Standing) -> Standing:
        if self.code == 0 and self._journal.ended_well:
            return _with(standing, State.DONE)
        if self.interrupted:
            return _with(standing, State.STOPPED, "stopped by Ctrl-C")
        name, text = outcome_of(self.launch.executed)
        if name and name != "SystemExit":
            return _with(standing, State.FAILED, text or name, name)
        return _with(standing, State.FAILED, self._why())

    def _why(self) -> str:
        """Why a notebook without an error in it is not done."""
        if self.code == 0:
            return "It ended without recording its outcome: a cell left it early, or nodes.verify() was not reached."
        if self.code and self.code < 0:
            return f"Its process was ended by signal {-self.code}."
        return "\n".join(self._said) or f"Its process ended with {self.code}."


def _with(standing: Standing, state: State, error: str = "", name: str = "") -> Standing:
    return Standing(standing.launch, state, standing.seconds, "", standing.counts, error, name)


class Tail:
    """A journal that is being written, read as it grows; a torn last line is left until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_to = path, 0
        self._outcomes: dict[tuple[str, str, str], str] = {}
        self.ended_well = False

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many steps of each node ended how; a step that changed something and was then verified has changed."""
        counts: dict[str, Counter[str]] = {}
        for (node, _, _), outcome in self._outcomes.items():
            counts.setdefault(node, Counter())[outcome] += 1
        return {node: dict(counter) for node, counter in counts.items()}

    def read(self) -> None:
        """Take the lines that have come since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            with suppress(ValueError, TypeError, AttributeError):
                self._take(json.loads(line))

    def _take(self, entry: dict[str, Any]) -> None:
        event = entry.get("event")
        self.ended_well = event == "end" and entry.get("ok") is True
        if event == "record":
            key = (entry["node"], entry["step"], entry["wanted"])
            if (self._outcomes.get(key), entry["outcome"]) != ("changed", "ok"):
                self._outcomes[key] = entry["outcome"]
