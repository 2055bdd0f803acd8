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

__all__ = ["Gpus", "read"]


def read(nodes: Nodes, *, minutes: float = 15.0, longest_gap: float = 5.0, end: float | None = None) -> Gpus:
    """The GPUs of these nodes over the last `minutes` (up to `end`, seconds since 1970, if given).

    `longest_gap` is the bound, in seconds, that the figures' verdicts state. In mode plan, where Prometheus may still
    be to come, the figures say so. Raises ClusterError.
    """
    from pic4ser_lib.errors import ClusterError
    from pic4ser_lib.steps import Mode
    from pic4ser_lib.telemetry.prometheus import through_api_server
    from pic4ser_lib.telemetry.reading import asked
    from pic4ser_lib.telemetry.series import Gpu

    names = {node.name for node in nodes.members}
    expected = [Gpu(node.name, index) for node in nodes.members for index in range(node.gpus)]
    try:
        source = through_api_server(nodes.bound.ways.kubeconfig)
        seen = asked(source, seconds=minutes * 60, end=end, expected=expected, longest_gap=longest_gap)
    except ClusterError:
        if nodes.bound.mode is Mode.PLAN:
            return Gpus(None, "Prometheus, which notebook 08 installs")
        raise
    return Gpus(seen.on(names))
