"""What keeps a claim from being bound, in the cluster's own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def missing(claim: dict[str, Any], events: Iterable[dict[str, Any]]) -> str:
    """Why a claim is not bound yet, from the newest event about it; empty when it is bound.

    Events of any type count: "waiting for a volume to be created by the provisioner" is no warning.
    """
    name, phase = claim["metadata"]["name"], claim.get("status", {}).get("phase", "Pending")
    if phase == "Bound":
        return ""
    about = [event for event in events if _is_about(event, name)]
    newest = max(about, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), default=None)
    why = f" ({newest.get('reason', '')}: {' '.join(str(newest.get('message', '')).split())})" if newest else ""
    return f"claim {name}: {phase}{why}"


def _is_about(event: dict[str, Any], name: str) -> bool:
    about = event.get("involvedObject", {})
    return bool(about.get("kind") == "PersistentVolumeClaim" and about.get("name") == name)
