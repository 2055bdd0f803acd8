"""Time that passes more slowly on emulated machines, so that what waits by a clock there is not late.

Whatever runs in a cluster waits by clocks: leases end, probes fail, requests are given up. On a machine that does
everything ten times as slowly they do so although nothing is broken, and what was too late is done again. And what is
done each second is done ten times as often for the same work: three machines that have nothing to do take all of two
cores. So QEMU is given a clock that is slower than the host's (libfaketime, which Debian has), and a guest takes its
processor for that much faster. As emulation of networks does it: D. Gupta and others, "To Infinity and Beyond:
Time-Warped Network Emulation", NSDI 2006.

All machines of a lab are at the same moment, since they count from the same one: `dilation.json` in its folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import state
from pic4ser_lib.site.schema import Dilation

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_SLOW = 10  # so much slower is emulation, when others want the cores as well
# qemu.emulated_boot_seconds where time eight times slower was found to be fit: what was measured elsewhere (2 and 4) by
# how much longer the same builds took there.
_BOOT_SECONDS = {"bookworm": 5.0, "trixie": 10.0}
_MOST = 40  # two and a half times that is the most that a site's file takes as `patience`


def known(home: Path) -> Dilation | None:
    """What the lab at `home` counts from; None as long as it has no machine whose time is slow."""
    try:
        return Dilation.model_validate_json((home / "dilation.json").read_text())
    except (OSError, ValueError):
        return None


def cores() -> int:
    """How many of this machine's there are for the lab."""
    return len(os.sched_getaffinity(0))


def fitting(processors: int, cores: int, *, release: str, boot_seconds: float) -> int:
    """How many times slower the time of emulated machines should be that have so many processors between them.

    `boot_seconds` is what a guest of that release takes to boot here (qemu.emulated_boot_seconds). With monitoring
    installed and nothing else to do, three machines of two processors want about ten seconds for each of their own on
    a machine on which Debian 12's kernel takes five (an estimate, docs/kinds.md). Whatever is done there comes on top
    of it, so two such cores need eight times slower time for them; a single machine that has only begun does with two.
    Quicker cores need less; half more than that, since none is as quick all the time. Never more than forty.
    """
    slow = boot_seconds / _BOOT_SECONDS.get(release, 5.0)
    return min(_MOST, max(2, round((3 * processors / cores - 1) * max(slow, min(1.0, 1.5 * slow)))))


def patience(slower: Dilation | None) -> int:
    """How many times longer than usual this machine may have to wait for emulated machines.

    They are about ten times slower. What settles by a clock there takes as much longer as their time is slow, and up to
    two and a half times that: less is done in one of their seconds than in one of a real machine.
    """
    return max(_SLOW, -(-5 * slower.times // 2)) if slower else _SLOW


def begun(home: Path, times: int) -> Dilation:
    """The same, from now on if it is none yet. Raises LabError without the library that it takes."""
    if not _LIBRARY.exists():
        raise LabError(what="slow the time of emulated machines", seen=f"no {_LIBRARY}",
                       remedy="apt-get install libfaketime")  # fmt: skip
    if found := known(home):
        return found
    new = Dilation(since=time.time(), times=times)
    state.write(home / "dilation.json", json.dumps(new.model_dump()))
    return new


def run(
    dilation: Dilation, words: Sequence[str], *, timeout: float, capture_output: bool = True, text: bool = True
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run does, a program whose time goes on from now more slowly, and that of what it leaves running."""
    slow = {
        "LD_PRELOAD": str(_LIBRARY),
        "FAKETIME": f"+0 x{1 / dilation.times:.6f}",
        "NO_FAKE_STAT": "1",  # files are as old as they are
    }
    out = subprocess.PIPE if capture_output else None
    with subprocess.Popen(words, stdout=out, stderr=out, text=text, env={**os.environ, **slow}) as process:
        try:
            said, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
        finally:
            _forget(process.pid)
    return subprocess.CompletedProcess(words, process.returncode, said, errors)


def whole_second(
    dilation: Dilation, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Waits until a second begins there, and returns it as QEMU's -rtc base=: a machine's clock has whole seconds."""
    now = dilation.now(clock())
    second = int(now) + 1
    sleep((second - now) * dilation.times)
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _forget(process: int) -> None:
    """Takes the names from the memory that the library shares among processes: a killed one would leave it."""
    for name in (f"faketime_shm_{process}", f"sem.faketime_sem_{process}"):
        Path("/dev/shm", name).unlink(missing_ok=True)
