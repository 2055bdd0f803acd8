"""Our own dashboard of the GPUs, as data: what 12239 shows, for today's Grafana, with the node in every legend.

12239 is made of panels that Grafana has removed, and calls the first GPU of every node "GPU 0".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

UID, TITLE = "pic4ser-gpus", "GPUs"
SCHEMA = 41  # Grafana 12; newer ones take it over
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'node=~"$node", gpu=~"$gpu"'
_LEGEND = "{{node}} GPU {{gpu}}"
_HALF, _HEIGHT = 12, 8


@dataclass(frozen=True)
class Panel:
    """One graph over time: METRIC in the expression becomes the metric of the chosen GPUs."""

    title: str
    metric: str
    unit: str
    expression: str = "METRIC"
    most: float | None = None
    description: str = ""

    @property
    def query(self) -> str:
        """The expression in PromQL."""
        return self.expression.replace("METRIC", f"{self.metric}{{{_CHOSEN}}}")


PANELS = (
    Panel("Temperature", "DCGM_FI_DEV_GPU_TEMP", "celsius"),
    Panel("Power", "DCGM_FI_DEV_POWER_USAGE", "watt"),
    Panel("Utilisation", "DCGM_FI_DEV_GPU_UTIL", "percent", most=100, description="Share of time it works."),
    Panel("Framebuffer used", "DCGM_FI_DEV_FB_USED", "mbytes", description="The GPU's memory in use."),
    Panel("SM clock", "DCGM_FI_DEV_SM_CLOCK", "hertz", "METRIC * 1000000"),
    Panel("Tensor cores active", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "percentunit", most=1,
          description="Share of cycles; only data-centre GPUs tell it."),
)  # fmt: skip
TOTALS = (
    Panel("Mean temperature", "DCGM_FI_DEV_GPU_TEMP", "celsius", "avg(METRIC)"),
    Panel("Power of all", "DCGM_FI_DEV_POWER_USAGE", "watt", "sum(METRIC)"),
    Panel("GPUs", "DCGM_FI_DEV_GPU_UTIL", "none", "count(METRIC)"),
    Panel("GPUs held by pods", "DCGM_FI_DEV_GPU_UTIL", "none", 'count(METRIC and on (node, gpu) (HELD)) or vector(0)'
          .replace("HELD", 'DCGM_FI_DEV_GPU_UTIL{exported_pod!=""}')),
)  # fmt: skip


def gpu_dashboard_json() -> str:
    """The dashboard as Grafana reads it, the same bytes each time."""
    totals = [_stat(panel, i) for i, panel in enumerate(TOTALS)]
    graphs = [_graph(panel, i) for i, panel in enumerate(PANELS)]
    board = {
        "uid": UID,
        "title": TITLE,
        "tags": ["gpu", "pic4ser"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_sources(), _variable("node", "Node"), _variable("gpu", "GPU")]},
        "annotations": {"list": []},
        "panels": [{"id": number, **panel} for number, panel in enumerate([*totals, *graphs], 1)],
    }
    return json.dumps(board, indent=1) + "\n"


def _graph(panel: Panel, index: int) -> dict[str, Any]:
    place = {"x": _HALF * (index % 2), "y": 4 + _HEIGHT * (index // 2), "w": _HALF, "h": _HEIGHT}
    legend = {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]}
    style = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 5000}
    limits = {"min": 0} | ({"max": panel.most} if panel.most is not None else {})
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": style, **limits}, "overrides": []},
        "options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": panel.query, "legendFormat": _LEGEND}],
    }


def _stat(panel: Panel, index: int) -> dict[str, Any]:
    return {
        "type": "stat",
        "title": panel.title,
        "gridPos": {"x": 6 * index, "y": 0, "w": 6, "h": 4},
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area"},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": panel.query, "legendFormat": panel.title}],
    }


def _sources() -> dict[str, Any]:
    return {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(name: str, label: str) -> dict[str, Any]:
    query = f"label_values(DCGM_FI_DEV_GPU_TEMP, {name})"
    return {
        "name": name, "label": label, "type": "query", "datasource": _SOURCE, "definition": query,
        "query": {"qryType": 1, "query": query, "refId": name}, "refresh": 2, "sort": 3,
        "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": ["$__all"]},
    }  # fmt: skip
