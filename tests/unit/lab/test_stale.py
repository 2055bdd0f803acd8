"""Which guests stand still, from what QEMU tells of their processors. tests/vm frees a real one."""

from __future__ import annotations

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
LOOKS: dict[str, tuple[list[str], set[str]]] = {
    "none": ([], set()),
    "idle": ([look(IDLE, IDLE)] * 12, set()),
    "one goes round between the breakpoint and its handler": (
        [look((PATCHED, 0), IDLE), look((TRAP, 0), IDLE)] * 6,
        {PATCHED, TRAP},
    ),
    "two at the same place": ([look((PATCHED, 0), (PATCHED, 0))] * 12, {PATCHED}),
    "two, each there now and then": (
        [look((PATCHED, 0), IDLE), look(IDLE, (PATCHED, 0)), *[look(IDLE, IDLE)] * 6],
        set(),
    ),
    "now and then": ([look((PATCHED, 0), IDLE)] * 3 + [look(IDLE, IDLE)] * 9, set()),
    "a program's own loop": ([look((PROGRAM, 0), IDLE)] * 12, set()),
}


@pytest.mark.parametrize(("looks", "addresses"), LOOKS.values(), ids=LOOKS)
def test_who_stands_still_is_in_the_kernel_and_there_at_a_third_of_the_looks(
    looks: list[str], addresses: set[str]
) -> None:
    assert stale.still(looks) == addresses
