"""Known series in OpenMetrics text: what the exporters of two nodes would have been seen to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from pic4ser_lib.telemetry.prometheus import Prometheus

START = 1_790_000_000
"""The first moment of all series: long past, so that no test depends on today."""

UTIL, FB, POWER = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_POWER_USAGE"
TEMP, CLOCK, XID = "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_XID_ERRORS"
ENERGY, REASONS = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"


@dataclass(frozen=True)
class Known:
    """One series: its labels, and its samples as seconds after START with exact decimal values."""

    metric: str
    labels: tuple[tuple[str, str], ...]
    samples: tuple[tuple[int, Decimal], ...]


Started = Callable[[Iterable[Known]], Prometheus]
"""Starts a Prometheus that holds these series and nothing else."""

Scraped = Callable[[int], Prometheus]
"""Starts a Prometheus that scrapes this port of loopback once a second."""


def known(metric: str, samples: Iterable[tuple[int, Decimal | int | str]], **labels: str) -> Known:
    return Known(metric, tuple(sorted(labels.items())), tuple((t, Decimal(v)) for t, v in samples))


def open_metrics(series: Iterable[Known]) -> str:
    """Text that `promtool tsdb create-blocks-from openmetrics` reads; every metric as a gauge, which keeps its name."""
    by_metric: dict[str, list[Known]] = {}
    for one in series:
        by_metric.setdefault(one.metric, []).append(one)
    return "\n".join([*_lines(by_metric), "# EOF\n"])


def _lines(by_metric: dict[str, list[Known]]) -> Iterator[str]:
    for metric, found in sorted(by_metric.items()):
        yield f"# TYPE {metric} gauge"
        for one in found:
            labels = ",".join(f'{name}="{value}"' for name, value in one.labels)
            yield from (f"{metric}{{{labels}}} {value} {START + t}" for t, value in one.samples)
