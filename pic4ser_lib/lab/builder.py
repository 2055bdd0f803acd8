"""The later stages, built and served while the first notebooks run: a process of its own, which outlives `lab up`.

It holds builder.lock as long as it lives, logs to builder.log, and keeps what is known of each stage in builder.json.
It may be killed at any time: what is finished stays finished, and the next `lab up` (or whoever waits) starts it again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import DeadlinePassed, LabError, PicError
from pic4ser_lib.lab import artifacts, boot, cache, machines, mirror, pins, processes, stages, state

LATER = stages.STAGES[1:]
COMMAND = [sys.executable, "-m", "pic4ser_lib.lab.builder"]
_STOP_SECONDS = 10.0
_WAIT_SECONDS = 3600.0  # everything, cold, on two slow cores
_BEAT_SECONDS = 2.0
_children: list[subprocess.Popen[bytes]] = []  # it outlives us; until then it is ours to reap
_NICENESS = 10  # the notebooks that run meanwhile come first


@dataclass(frozen=True)
class Stage:
    """What is known of a stage. `word` is waiting, building, served or failed; `detail` says what is done, or why."""

    word: str
    detail: str = ""


@dataclass(frozen=True)
class Known:
    """The builder's memory: which artifacts it was started for, and how far each stage is."""

    key: str
    charts: str
    stages: dict[str, Stage]
    online: bool = False

    @property
    def served(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.word == "served" for stage in self.stages.values())


def known(home: Path) -> Known | None:
    """What the last builder wrote; None when there was none since the lab came up."""
    try:
        told = json.loads((home / "builder.json").read_text())
        seen = {name: Stage(**stage) for name, stage in told["stages"].items()}
        return Known(told["key"], told["charts"], seen, told.get("online", False))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure(home: Path, *, charts: Path | None = None, online: bool = False) -> None:
    """The later stages are served as they are pinned now, or a builder is at it."""
    wanted = Known(_key(), str(charts or ""), dict.fromkeys(LATER, Stage("waiting")), online)
    seen = known(home)
    same = seen is not None and replace(seen, stages={}) == replace(wanted, stages={})
    if seen and same and (seen.served or alive(home)):
        return
    stop(home)
    _keep(home, replace(wanted, stages={**wanted.stages, **_served(seen)}) if seen and same else wanted)
    _start(home)


def alive(home: Path) -> bool:
    """Whether a builder runs: it holds its lock."""
    path = home / "builder.lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who asks is not in the way of who asks too
        except BlockingIOError:
            return True
    return False


def stop(home: Path) -> None:
    """No builder runs any more, nor anything that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _STOP_SECONDS
        if alive(home):
            with suppress(OSError, ValueError):
                os.kill(int((home / "builder.lock").read_text()), number)
        while alive(home) and time.monotonic() < end:
            time.sleep(0.05)


def told(home: Path) -> tuple[tuple[str, str], ...]:
    """Each of the later stages with one line on how far it is."""
    seen, stopped = known(home), not alive(home)
    lines = {name: _line(stage, stopped) for name, stage in seen.stages.items()} if seen else {}
    return tuple(lines.items())


def wait(home: Path, stage: str, *, tell: Callable[[str], None], seconds: float = _WAIT_SECONDS) -> None:
    """Returns when the mirror serves the stage; says at least every 2 s what is being done.

    Raises LabError when it cannot be built, DeadlinePassed after `seconds`.
    """
    end, told = time.monotonic() + seconds, 0.0
    while (now := _stage(home, stage)).word != "served":
        if now.word == "failed":
            raise LabError(what=f"serve {stage}", seen=now.detail, remedy="Mend that, then: pic4ser lab up")
        if time.monotonic() > end:
            raise DeadlinePassed(waiting_for=f"the lab to serve {stage}", seconds=seconds, last_seen=now.detail)
        if not alive(home):
            _revive(home)
        if time.monotonic() - told >= _BEAT_SECONDS:
            told = time.monotonic()
            tell(f"lab: {stage}: {_line(now, False)}")
        time.sleep(0.2)


def _line(stage: Stage, stopped: bool) -> str:
    if stopped and stage.word in ("waiting", "building"):
        return "not built: nobody builds it now; `pic4ser lab up` goes on"
    return f"{stage.word}: {stage.detail}" if stage.detail else stage.word


def _stage(home: Path, stage: str) -> Stage:
    seen = known(home)
    if stage in LATER and seen is None:
        raise LabError(what=f"serve {stage}", seen="nobody builds it", remedy="Run: pic4ser lab up")
    return seen.stages[stage] if seen and stage in LATER else Stage("served")


def _served(seen: Known) -> dict[str, Stage]:
    return {name: stage for name, stage in seen.stages.items() if stage.word == "served"}


def _revive(home: Path) -> None:
    seen = known(home)
    if seen and state.running(home) and not (seen.served or any(s.word == "failed" for s in seen.stages.values())):
        _start(home)


def _key() -> str:
    recipes = stages.plan(stages.STAGES[-1], pins.load(), cache.root()).recipes
    return cache.key_of({name: recipe.key for name, recipe in recipes.items()})


def _keep(home: Path, now: Known) -> None:
    state.write(home / "builder.json", json.dumps(asdict(now), indent=1))


def _start(home: Path) -> None:
    # The lock is taken here and inherited: from this line on, `lab down` sees a builder and can end it.
    with (home / "builder.lock").open("a+") as lock, (home / "builder.log").open("a") as log:
        if not _taken(lock.fileno()):
            return  # another builder has just begun
        process = subprocess.Popen(
            [*COMMAND, str(home), str(lock.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        _children.append(process)
        lock.truncate(0)
        lock.write(str(process.pid))


def _taken(lock: int) -> bool:
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)  # somebody may be asking just now whether a builder runs
    return False


# ------------------------------------------------------------------------------------------ in the builder's process


class _Work:
    """Builds and serves stage after stage, and writes down how far it is."""

    def __init__(self, home: Path, now: Known) -> None:
        self.home, self.now = home, now
        self.doing: dict[str, float] = {}
        self.changing = threading.Lock()

    def all(self) -> bool:
        """Whether every stage is served in the end. A stage that fails does not hold back the next."""
        for stage in LATER:
            if self.now.stages[stage].word == "served":
                continue
            try:
                self._one(stage)
            except PicError as error:
                print(f"{state.now()} {stage}: {error}", flush=True)
                self._say(stage, "failed", str(error))
        return self.now.served

    def _one(self, stage: str) -> None:
        self._say(stage, "building")
        charts = Path(self.now.charts) if self.now.charts else None
        told = partial(self._heard, stage)
        lab = state.running(self.home)
        guests = machines.releases(lab.nodes) if lab else ()
        made = artifacts.build(stage, told, charts=charts, online=self.now.online, guests=guests)
        if state.running(self.home) is None:
            raise LabError(what=f"serve {stage}", seen="the lab is down", remedy="Run: pic4ser lab up")
        served = mirror.of(made, cache.root(), self.home)
        served.serve(stage, made, tell=lambda line: self._say(stage, "building", line))
        boot.complete(self.home, made)
        self._say(stage, "served")

    def _heard(self, stage: str, artifact: str, what: str, seconds: float) -> None:
        with self.changing:
            if what == "building":
                self.doing[artifact] = seconds
            else:
                self.doing.pop(artifact, None)
            detail = ", ".join(f"{name} ({taken:.0f} s)" for name, taken in self.doing.items())
        if what in ("ready", "failed"):
            print(f"{state.now()} {stage}: {artifact} {what} after {seconds:.1f} s", flush=True)
        if what in ("building", "ready"):
            self._say(stage, "building", detail)

    def _say(self, stage: str, word: str, detail: str = "") -> None:
        with self.changing:
            self.now = replace(self.now, stages={**self.now.stages, stage: Stage(word, detail)})
            _keep(self.home, self.now)


def main(words: list[str]) -> int:
    """`HOME LOCK`: LOCK is the inherited descriptor. Exit code 0 when every stage is served."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    home, now = Path(words[0]), known(Path(words[0]))
    os.set_inheritable(int(words[1]), False)  # ours alone: not that of a compiler that outlives us
    if now is None:
        return 1
    os.nice(_NICENESS)
    processes.let_others_first(os.getpid(), _NICENESS)
    mark = home / "mirror" / "www" / mirror.BUILDING
    try:
        print(f"{state.now()} builder {os.getpid()}: {', '.join(LATER)}", flush=True)
        mark.touch()
        return 0 if _Work(home, now).all() else 1
    except KeyboardInterrupt:
        print(f"{state.now()} builder {os.getpid()}: stopped", flush=True)
        return 130
    finally:
        mark.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
