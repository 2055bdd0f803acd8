"""GPUs that somebody holds and nobody uses, GPUs that were slowed down, and errors that the driver reported."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pic4ser_lib.telemetry.fields import THROTTLING, XIDS
from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Trace

IDLE_PERCENT = 5.0
_LOADED_PERCENT, _LOW_CLOCK = 90.0, 0.8


@dataclass(frozen=True)
class Idle:
    """A GPU whose utilisation stayed under IDLE_PERCENT; `holder` has it all the same."""

    gpu: Gpu
    start: float
    end: float
    holder: Holder | None = None

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


@dataclass(frozen=True)
class Throttled:
    """A GPU was slowed down from `start` to `end`; `why` names the reasons."""

    gpu: Gpu
    start: float
    end: float
    why: str


@dataclass(frozen=True)
class Xid:
    """The driver reported an error; `since` is the first sample that shows it."""

    gpu: Gpu
    code: int
    since: float

    @property
    def meaning(self) -> str:
        """NVIDIA's catalogue in a few words."""
        return XIDS.get(self.code, "see NVIDIA's catalogue of XID errors")


def idle_all_along(utilisation: Mapping[Gpu, Trace]) -> tuple[Idle, ...]:
    """GPUs that were never busy while they were sampled."""
    return tuple(
        Idle(gpu, trace.points[0].time, trace.points[-1].time)
        for gpu, trace in sorted(utilisation.items())
        if trace.points and max(p.high for p in trace.points) < IDLE_PERCENT
    )


def held_and_idle(utilisation: Mapping[Gpu, Trace], holds: tuple[Hold, ...], *, seconds: float) -> tuple[Idle, ...]:
    """Stretches of at least `seconds` in which a pod held a GPU that did nothing."""
    return tuple(
        Idle(hold.gpu, start, end, hold.holder)
        for hold in holds
        if hold.gpu in utilisation
        for start, end in _spans(utilisation[hold.gpu].within(hold.start, hold.end), IDLE_PERCENT)
        if end - start >= seconds
    )


def throttled(reasons: Mapping[Gpu, Trace]) -> tuple[Throttled, ...]:
    """Stretches in which the driver gave a reason that means throttling."""
    found = []
    for gpu, trace in sorted(reasons.items()):
        said = [(p.time, _reasons(p.high)) for p in trace.points]
        for why, group in itertools.groupby(said, key=lambda pair: pair[1]):
            times = [time for time, _ in group]
            if why:
                found.append(Throttled(gpu, times[0], times[-1], why))
    return tuple(found)


def slow_under_load(utilisation: Mapping[Gpu, Trace], clock: Mapping[Gpu, Trace]) -> tuple[Throttled, ...]:
    """Where no reasons are collected: samples of a busy GPU far below the highest clock it showed when busy."""
    found = []
    for gpu, trace in sorted(clock.items()):
        busy = {p.time for p in utilisation[gpu].points if p.value >= _LOADED_PERCENT} if gpu in utilisation else set()
        loaded = [p for p in trace.points if p.time in busy]
        highest = max((p.value for p in loaded), default=0.0)
        slow = [p.time for p in loaded if p.value < _LOW_CLOCK * highest]
        if slow:
            found.append(Throttled(gpu, slow[0], slow[-1], f"SM clock under {_LOW_CLOCK:.0%} of {highest:.0f} MHz"))
    return tuple(found)


def xids(codes: Mapping[Gpu, Trace]) -> tuple[Xid, ...]:
    """Every change to an error's code, in time."""
    found = []
    for gpu, trace in codes.items():
        for code, group in itertools.groupby(trace.points, key=lambda p: int(p.high)):
            if code:
                found.append(Xid(gpu, code, next(group).time))
    return tuple(sorted(found, key=lambda xid: (xid.since, xid.gpu)))


def _spans(trace: Trace, under: float) -> Iterator[tuple[float, float]]:
    for is_low, group in itertools.groupby(trace.points, key=lambda p: p.high < under):
        times = [p.time for p in group]
        if is_low:
            yield times[0], times[-1]


def _reasons(bits: float) -> str:
    return ", ".join(name for bit, name in THROTTLING.items() if int(bits) & bit)
