"""Which guests stand still, from what QEMU tells of their processors. tests/vm frees a real one."""

from __future__ import annotations

import socket

import pytest

from pic4ser_lib.lab import stale

PATCHED, TRAP, PROGRAM = "ffffffff9d2e0b5c", "ffffffff9de00ba0", "00007ffff7dcf62f"


def look(*processors: tuple[str, int]) -> str:
    """As `info registers -a` prints them, without most registers."""
    return "".join(
        f"\r\nCPU#{number}\r\nRAX=0000000000000000 RBX=0000000000000dc0\r\nR14=0000000000000a20\r\n"
        f"RIP={address} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT={halted}\r\nCR0=80050033\r\n"
        for number, (address, halted) in enumerate(processors)
    )


IDLE = (TRAP, 1)
AWAY = "ffffffff9d345671"
LOOKS: dict[str, tuple[list[str], set[str]]] = {
    "none": ([], set()),
    "idle": ([look(IDLE, IDLE)] * 12, set()),
    "one goes round between the breakpoint and its handler": (
        [look((PATCHED, 0), IDLE), look((TRAP, 0), IDLE)] * 6,
        {PATCHED, TRAP},
    ),
    "both, the other waiting for it": ([look((PATCHED, 0), (AWAY, 0))] * 12, {PATCHED, AWAY}),
    "once idle": ([look((PATCHED, 0), IDLE)] * 11 + [look(IDLE, IDLE)], set()),
    "once in a program": ([look((PATCHED, 0), IDLE)] * 11 + [look((PROGRAM, 0), IDLE)], set()),
    "a program's own loop": ([look((PROGRAM, 0), IDLE)] * 12, set()),
    "busy all over the kernel": ([look((f"ffffffff9d34{place:04x}", 0), IDLE) for place in range(60)], set()),
}


@pytest.mark.parametrize(("looks", "addresses"), LOOKS.values(), ids=LOOKS)
def test_who_stands_still_was_in_the_kernel_at_every_look_and_often_at_the_same_place(
    looks: list[str], addresses: set[str]
) -> None:
    assert stale.still(looks) == addresses


def test_what_the_debugger_is_told_unasked_is_no_answer() -> None:
    ours, guest = socket.socketpair()
    with ours, guest:
        guest.sendall(b"$T02thread:01;#04+$0f#96")
        assert stale._asked(ours, "mffffffff9d2e0b5c,1") == "0f"
        assert guest.recv(100) == b"$mffffffff9d2e0b5c,1#58+"
        guest.sendall(b"+$OK#9a")
        assert stale._asked(ours, "Mffffffff9d2e0b5c,1:0f") == "OK"
