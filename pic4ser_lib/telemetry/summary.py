"""What a trace amounts to: lowest, mean and highest value, samples, and the gaps in which nothing was sampled."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from pic4ser_lib.telemetry.series import Trace


@dataclass(frozen=True)
class Gap:
    """Nothing was sampled from `start` (the last sample before) to `end` (the next one, or the end of the range)."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


@dataclass(frozen=True)
class Summary:
    """A trace in five numbers. `low`, `mean` and `high` are NaN when there is no sample."""

    low: float
    mean: float
    high: float
    samples: int
    gaps: tuple[Gap, ...]

    @property
    def longest_gap(self) -> float:
        """Seconds; 0 when there is none."""
        return max((gap.seconds for gap in self.gaps), default=0.0)


def gaps(trace: Trace, *, end: float, bound: float, start: float | None = None) -> tuple[Gap, ...]:
    """Where more than `bound` seconds lie between two samples, or between the last one and `end`.

    What is before the first sample is no gap: the GPU was not sampled yet. With `start`, only what comes after it
    counts, and then the first sample is due there. Windows tell no gap shorter than one.
    """
    half = trace.step / 2
    edges = [(p.time - half, p.time + half) for p in trace.points]
    if start is not None:
        edges = [(start, start), *((left, right) for left, right in edges if right > start)]
    if not edges:
        return ()
    between = [(a[1], b[0]) for a, b in itertools.pairwise(edges)]
    # Window edges are computed numbers: two that touch may differ in the last digit.
    found = (Gap(left, right) for left, right in [*between, (edges[-1][1], end)] if right - left > bound + 1e-6)
    return tuple(found)


def summary(trace: Trace, *, end: float, bound: float) -> Summary:
    """The five numbers of a trace; the mean weighs every sample the same."""
    points = trace.points
    if not points:
        return Summary(math.nan, math.nan, math.nan, 0, ())
    samples = sum(p.count for p in points)
    mean = math.fsum(p.value * p.count for p in points) / samples
    found = gaps(trace, end=end, bound=bound)
    return Summary(min(p.low for p in points), mean, max(p.high for p in points), samples, found)
