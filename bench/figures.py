"""Pairs of times, measured one right after the other, and how they are printed: as ratios, and medians of pairs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """The same thing done in two ways, seconds each, one right after the other on one machine."""

    ours: float
    other: float

    @property
    def ratio(self) -> float:
        """How many times as long ours took."""
        return self.ours / self.other


def pairs(ours: Callable[[], float], other: Callable[[], float], *, count: int) -> list[Pair]:
    """Measures both `count` times. Who goes first alternates, so that neither has the warm files; ours is last."""
    found = []
    for left in reversed(range(count)):
        if left % 2:
            mine = ours()
            found.append(Pair(mine, other()))
        else:
            theirs = other()
            found.append(Pair(ours(), theirs))
    return found


def line(what: str, measured: list[Pair], *, target: float | None = None) -> str:
    """One line: the median of the pairs' ratios, its range, and the seconds behind it."""
    ratios = sorted(pair.ratio for pair in measured)
    median = statistics.median(ratios)
    seconds = f"{_median(p.ours for p in measured):.2f} s / {_median(p.other for p in measured):.2f} s"
    spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f} in {len(ratios)} pairs" if len(ratios) > 1 else "1 pair"
    verdict = "" if target is None else f", target {target}: {'met' if median <= target else 'MISSED'}"
    return f"{what}: {median:.2f} times ({spread}; {seconds}){verdict}"


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
