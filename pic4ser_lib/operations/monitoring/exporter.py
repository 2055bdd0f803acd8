"""The DCGM exporter: figures of every GPU, once a second, and the proof that they arrive.

The document asks for an interval of 1 s. Today the chart also renders a time-out of 10 s, and the operator drops a
monitor whose time-out exceeds its interval without a word to anyone; and the exporter itself reads the GPUs every 30 s
unless told otherwise, so that Prometheus would collect the same figure thirty times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import charts, podstate
from pic4ser_lib.operations.monitoring import prometheus
from pic4ser_lib.operations.nvidia.scheduling import LABEL
from pic4ser_lib.steps import Decision, Later, Read, Settling, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

RELEASE, NAMESPACE = "dcgm-exporter", "nvidia-exporter"
POOL = f"serviceMonitor/{NAMESPACE}/{RELEASE}/0"
METRIC, ENERGY = "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
MANY_GPUS = 4
"""From so many GPUs in a node on, the exporter needs more memory than the chart gives it."""

WINDOW, ENOUGH, OLDEST = 20, 12, 5.0
"""Of the samples that are due in WINDOW seconds ENOUGH have to be there, the newest at most OLDEST seconds old."""

_TO_THE_SECOND = len("2026-11-26T03:32:24")  # how exactly the API says when an object was changed
_PODS = Read("v1", "Pod", namespace=NAMESPACE, labels=f"app.kubernetes.io/instance={RELEASE}")


@dataclass(frozen=True)
class Monitor:
    """The exporter's monitor, what Prometheus scrapes of it, and why the operator does not take it."""

    exists: bool
    targets: tuple[prometheus.Target, ...] | None
    rejected: str
    unready: str

    def __str__(self) -> str:
        if not self.exists:
            return "no monitor of the exporter"
        if self.targets is None:
            return "Prometheus does not answer"
        return f"{sum(one.is_up for one in self.targets)} of {len(self.targets)} exporters scraped"


@dataclass(frozen=True)
class MonitorAccepted(Step):
    """The operator has taken the exporter's monitor, and Prometheus scrapes an exporter on each node with GPUs."""

    nodes: int
    name: str = "monitoring.monitor_accepted"
    wanted: str = "Prometheus scrapes the exporter on each node with GPUs"
    settles_within: float = 240.0

    def probe(self) -> tuple[Any, ...]:
        """The monitor, the operator's warnings, the targets, and the exporter's pods."""
        return (
            Read("monitoring.coreos.com/v1", "ServiceMonitor", RELEASE, NAMESPACE),
            Read("v1", "Event", namespace=NAMESPACE),
            prometheus.active_targets(POOL),
            _PODS,
        )

    def parse(self, raw: tuple[dict[str, Any] | None, list[Any], prometheus.Answer, list[Any]]) -> Monitor:
        """What Prometheus still scrapes is no proof: it loads a change of the operator's up to three minutes later."""
        monitor, events, answer, pods = raw
        found = tuple(one for one in prometheus.targets(answer) if one.pool == POOL)
        rejected = "" if monitor is None else _warning(monitor, events) or ("" if found else _defect(monitor))
        return Monitor(monitor is not None, None if answer is None else found, rejected, podstate.unready(pods))

    def actions(self, seen: Monitor) -> Decision:
        """Nothing but to wait, saying for what."""
        if not seen.exists:
            return Later("monitoring.exporter_released", "the cluster has no monitor of the exporter")
        if seen.rejected:
            return Settling(f"the operator rejected the monitor: {seen.rejected}")
        if seen.targets is None:
            return Settling(f"service {prometheus.SERVICE} does not answer")
        down = [str(one) for one in seen.targets if not one.is_up]
        if len(seen.targets) >= self.nodes and not down:
            return []
        few = [f"{len(seen.targets)} of {self.nodes} exporters are known to Prometheus"]
        return Settling("; ".join(filter(None, [*(down or few), seen.unready])))


@dataclass(frozen=True)
class Freshness:
    """One GPU's samples: how many in the window, and the age of the newest in seconds."""

    node: str
    gpu: str
    samples: int
    age: float
    changes: int | None

    @property
    def trouble(self) -> str:
        """What is wrong with them; empty when they are as they should be."""
        name = f"{self.node} GPU {self.gpu}"
        if self.age > OLDEST:
            return f"{name}: the newest sample is {self.age:.0f} s old"
        if self.samples < ENOUGH:
            return f"{name}: {self.samples} samples in {WINDOW} s"
        if self.changes is not None and self.changes < ENOUGH // 3:
            return f"{name}: its energy counter changed {self.changes} times in {WINDOW} s, so DCGM reads it too seldom"
        return ""


@dataclass(frozen=True)
class Samples:
    """What Prometheus has of every GPU; `wanted` is pairs of node and number of GPUs."""

    gpus: tuple[Freshness, ...]
    wanted: tuple[tuple[str, int], ...]
    answers: bool
    unready: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes with fewer GPUs in Prometheus than in the site."""
        seen = {node: len({one.gpu for one in self.gpus if one.node == node}) for node, _ in self.wanted}
        return tuple(
            f"{node}: {seen[node]} of {count} GPUs sampled" for node, count in self.wanted if seen[node] < count
        )

    def __str__(self) -> str:
        fresh = sum(not one.trouble for one in self.gpus)
        return f"{fresh} of {sum(count for _, count in self.wanted)} GPUs sampled every second"


@dataclass(frozen=True)
class GpusSampled(Step):
    """Prometheus has a sample of every GPU for nearly every second, and the newest is seconds old."""

    gpus: tuple[tuple[str, int], ...]
    name: str = "monitoring.gpus_sampled"
    wanted: str = "Prometheus has fresh samples of every GPU, one a second"
    settles_within: float = 180.0

    def probe(self) -> tuple[Any, ...]:
        """How many samples there are in a window, how old the newest is, how often a counter changed; and the pods.

        The newest of the window, not the newest now: there is none now when the last scrape, of one a second, was late.
        """
        by = "by (node, gpu)"
        return (
            prometheus.query(f"max {by} (count_over_time({METRIC}[{WINDOW}s]))"),
            prometheus.query(f"min {by} (time() - max_over_time(timestamp({METRIC})[{WINDOW}s:1s]))"),
            prometheus.query(f"max {by} (changes({ENERGY}[{WINDOW}s]))"),
            _PODS,
        )

    def parse(self, raw: tuple[prometheus.Answer, prometheus.Answer, prometheus.Answer, list[Any]]) -> Samples:
        """By node and GPU. A GPU without an energy counter is judged by its samples alone."""
        counts, ages, changes = (_by_gpu(prometheus.samples(answer)) for answer in raw[:3])
        found = (
            Freshness(node, gpu, int(count), ages.get((node, gpu), float("inf")), _whole(changes.get((node, gpu))))
            for (node, gpu), count in sorted(counts.items())
        )
        return Samples(tuple(found), self.gpus, raw[0] is not None, podstate.unready(raw[3]))

    def actions(self, seen: Samples) -> Decision:
        """Nothing but to wait, saying for which GPU."""
        if not seen.answers:
            return Later("monitoring.targets_up", "Prometheus does not answer")
        trouble = [*seen.missing, *filter(None, (one.trouble for one in seen.gpus))]
        return Settling("; ".join(filter(None, [*trouble[:6], seen.unready]))) if trouble else []


def values(site: Site) -> dict[str, Any]:
    """The document's values, and what makes them work today."""
    most = max((node.gpus for node in site.nodes), default=0)
    memory = {"memory": "1Gi"} if most >= MANY_GPUS else {}
    return {
        "serviceMonitor": {
            "enabled": True,
            "interval": "1s",
            "scrapeTimeout": "1s",
            "additionalLabels": {"release": "prometheus"},
            "relabelings": [
                {"action": "replace", "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
            ],
        },
        "extraEnv": [{"name": "DCGM_EXPORTER_INTERVAL", "value": "1000"}],
        "nodeSelector": {LABEL: "true"},
        "tolerations": [{"operator": "Exists"}],
        "resources": {"limits": {"cpu": "500m", **memory}},
    }


def exporter_released(site: Site) -> charts.Released:
    """The exporter is released under a fixed name, on the nodes with GPUs."""
    return charts.released(site, "dcgm-exporter", release=RELEASE, namespace=NAMESPACE, values=values(site))


def monitor_accepted(site: Site) -> MonitorAccepted:
    """The operator has taken the exporter's monitor, and each node with GPUs is scraped."""
    return MonitorAccepted(sum(node.gpus > 0 for node in site.nodes))


def gpus_sampled(site: Site) -> GpusSampled:
    """Prometheus has fresh samples of every GPU of the site."""
    return GpusSampled(tuple((node.name, node.gpus) for node in site.nodes if node.gpus))


def _warning(monitor: dict[str, Any], events: Sequence[dict[str, Any]]) -> str:
    """Why the operator rejected the monitor as it is now; a warning stays for an hour after its cause is gone."""
    meta = monitor["metadata"]
    changes = [entry.get("time", "") for entry in meta.get("managedFields", []) if not entry.get("subresource")]
    changed = max(changes, default="")[:_TO_THE_SECOND]
    for event in events:
        about = event.get("involvedObject", {}).get("name") == meta["name"]
        if about and event.get("reason") == "InvalidConfiguration" and _at(event)[:_TO_THE_SECOND] >= changed:
            return " ".join(str(event.get("message", "")).split())
    return ""


def _at(event: dict[str, Any]) -> str:
    """When it was last seen, in the API's own form, which sorts by time."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _defect(monitor: dict[str, Any]) -> str:
    """Why the operator will not take a monitor, or Prometheus will not pick it."""
    for endpoint in monitor.get("spec", {}).get("endpoints", []):
        interval, timeout = (_seconds(endpoint.get(key, "")) for key in ("interval", "scrapeTimeout"))
        if interval and timeout > interval:
            return f"its scrapeTimeout {endpoint['scrapeTimeout']} exceeds its interval {endpoint['interval']}"
    if monitor["metadata"].get("labels", {}).get("release") != "prometheus":
        return "it lacks the label release: prometheus, by which Prometheus picks monitors"
    return ""


def _seconds(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((unit for unit in ("ms", "s", "m", "h") if text.endswith(unit)), "")
    number = text.removesuffix(unit)
    return float(number) * units[unit] if unit and number.replace(".", "", 1).isdigit() else 0.0


def _by_gpu(found: Sequence[prometheus.Sample]) -> dict[tuple[str, str], float]:
    return {(one.labels.get("node", ""), one.labels.get("gpu", "")): one.value for one in found}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
