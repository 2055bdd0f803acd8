"""The device plugin, which tells each kubelet of its GPUs, with GPU feature discovery, which labels them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.operations import charts
from pic4ser_lib.operations.nvidia.scheduling import NAMESPACE

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

RELEASE = "nvdp"
_EVERY_TAINT = [{"operator": "Exists"}]
# The document's value; and a toleration of every taint, because a node with GPUs wants its plugin whatever else it
# keeps away: by its own values the chart passes by control planes, and by nodes with a taint other than nvidia.com/gpu.
VALUES = {
    "gfd": {"enabled": True},
    "tolerations": _EVERY_TAINT,
    "nfd": {"worker": {"tolerations": _EVERY_TAINT}},
}


def plugin_released(site: Site) -> charts.Released:
    """The device plugin is released, with feature discovery, wherever there are GPUs."""
    return charts.released(site, "nvidia-device-plugin", release=RELEASE, namespace=NAMESPACE, values=VALUES)
