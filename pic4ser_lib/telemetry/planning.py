"""How much is asked for at once: every sample where the range allows it, windows where it does not.

Prometheus refuses a range query of more than 11,000 points a series, and any query that holds more than 50,000,000
samples at once; we stay far below both, whatever the range and the number of GPUs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

POINTS_LIMIT, SAMPLES_LIMIT = 11_000, 50_000_000

RAW_SAMPLES = 2_000_000
"""All samples of a range are read if there are at most so many."""
QUERY_SAMPLES = 500_000
"""One answer of raw samples: about 15 MB of JSON."""
WINDOW_SAMPLES = 10_000_000
"""One query over windows makes Prometheus read so many."""
WINDOWS = 1_000
"""A longer range is cut into at most so many windows."""
_ROUND = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True)
class Part:
    """A piece of the range, after `start` up to and with `end`, that one query asks for."""

    start: float
    end: float


@dataclass(frozen=True)
class Plan:
    """The pieces of a range in time; `step` is the length of a window, 0 where every sample is read."""

    parts: tuple[Part, ...]
    step: float = 0.0

    @property
    def start(self) -> float:
        """The beginning of the range."""
        return self.parts[0].start


def planned(start: float, end: float, *, series: int, interval: float = 1.0) -> Plan:
    """The queries for a range that holds `series` series, each sampled every `interval` seconds or more rarely.

    Windows are whole: such a range may begin a little before `start`.
    """
    if not start < end:
        raise ValueError(f"a range from {start} to {end} is empty")
    each_second = max(series, 1) / interval
    if each_second * (end - start) <= RAW_SAMPLES:
        return Plan(tuple(_parts(start, end, QUERY_SAMPLES / each_second)))
    step = _rounded((end - start) / WINDOWS)
    start = end - math.ceil((end - start) / step) * step
    windows = max(1, min(int(WINDOW_SAMPLES / each_second / step), WINDOWS))
    return Plan(tuple(_parts(start, end, windows * step)), step)


def _parts(start: float, end: float, seconds: float) -> Iterator[Part]:
    number = max(1, math.ceil((end - start) / seconds))
    for i in range(number):
        yield Part(start + i * seconds, min(start + (i + 1) * seconds, end))


def _rounded(seconds: float) -> float:
    """The next round length; whole days beyond the longest."""
    for step in _ROUND:
        if seconds <= step:
            return float(step)
    return math.ceil(seconds / 86400) * 86400.0
