"""Energy from power over time, and from the GPU's own counter: two ways that have to agree."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Trace

JOULES_PER_KWH = 3_600_000.0


@dataclass(frozen=True)
class Energy:
    """Joules that were used in `seconds` of known time; `unknown` seconds lie in gaps and are not guessed."""

    joules: float
    seconds: float
    unknown: float = 0.0

    @property
    def kwh(self) -> float:
        """Kilowatt hours."""
        return self.joules / JOULES_PER_KWH


@dataclass(frozen=True)
class Use:
    """What one pod used on one GPU: by power over time, and by the counter (None where there is no counter)."""

    gpu: Gpu
    holder: Holder
    hold: Hold
    by_power: Energy
    by_counter: Energy | None


def integrated(power: Trace, *, bound: float) -> Energy:
    """Watts over time, by trapezoids between samples; what lies in a gap of over `bound` seconds is unknown."""
    if power.step:
        return _of_windows(power)
    parts, known, unknown = [], [], []
    for a, b in itertools.pairwise(power.points):
        seconds = b.time - a.time
        if seconds > bound:
            unknown.append(seconds)
        else:
            known.append(seconds)
            parts.append((a.value + b.value) / 2 * seconds)
    return Energy(math.fsum(parts), math.fsum(known), math.fsum(unknown))


def counted(counter: Trace) -> Energy:
    """The rise of a counter of joules, however often it began again."""
    points = counter.points
    parts = (_risen(a.value, b.value) for a, b in itertools.pairwise(points))
    return Energy(math.fsum(parts), points[-1].time - points[0].time if points else 0.0)


def compared(power: Trace, counter: Trace, *, bound: float) -> tuple[float, float]:
    """Joules by power and by counter between samples that have both, gaps left out: there the counter went on alone.

    Of windows, which say nothing of the moment at which the counter had its value, only a range without gaps counts.
    """
    if power.step:
        by_power = integrated(power, bound=bound)
        return (0.0, 0.0) if by_power.unknown else (by_power.joules, counted(counter).joules)
    known = {p.time: p.value for p in counter.points}
    watts, rises = [], []
    for a, b in itertools.pairwise(power.points):
        if b.time - a.time <= bound and a.time in known and b.time in known:
            watts.append((a.value + b.value) / 2 * (b.time - a.time))
            rises.append(_risen(known[a.time], known[b.time]))
    return math.fsum(watts), math.fsum(rises)


def _risen(before: float, after: float) -> float:
    """Where a counter falls it began again at zero, so what it shows then is all new."""
    return after - before if after >= before else after


def _of_windows(power: Trace) -> Energy:
    """A window counts for as long as it was sampled; the fullest window of the trace was sampled throughout."""
    full = max((p.count for p in power.points), default=1)
    seconds = [power.step * p.count / full for p in power.points]
    joules = math.fsum(p.value * s for p, s in zip(power.points, seconds, strict=True))
    known = math.fsum(seconds)
    span = power.points[-1].time - power.points[0].time + power.step if power.points else 0.0
    return Energy(joules, known, span - known)


def uses(
    holds: tuple[Hold, ...], power: dict[Gpu, Trace], counters: dict[Gpu, Trace], *, bound: float
) -> tuple[Use, ...]:
    """What each hold used, in the order of the holds."""
    found = []
    for hold in holds:
        watts = power.get(hold.gpu)
        if watts is None:
            continue
        counter = counters.get(hold.gpu)
        risen = counted(counter.within(hold.start, hold.end)) if counter and counter.points else None
        by_power = integrated(watts.within(hold.start, hold.end), bound=bound)
        found.append(Use(hold.gpu, hold.holder, hold, by_power, risen))
    return tuple(found)
