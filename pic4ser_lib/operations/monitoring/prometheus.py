"""What Prometheus knows, asked through the API server: its targets, and the newest samples of a metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.steps import ProxyGet

NAMESPACE, SERVICE, PORT = "prometheus", "prometheus-kube-prometheus-prometheus", 9090

Answer = dict[str, Any] | None


@dataclass(frozen=True)
class Target:
    """One thing that Prometheus scrapes. `pool` names the monitor that it comes from."""

    job: str
    instance: str
    pool: str
    is_up: bool
    error: str = ""

    def __str__(self) -> str:
        return f"{self.job} {self.instance}: {self.error or ('up' if self.is_up else 'not scraped yet')}"


@dataclass(frozen=True)
class Sample:
    """One series of an instant query: its labels, and its value."""

    labels: dict[str, str]
    value: float


def query(expression: str) -> ProxyGet:
    """An instant query."""
    return ProxyGet(NAMESPACE, SERVICE, PORT, "/api/v1/query", (("query", expression),))


def active_targets(pool: str = "") -> ProxyGet:
    """The active targets, of all monitors or of one."""
    pools = (("scrapePool", pool),) if pool else ()
    return ProxyGet(NAMESPACE, SERVICE, PORT, "/api/v1/targets", (("state", "active"), *pools))


def targets(answer: Answer) -> tuple[Target, ...]:
    """The targets in an answer, in a fixed order; none when Prometheus does not answer."""
    return tuple(sorted(_targets(answer), key=lambda one: (one.job, one.instance)))


def samples(answer: Answer) -> tuple[Sample, ...]:
    """The series in an answer; none when Prometheus does not answer."""
    found = ((answer or {}).get("data") or {}).get("result") or []
    return tuple(Sample(dict(one["metric"]), float(one["value"][1])) for one in found)


def _targets(answer: Answer) -> Iterator[Target]:
    for one in ((answer or {}).get("data") or {}).get("activeTargets") or []:
        labels = one.get("labels", {})
        yield Target(
            labels.get("job", ""), labels.get("instance", ""), one.get("scrapePool", ""),
            one.get("health") == "up", one.get("lastError", ""),
        )  # fmt: skip
