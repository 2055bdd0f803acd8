"""Frees an emulated guest that stands still on a stale translation: a process for each, as long as its QEMU runs.

Linux patches its own code while that runs: first with a breakpoint, over which the other processors know their way,
then with the new instruction. On QEMU (7.2 and 10.0) a processor now and then runs into that breakpoint again and again
though memory holds the new instruction, and soon all others wait for it: its translation was made between the moment
when QEMU forgot the old one and the store. Storing the same byte once more makes QEMU translate what is there. In the
scheduler it comes to a panic within a moment, which nobody can help.
"""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from pic4ser_lib.lab import qemu, state

_EVERY_SECONDS, _ROUNDS = 2.0, 5
_LOOKS, _APART_SECONDS = 12, 0.02
_TIMEOUT = 10.0
_PROCESSOR = re.compile(r"^CPU#(\d+).*?RIP=([0-9a-f]+).*?HLT=(\d)", re.DOTALL | re.MULTILINE)
# A reply; not the word that the guest was stopped ($T02...), which QEMU sends unasked to whoever connects.
_REPLY = re.compile(rb"\$([^T#][^#]*|)#..")
_running: list[subprocess.Popen[bytes]] = []  # they outlive us; until then they are ours to reap


def watch(folder: Path) -> None:
    """Starts watching over the guest whose sockets are in `folder`; what was done is in freed.log there."""
    with (folder / "freed.log").open("a") as log:
        words = [sys.executable, "-m", __name__, str(folder)]
        _running.append(
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        )


def still(looks: Sequence[str]) -> frozenset[str]:
    """Where processors go round that were in the kernel, and not idle, at every one of these looks.

    That is each address that such a processor was at in a tenth of them: the patched one, and those of the handler. A
    look is QEMU's text of all processors' registers. A busy kernel may look so now and then: to free it does no harm.
    """
    seen: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for look in looks:
        for number, address, halted in _PROCESSOR.findall(look):
            seen[number].append((address, halted == "0" and bool(int(address, 16) >> 63)))
    rounds = [Counter(address for address, _ in at) for at in seen.values() if all(busy for _, busy in at)]
    return frozenset(address for at in rounds for address, times in at.items() if 10 * times >= len(looks))


def free(folder: Path, addresses: Iterable[str]) -> None:
    """Stores the byte at each of these addresses of a running guest anew. Raises OSError.

    The guest stands still meanwhile, for a few milliseconds. A debugger's way, since QEMU's monitor cannot write.
    """
    path = folder / "gdb"
    qemu.monitor(folder / "qmp", f"gdbserver unix:{path},server=on,wait=off")
    try:
        with socket.socket(socket.AF_UNIX) as debugger:
            debugger.settimeout(_TIMEOUT)
            debugger.connect(str(path))
            for address in sorted(addresses):
                byte = _asked(debugger, f"m{address},1")
                if len(byte) == 2:  # an error, where nothing is mapped, has three letters
                    _asked(debugger, f"M{address},1:{byte}")
            _asked(debugger, "D")  # detach: the guest goes on
    finally:
        qemu.monitor(folder / "qmp", "gdbserver none")


def _asked(debugger: socket.socket, packet: str) -> str:
    debugger.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
    said = b""
    while not (found := _REPLY.search(said)):
        if not (more := debugger.recv(4096)):
            raise OSError(f"{packet}: QEMU went away")
        said += more
    debugger.sendall(b"+")
    return found[1].decode()


def _watch(folder: Path, ended: int) -> None:
    """Until `ended`, a process's descriptor, can be read from. Only what stands still for ten seconds is freed."""
    looks = deque[list[str]](maxlen=_ROUNDS)
    while not select.select([ended], [], [], _EVERY_SECONDS)[0]:
        with suppress(OSError):  # a QEMU that is just ending, or is stopped
            looks.append(qemu.monitor(folder / "qmp", *["info registers -a"] * _LOOKS, pause=_APART_SECONDS))
            stuck = still([*chain.from_iterable(looks)]) if len(looks) == _ROUNDS else ()
            if stuck:
                free(folder, stuck)
                print(f"{state.now()} stood still at {', '.join(sorted(stuck))}: freed", flush=True)
                looks.clear()


def main(words: Sequence[str]) -> int:
    """`FOLDER`: returns when the QEMU that runs there now has ended."""
    folder = Path(words[0])
    with suppress(OSError, ValueError):
        ended = os.pidfd_open(int((folder / "pid").read_text()))
        _watch(folder, ended)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
