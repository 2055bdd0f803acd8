"""Samples of GPUs as plain data: from Prometheus's series to one trace a GPU and field, whoever exported it.

An exporter that restarts, and a pod that takes a GPU or gives it back, each begin new series in Prometheus: here they
become one trace again, and who held the GPU becomes a list of holds.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pic4ser_lib.telemetry.fields import BY_METRIC, FIELDS, Field


@dataclass(frozen=True, order=True)
class Gpu:
    """One GPU (or MIG instance) of one node. Its name is the same in every figure."""

    node: str
    index: int
    instance: str = ""
    uuid: str = field(default="", compare=False)
    model: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.node} {self.short}"

    @property
    def short(self) -> str:
        """Its name among the GPUs of its node."""
        return f"GPU {self.index}" + (f" MIG {self.instance}" if self.instance else "")


@dataclass(frozen=True, order=True)
class Holder:
    """A pod that has a GPU to itself."""

    namespace: str
    pod: str

    @property
    def job(self) -> str:
        """The training job that the pod belongs to, or the pod itself."""
        name, _, index = self.pod.rpartition("-")
        job, _, kind = name.rpartition("-")
        is_replica = index.isdigit() and kind in ("worker", "chief", "master", "ps", "evaluator")
        return job if is_replica and job else self.pod


@dataclass(frozen=True)
class Stretch:
    """The samples of one series of Prometheus. Points of raw samples have count 1 and low = value = high."""

    gpu: Gpu
    field: Field
    holder: Holder | None
    points: tuple[Point, ...]


@dataclass(frozen=True, order=True)
class Point:
    """One sample, or what is known of the samples of one window: their mean, lowest, highest and number.

    `time` is in seconds since 1970, the middle of a window.
    """

    time: float
    value: float
    low: float
    high: float
    count: int = 1


@dataclass(frozen=True)
class Trace:
    """All points of one GPU and field, in time. `step` is the length of their windows; 0: single samples."""

    gpu: Gpu
    field: Field
    points: tuple[Point, ...]
    step: float = 0.0

    def within(self, start: float, end: float) -> Trace:
        """The points from `start` to `end`, both included."""
        first = bisect.bisect_left(self.points, start, key=lambda p: p.time)
        last = bisect.bisect_right(self.points, end, key=lambda p: p.time)
        return Trace(self.gpu, self.field, self.points[first:last], self.step)


@dataclass(frozen=True, order=True)
class Hold:
    """A GPU was a pod's from the first to the last sample that says so."""

    start: float
    end: float
    gpu: Gpu
    holder: Holder


def gpu_of(labels: Mapping[str, str]) -> Gpu | None:
    """The GPU that a series is about; None for series of something else (NVLinks, a host without a name)."""
    node = labels.get("Hostname") or labels.get("hostname") or ""
    index = labels.get("gpu", "")
    if not node or not index.isdigit():
        return None
    return Gpu(node, int(index), labels.get("GPU_I_ID", ""), labels.get("UUID", ""), labels.get("modelName", ""))


def holder_of(labels: Mapping[str, str]) -> Holder | None:
    """The pod that holds the GPU, whether Prometheus moved the exporter's own labels aside or not.

    With honorLabels off the holder stands in exported_pod and `pod` is the exporter; with it on, `pod` is the holder
    where there is one, and the exporter's own pod where there is none.
    """
    if labels.get("exported_pod"):
        return Holder(labels.get("exported_namespace", ""), labels["exported_pod"])
    pod, container = labels.get("pod", ""), labels.get("container", "")
    is_exporter = "exporter" in container or "dcgm-exporter" in pod
    return Holder(labels.get("namespace", ""), pod) if pod and not is_exporter else None


def stretch(labels: Mapping[str, str], points: Iterable[Point], metric: str = "") -> Stretch | None:
    """What a series says, scaled to the field's unit; None when it is not about a GPU."""
    gpu, of = gpu_of(labels), BY_METRIC.get(metric or labels.get("__name__", ""))
    if gpu is None or of is None:
        return None
    k = of.scale
    scaled = (Point(p.time, p.value * k, p.low * k, p.high * k, p.count) for p in points)
    return Stretch(gpu, of, holder_of(labels), tuple(scaled))


def raw_points(values: Iterable[Sequence[Any]]) -> tuple[Point, ...]:
    """Prometheus's pairs of time and text as points; its NaN (no value) is no sample."""
    numbers = ((float(t), float(v)) for t, v in values)
    return tuple(Point(t, v, v, v) for t, v in numbers if v == v)


def traces(stretches: Iterable[Stretch], step: float = 0.0) -> dict[Field, dict[Gpu, Trace]]:
    """One trace a field and GPU, sorted. A window that two series share is put together again.

    Of two raw samples at one moment the first counts: two exporters have seen the same.
    """
    found: dict[Field, dict[Gpu, dict[float, Point]]] = {one: {} for one in FIELDS}
    for part in stretches:
        points = found[part.field].setdefault(part.gpu, {})
        for point in part.points:
            known = points.setdefault(point.time, point)
            if step and known is not point:
                points[point.time] = _together(known, point, part.field)
    return {
        one: {gpu: Trace(gpu, one, tuple(sorted(points.values())), step) for gpu, points in sorted(of.items())}
        for one, of in found.items()
    }


def _together(a: Point, b: Point, of: Field) -> Point:
    count = a.count + b.count
    mean = max(a.value, b.value) if of.is_counter else (a.value * a.count + b.value * b.count) / count
    return Point(a.time, mean, min(a.low, b.low), max(a.high, b.high), count)


def holds(stretches: Iterable[Stretch]) -> tuple[Hold, ...]:
    """Who held which GPU from when to when; samples that are missing in between do not end a hold."""
    seen: dict[Gpu, dict[float, Holder | None]] = {}
    for part in stretches:
        times = seen.setdefault(part.gpu, {})
        for point in part.points:
            times[point.time] = part.holder or times.get(point.time)
    found = []
    for gpu, times in seen.items():
        for holder, group in itertools.groupby(sorted(times), key=times.__getitem__):
            if holder is not None:
                moments = list(group)
                found.append(Hold(moments[0], moments[-1], gpu, holder))
    return tuple(sorted(found))
