"""GPU telemetry: what Prometheus knows of a site's GPUs, as figures with verdicts.

    gpus = telemetry.read(nodes, minutes=15)     asks Prometheus, through the API server
    gpus.utilisation()                           a figure; also memory, power, temperature, clock, energy, health

plotly, kaleido and prometheus-api-client are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.telemetry.views import Gpus

if TYPE_CHECKING:
    from pic4ser_lib.binding import Nodes
    from pic4ser_lib.telemetry.records import Telemetry

__all__ = ["Gpus", "read"]


def read(nodes: Nodes, *, minutes: float = 15.0, longest_gap: float = 5.0, end: float | None = None) -> Gpus:
    """The GPUs of these nodes over the last `minutes` (up to `end`, seconds since 1970, if given).

    Without `end`, every GPU has to have been sampled in the last minute without a gap over `longest_gap` seconds: mode
    apply waits for that, for a while. Raises StepFailed when it is not so, and ClusterError without Prometheus. In
    mode plan, where Prometheus may still be to come, the figures say so.
    """
    from pic4ser_lib.errors import ClusterError
    from pic4ser_lib.steps import Mode
    from pic4ser_lib.telemetry.prometheus import through_api_server
    from pic4ser_lib.telemetry.reading import asked
    from pic4ser_lib.telemetry.series import Gpu
    from pic4ser_lib.telemetry.waiting import PATIENCE, sampled

    mode, names = nodes.bound.mode, {node.name for node in nodes.members}
    expected = [Gpu(node.name, index) for node in nodes.members for index in range(node.gpus)]

    def ask(seconds: float, end: float | None, lately: float) -> Telemetry:
        bounds = {"longest_gap": longest_gap, "lately": lately}
        return asked(source, seconds=seconds, end=end, expected=expected, **bounds).on(names)

    try:
        source = through_api_server(nodes.bound.ways.kubeconfig)
        if mode is Mode.PLAN or end is not None:
            return Gpus(ask(minutes * 60, end, 0.0))
        lately = min(60.0, minutes * 60)
        patience = PATIENCE * nodes.site.patience if mode is Mode.APPLY else 0.0
        whole = sampled(lambda: ask(lately, None, lately), patience=patience)
        return Gpus(ask(minutes * 60, whole.end, lately), must=True)
    except ClusterError:
        if mode is Mode.PLAN:
            return Gpus(None, "it needs Prometheus, which notebook 08 installs")
        raise
