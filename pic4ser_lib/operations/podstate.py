"""Which pods are not ready, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pic4ser_lib.operations.workloads import Around, why_not_ready


def unready(pods: Sequence[dict[str, Any]], *, most: int = 4) -> str:
    """The pods that are neither ready nor done, each with its reason; empty when there is none."""
    waiting = [pod for pod in pods if pod.get("status", {}).get("phase") != "Succeeded"]
    found = sorted((pod["metadata"]["name"], why_not_ready(pod, Around(pods))) for pod in waiting)
    said = [f"{name}: {why}" for name, why in found if why]
    return "; ".join(said[:most]) + (f"; and {len(said) - most} more" if len(said) > most else "")
