"""A machine beside those of parameters/lab, for tests that need one node and no cluster.

They join the lab that runs, or boot one of their own. In `make test` (PIC4SER_BESIDE is set) another session boots the
lab meanwhile, installs a cluster on its machines, and takes all of it down once nobody uses it any more.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import rehearsal
from pic4ser_lib.site import Node, load

LAB = Path(__file__).parents[1] / "parameters" / "lab"
ADDRESS = "10.83.17.14"
BESIDE = bool(os.environ.get("PIC4SER_BESIDE"))
"""Whether the lab is another session's."""
_IN_USE = Path("/run/pic4ser-tests.lock")
_SECONDS = 4500.0  # for the other session to have its lab built, cold; then for this one to end
_held: list[int] = []


def joined(folder: Path) -> Node:
    """The spare machine, running: a plain one, of a site of its own in `folder`, known as the lab's first node."""
    site = folder / "spare"
    (site / "nodes").mkdir(parents=True)
    (site / "cluster.yaml").write_text("title: A spare machine\ncontrol_planes: [spare]\n")
    (site / "nodes" / "spare.yaml").write_text(f"address: {ADDRESS}\n")
    lab_is_there()
    until(lambda: (BESIDE or _added(LAB)) and _added(site), "nobody else changes the lab")
    first = load(LAB).first
    lines = Path(str(first.ssh.known_hosts)).read_text().splitlines()
    known = folder / "known_hosts"
    known.write_text("".join(f"{line}\n" for line in lines if line.startswith(f"{ADDRESS} ")))
    return first.model_copy(update={"address": ADDRESS, "ssh": first.ssh.model_copy(update={"known_hosts": known})})


def lab_is_there() -> None:
    """If the lab is another session's: it runs, serves everything, and goes on as long as this process does."""
    if BESIDE and not _held:
        _held.append(os.open(_IN_USE, os.O_RDWR | os.O_CREAT, 0o600))
        fcntl.flock(_held[0], fcntl.LOCK_SH)
        until(_lab_runs, "the lab is up")
        rehearsal.wait("99", tell=_tell)


def nobody_uses_the_lab() -> None:
    """Whoever runs tests beside these has ended."""
    with _IN_USE.open("a") as lock:
        until(lambda: _taken(lock.fileno()), "the tests beside these have ended")


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for something to come true; the deadline is only there so that a broken test ends."""
    end = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < end, f"waited {_SECONDS:.0f} s until {what}"
        time.sleep(0.5)


def _lab_runs() -> bool:
    now = rehearsal.status()
    return str(LAB) in now.sites and bool(now.stages) and not rehearsal.missing(LAB)


def _added(site: Path) -> bool:
    try:
        return bool(rehearsal.up(site, tell=_tell).nodes)
    except LabError as error:
        if "There is one lab per machine: wait" in str(error):
            return False
        raise


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
