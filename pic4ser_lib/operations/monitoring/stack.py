"""kube-prometheus-stack: Prometheus, its operator, exporters of every node, and Grafana; and whether all is scraped.

Of the monitors that the chart brings, four find nothing on a cluster made by kubeadm: scheduler, controller manager,
etcd and kube-proxy give their figures to the node itself only. They are left out, with their alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import charts, podstate
from pic4ser_lib.operations.monitoring import grafana, prometheus
from pic4ser_lib.operations.monitoring.prometheus import NAMESPACE
from pic4ser_lib.steps import Decision, Later, Read, Settling, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

RELEASE = "prometheus"
_OWN = f"serviceMonitor/{NAMESPACE}/"
_PER_NODE = ("kubelet", "node-exporter")
_NAMED = 4


@dataclass(frozen=True)
class Scraped:
    """The targets of the stack's own monitors (None: Prometheus does not answer), and pods that are not ready."""

    targets: tuple[prometheus.Target, ...] | None
    nodes: int
    unready: str
    monitors: int

    @property
    def down(self) -> tuple[prometheus.Target, ...]:
        """Those that do not answer Prometheus."""
        return tuple(one for one in self.targets or () if not one.is_up)

    def per_node(self, job: str) -> int:
        """On how many nodes a job has a target that answers."""
        return len({one.instance for one in self.targets or () if one.job == job and one.is_up})

    def __str__(self) -> str:
        if self.targets is None:
            return "Prometheus does not answer"
        return f"{len(self.targets) - len(self.down)} of {len(self.targets)} targets up"


@dataclass(frozen=True)
class TargetsUp(Step):
    """Prometheus scrapes every node, and everything that the stack watches answers it."""

    nodes: int
    name: str = "monitoring.targets_up"
    wanted: str = "Prometheus scrapes every node, and every target of the stack answers"
    settles_within: float = 240.0

    def probe(self) -> tuple[Any, ...]:
        """Prometheus's own list of targets; nodes, pods and monitors say why one is missing."""
        return (
            prometheus.active_targets(),
            Read("v1", "Node"),
            Read("v1", "Pod", namespace=NAMESPACE),
            Read("monitoring.coreos.com/v1", "ServiceMonitor", namespace=NAMESPACE),
        )

    def parse(self, raw: tuple[prometheus.Answer, list[Any], list[Any], list[Any]]) -> Scraped:
        """Only what comes from the stack's own monitors: others' are not ours to judge."""
        answer, nodes, pods, monitors = raw
        own = tuple(one for one in prometheus.targets(answer) if one.pool.startswith(_OWN))
        return Scraped(None if answer is None else own, len(nodes), podstate.unready(pods), len(monitors))

    def actions(self, seen: Scraped) -> Decision:
        """Nothing but to wait, saying for what."""
        if not seen.monitors:
            return Later("monitoring.stack_released", "the cluster has no monitor of the stack")
        if seen.targets is None:
            return Settling(seen.unready or f"service {prometheus.SERVICE} does not answer yet")
        few = [job for job in _PER_NODE if seen.per_node(job) < max(seen.nodes, self.nodes)]
        missing = [f"{job} answers on {seen.per_node(job)} of {seen.nodes} nodes" for job in few]
        missing += map(str, seen.down[:_NAMED])
        return Settling("; ".join([*missing, *filter(None, [seen.unready])])) if missing else []


def values(site: Site) -> dict[str, Any]:
    """The document's values, and what today's chart and a cluster made by kubeadm need besides."""
    return {
        "grafana": {
            "deploymentStrategy": {"type": "Recreate"},
            "persistence": {"enabled": True},
            "initChownData": {"enabled": False},
            "admin": grafana.EXISTING_SECRET,
        },
        "kubeEtcd": {"enabled": False},
        "kubeProxy": {"enabled": False},
        "kubeScheduler": {"enabled": False},
        "kubeControllerManager": {"enabled": False},
        "prometheus": {"prometheusSpec": _kept(site.monitoring.retention, site.monitoring.prometheus_storage)},
        **_patient(site.slowness),
    }


def stack_released(site: Site) -> charts.Released:
    """The monitoring stack is released, with the document's values."""
    return charts.released(
        site, "kube-prometheus-stack", release=RELEASE, namespace=NAMESPACE, values=values(site), within=600.0
    )


def targets_up(site: Site) -> TargetsUp:
    """Prometheus scrapes every node, and every target of the stack answers."""
    return TargetsUp(len(site.nodes))


def _patient(slowness: int) -> dict[str, Any]:
    """On a slow site an answer to a health check may take longer: else what starts is ended again for being slow.

    Of Prometheus and Grafana the chart lets enough go by itself.
    """
    if slowness == 1:
        return {}
    longer = {"timeoutSeconds": slowness, "failureThreshold": 10}
    parts = ("prometheusOperator", "prometheus-node-exporter", "kube-state-metrics")
    return {part: {"livenessProbe": longer, "readinessProbe": longer} for part in parts}


def _kept(retention: str, storage: str) -> dict[str, Any]:
    """How long samples are kept, and where: without a claim they are gone with Prometheus's pod."""
    if not storage:
        return {"retention": retention}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    return {"retention": retention, "storageSpec": {"volumeClaimTemplate": {"spec": claim}}}
