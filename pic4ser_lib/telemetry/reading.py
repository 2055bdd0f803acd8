"""From a range of time to the telemetry of its GPUs: plan the queries, ask, and put the answers together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pic4ser_lib.telemetry.fields import BY_METRIC, FIELDS
from pic4ser_lib.telemetry.planning import Part, Plan, planned
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Point, Stretch, holds, raw_points, stretch, traces

METRICS = tuple(metric for field in FIELDS for metric in field.metrics)
_ALL = f'{{__name__=~"{"|".join(METRICS)}"}}'
# What is known of a window, by the function that tells it.
_OF_GAUGE = {"value": "avg_over_time", "low": "min_over_time", "high": "max_over_time", "count": "count_over_time"}
_OF_COUNTER = {"value": "last_over_time", "count": "count_over_time"}


class Source(Protocol):
    """What reading needs of a Prometheus."""

    def now(self) -> float:
        """Its time."""

    def labels(self, match: str, *, start: float, end: float) -> Sequence[Mapping[str, str]]:
        """The labels of all series in a range."""

    def at(self, query: str, time: float) -> list[dict[str, Any]]:
        """An instant query."""

    def over(self, query: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """A range query."""


def asked(
    source: Source, *, seconds: float, end: float | None = None, expected: Iterable[Gpu] = (),
    longest_gap: float = 5.0, lately: float = 0.0,
) -> Telemetry:  # fmt: skip
    """All that is known of the GPUs in the `seconds` up to `end` (now, unless given). Raises ClusterError.

    `expected` are the GPUs that ought to be sampled: one that is not is said to be missing. In the last `lately`
    seconds, of windows in the last of them, a gap counts.
    """
    end = round(source.now() if end is None else end, 3)
    labels = source.labels(_ALL, start=end - seconds, end=end)
    plan = planned(end - seconds, end, series=len(labels))
    stretches = tuple(_windows(source, plan, labels) if plan.step else _raw(source, plan))
    wanted = tuple(sorted(set(expected)))
    sampled = {part.gpu: part.gpu for part in stretches}  # with UUID and model, which `expected` cannot know
    return Telemetry(
        start=plan.start, end=end, step=plan.step, bound=max(longest_gap, plan.step), expected=wanted,
        gpus=tuple(sampled.get(gpu, gpu) for gpu in sorted({*sampled, *wanted})),
        traces=traces(stretches, plan.step), holds=holds(stretches),
        lately=max(lately, plan.step) if lately else 0.0,
    )  # fmt: skip


def _raw(source: Source, plan: Plan) -> Iterator[Stretch]:
    """Every sample, with the time at which it was taken: a range selector, not a range query, which invents some."""
    for part in plan.parts:
        milliseconds = round((part.end - part.start) * 1000)
        for series in source.at(f"{_ALL}[{milliseconds}ms]", part.end):
            found = stretch(series["metric"], raw_points(series["values"]))
            if found is not None:
                yield found


def _windows(source: Source, plan: Plan, labels: Iterable[Mapping[str, str]]) -> Iterator[Stretch]:
    """What is known of each window. A metric that has no series in the range is not asked for."""
    for metric in sorted({one["__name__"] for one in labels} & set(METRICS)):
        for part in plan.parts:
            yield from _windows_of(source, metric, part, plan.step)


def _windows_of(source: Source, metric: str, part: Part, step: float) -> Iterator[Stretch]:
    found: dict[frozenset[tuple[str, str]], dict[float, dict[str, float]]] = {}
    functions = _OF_COUNTER if BY_METRIC[metric].is_counter else _OF_GAUGE
    for what, function in functions.items():
        query = f"{function}({metric}[{round(step * 1000)}ms])"
        for series in source.over(query, start=part.start + step, end=part.end, step=step):
            series["metric"].pop("__name__", None)  # last_over_time keeps it, the others do not
            windows = found.setdefault(frozenset(series["metric"].items()), {})
            for time, value in series["values"]:
                windows.setdefault(float(time), {})[what] = float(value)
    for key, windows in found.items():
        points = [_point(time - step / 2, known) for time, known in sorted(windows.items())]
        if one := stretch(dict(key), points, metric):
            yield one


def _point(time: float, known: Mapping[str, float]) -> Point:
    value = known["value"]
    return Point(time, value, known.get("low", value), known.get("high", value), int(known["count"]))
