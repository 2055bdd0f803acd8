"""QEMU: guests that run on this host, and whether this host's KVM can run any.

A guest is found by its command line in /proc, never by a file of ours: a kill in between cannot hide one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import until
from pic4ser_lib.lab.vmimage import INITRD, KERNEL

PROGRAM = "qemu-system-x86_64"
PREFIX = "pic4ser-"
# QEMU translates AVX2 one call at a time: what programs do to be quick is slow. As a processor that has none, SHA-256
# runs at 48 MB/s instead of 8, and Go's JSON takes two fifths of the time; AVX it has, which TensorFlow needs. A model
# that was sold, because libraries take some of its features for granted where they find others. A processor with erms
# copies byte by byte, which is quick in silicon: here it takes two to ten times as long as other ways.
_MODEL = "IvyBridge,-erms,-x2apic,-tsc-deadline"  # the last two are what emulation lacks
KVM, EMULATED = ("-accel", "kvm", "-cpu", "host"), ("-accel", "tcg,thread=multi", "-cpu", _MODEL)
_KVM_DEVICE = Path("/dev/kvm")
_KVM_SECONDS = 20.0  # a real one takes 2
_EMULATED_SECONDS = 180.0  # it took 2 to 4
_TRY = "console=ttyS0 quiet panic=-1 pic4ser.probe"
_SAYS = "pic4ser: the guest has booted"  # what files/node-vm/probe.sh answers to pic4ser.probe
_KILL_SECONDS = 20.0


@dataclass(frozen=True)
class Process:
    """A QEMU of some lab that runs. `folder` is its node's, where its sockets are."""

    name: str
    pid: int
    folder: Path
    emulated: bool = False


@dataclass(frozen=True)
class Accelerator:
    """How guests run here, as QEMU's words, and a sentence on why."""

    words: tuple[str, ...]
    why: str

    @property
    def emulated(self) -> bool:
        """Whether every instruction is translated, which takes about ten times as long."""
        return self.words != KVM


def accelerator(image: Path, *, program: str = PROGRAM, seconds: float = _KVM_SECONDS) -> Accelerator:
    """KVM if the nodes' own kernel boots on it and powers off within `seconds`, else emulation.

    That /dev/kvm exists says little: inside another virtual machine it can abort, or hang after the boot ROM.
    """
    if not os.access(_KVM_DEVICE, os.R_OK | os.W_OK):
        return Accelerator(EMULATED, "emulated: this machine offers no KVM")
    seen = _tried(image, program, KVM, seconds)
    if seen:
        return Accelerator(EMULATED, f"emulated: KVM boots no guest here ({seen})")
    return Accelerator(KVM, "with KVM, on which a guest has just booted")


def emulated_boot_seconds(image: Path, *, at_once: int, program: str = PROGRAM) -> float:
    """How long the nodes' own kernel takes here to boot, emulated and without a disk, with as many others at once.

    Says how quick emulation is on this machine as it is now. Raises LabError if one of them does not boot.
    """

    def timed(_: int) -> float:
        before = time.monotonic()
        if seen := _tried(image, program, EMULATED, _EMULATED_SECONDS):
            raise LabError(what="see how quick emulation is here", seen=seen, remedy="pic4ser lab up --nodes container")
        return time.monotonic() - before

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(timed, range(at_once))) / at_once


def running() -> dict[str, Process]:
    """Every guest of any rehearsal lab on this machine, by name."""
    return {found.name: found for found in map(process_of, _command_lines()) if found}


def process_of(told: tuple[int, Sequence[str]]) -> Process | None:
    """The guest that a process is, by its id and its command line; None for any other process."""
    pid, words = told
    if not words or Path(words[0]).name != PROGRAM:
        return None
    named = dict(pairwise(words))
    name, file = named.get("-name", ""), named.get("-pidfile", "")
    if not (name.startswith(PREFIX) and file):
        return None
    return Process(name, pid, Path(file).parent, emulated=named.get("-accel", "").startswith("tcg"))


def kill(names: Iterable[str]) -> None:
    """Cuts the power of these guests; returns when no process is left. Ones that do not run are fine."""
    wanted = set(names)
    for process in running().values():
        if process.name in wanted:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    until(lambda: ", ".join(sorted(wanted & set(running()))), waiting_for="QEMU to end", seconds=_KILL_SECONDS)


def press_power_button(process: Process) -> None:
    """Asks the guest's own init to shut down. Raises OSError if QEMU does not listen."""
    command(process.folder / "qmp", "system_powerdown")


def command(path: Path, *names: str, timeout: float = 10.0) -> list[Any]:
    """What QEMU returned for these commands of its machine protocol. Raises OSError."""
    return _told(path, [{"execute": name} for name in names], timeout, pause=0.0)


def monitor(path: Path, *lines: str, timeout: float = 10.0, pause: float = 0.0) -> list[str]:
    """What QEMU's monitor for people printed for each of these lines, `pause` seconds apart. Raises OSError."""
    typed = [{"execute": "human-monitor-command", "arguments": {"command-line": line}} for line in lines]
    return _told(path, typed, timeout, pause)


def held_bytes(status: str) -> int:
    """The anonymous memory in the text of /proc/<pid>/status: what the guest has touched, and QEMU's own."""
    figures = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(figures.get("RssAnon", "0 kB").split()[0]) * 1024


def _told(path: Path, commands: Sequence[dict[str, Any]], timeout: float, pause: float) -> list[Any]:
    told = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        lines = connection.makefile("rw")
        lines.readline()  # QEMU greets first
        _answer(lines, {"execute": "qmp_capabilities"})
        for each in commands:
            told.append(_answer(lines, each))
            time.sleep(pause)
    return told


def _answer(lines: Any, asked: dict[str, Any]) -> Any:
    name = asked["execute"]
    lines.write(json.dumps(asked) + "\n")
    lines.flush()
    while line := lines.readline():
        told = json.loads(line)
        if "return" in told:
            return told["return"]
        if "error" in told:
            raise OSError(f"{name}: {told['error'].get('desc', told['error'])}")
    raise OSError(f"{name}: QEMU went away")  # events, which come in between, are not for us


def _command_lines() -> Iterator[tuple[int, tuple[str, ...]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), tuple(path.read_bytes().decode(errors="replace").split("\0"))


def _tried(image: Path, program: str, how: Sequence[str], seconds: float) -> str:
    """What went wrong when a guest without a disk was to boot like this and power off; "" when it did."""
    words = [program, *how, "-nodefaults", "-no-user-config", "-display", "none", "-m", "512M", "-no-reboot"]
    boot = ["-kernel", image / KERNEL, "-initrd", image / INITRD, "-append", _TRY]
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder, "console")
        try:
            done = subprocess.run(
                [*words, *map(str, boot), "-serial", f"file:{console}"], capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return f"none had booted after {seconds:.0f} s"
        except OSError as error:
            raise LabError(what=program, seen=str(error), remedy="apt-get install qemu-system-x86") from error
        if console.exists() and _SAYS in console.read_text(errors="replace"):
            return ""
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    return f"QEMU ended with {done.returncode} and said: {said[:200]}"
