"""Waiting with a deadline."""

from __future__ import annotations

import pytest

from pic4ser_lib.errors import DeadlinePassed
from pic4ser_lib.lab.nodes import until


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_ends_as_soon_as_nothing_is_missing() -> None:
    clock, answers = _Clock(), iter(["port 22 closed", "no greeting", ""])
    until(lambda: next(answers), waiting_for="sshd", seconds=60, pause=1, clock=clock, sleep=clock.sleep)
    assert clock.now == 2


def test_a_deadline_says_what_was_seen_last() -> None:
    clock = _Clock()
    with pytest.raises(DeadlinePassed, match="waited 3 s for sshd on kitt; last seen: port 22 closed"):
        until(lambda: "port 22 closed", waiting_for="sshd on kitt", seconds=3, pause=1, clock=clock, sleep=clock.sleep)
