"""Dashboards in Grafana without a click: ConfigMaps with the label that Grafana's sidecar looks for.

The document imports 12239 by hand from grafana.com. A ConfigMap does the same on every run, survives the loss of
Grafana's database, and needs no way out for whoever looks at it.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations.monitoring import dashboard
from pic4ser_lib.operations.monitoring.prometheus import NAMESPACE
from pic4ser_lib.steps import Apply, Decision, Later, Read, Refused, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

LABEL = "grafana_dashboard"
SOURCE_UID = "prometheus"
"""The uid that the chart gives its Prometheus data source."""

_FETCH = """
f=$(mktemp) && trap 'rm -f "$f" "$f.error"' EXIT
if ! command -v curl >/dev/null; then echo "@failed: curl is missing"; exit 0; fi
if ! curl -fsSL --connect-timeout 10 --max-time 60 -o "$f" URL 2>"$f.error"; then
  echo "@failed: $(tr '\\n' ' ' <"$f.error")"; exit 0
fi
echo "@sha256: $(sha256sum <"$f" | cut -d ' ' -f 1)"
echo "@dashboard:"
cat "$f"
"""
_THE_NAMESPACE = Read("v1", "Namespace", NAMESPACE)


@dataclass(frozen=True)
class Kept:
    """The ConfigMaps of dashboards by name, each with its text; None: the namespace is not there yet."""

    texts: tuple[tuple[str, str], ...] | None

    def __str__(self) -> str:
        return (
            "no namespace yet" if self.texts is None else ", ".join(name for name, text in self.texts if text) or "none"
        )


@dataclass(frozen=True)
class GpuDashboard(Step):
    """Grafana has our dashboard of the GPUs."""

    name: str = "monitoring.gpu_dashboard"
    wanted: str = "Grafana is given the dashboard of the GPUs"

    def probe(self) -> tuple[Read, Read]:
        """The namespace and the ConfigMap."""
        return _THE_NAMESPACE, Read("v1", "ConfigMap", dashboard.UID, NAMESPACE)

    def parse(self, raw: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> Kept:
        """Its text."""
        return Kept(None if raw[0] is None else ((dashboard.UID, _text(raw[1])),))

    def actions(self, seen: Kept) -> Decision:
        """The ConfigMap, when it is missing or another."""
        if seen.texts is None:
            return Later("monitoring.stack_released", f"there is no namespace {NAMESPACE}")
        wanted = dashboard.gpu_dashboard_json()
        return [] if dict(seen.texts)[dashboard.UID] == wanted else [_applied(dashboard.UID, wanted)]


@dataclass(frozen=True)
class Source:
    """A dashboard that the site names: its number or name, where it is fetched, and the checksum of its bytes."""

    name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """What was fetched: its checksum and text, or why not."""

    sha256: str
    text: str
    failed: str


@dataclass(frozen=True)
class Community:
    """Each dashboard of the site, as fetched, and what the cluster has of them."""

    fetched: tuple[Fetched, ...]
    kept: Kept

    def __str__(self) -> str:
        return str(self.kept)


@dataclass(frozen=True)
class CommunityDashboards(Step):
    """Grafana has the dashboards that the site names, each by its pinned checksum."""

    sources: tuple[Source, ...]
    first: str
    name: str = "monitoring.community_dashboards"
    wanted: str = "Grafana is given every other dashboard that the site names"

    def probe(self) -> tuple[Any, ...]:
        """Each fetched by the first control plane, and what the cluster has."""
        maps = (Read("v1", "ConfigMap", _map(source), NAMESPACE) for source in self.sources)
        fetches = (Shell(_FETCH.replace("URL", shlex.quote(source.url)), on=self.first) for source in self.sources)
        return _THE_NAMESPACE, *maps, *fetches

    def parse(self, raw: tuple[Any, ...]) -> Community:
        """In the order of the site."""
        count = len(self.sources)
        texts = tuple((_map(source), _text(one)) for source, one in zip(self.sources, raw[1 : 1 + count], strict=True))
        return Community(tuple(map(_fetched, raw[1 + count :])), Kept(None if raw[0] is None else texts))

    def actions(self, seen: Community) -> Decision:
        """A ConfigMap for each that is missing or another; nothing that is not the pinned one."""
        if not self.sources:
            return []
        if seen.kept.texts is None:
            return Later("monitoring.stack_released", f"there is no namespace {NAMESPACE}")
        pairs = zip(self.sources, seen.fetched, strict=True)
        wanted = {_map(source): _imported(self._checked(source, one), source) for source, one in pairs}
        kept = dict(seen.kept.texts)
        return [_applied(name, text) for name, text in wanted.items() if kept[name] != text]

    def _checked(self, source: Source, fetched: Fetched) -> str:
        wanted = f"dashboard {source.name} from {source.url}"
        if fetched.failed:
            raise Refused(wanted, fetched.failed, "Is the source up, and its URL right (sources.dashboards)?")
        if fetched.sha256 != source.sha256:
            seen = f"checksum {fetched.sha256}, and the site has {source.sha256 or 'none'}"
            raise Refused(wanted, seen, f"Read it, then put its checksum into sources.dashboards.{source.name}.sha256.")
        return fetched.text


def gpu_dashboard() -> GpuDashboard:
    """Grafana is given our dashboard of the GPUs."""
    return GpuDashboard()


def community_dashboards(site: Site) -> CommunityDashboards:
    """Grafana is given the dashboards of `sources.dashboards`, such as 12239; without any, nothing is wanted."""
    found = sorted(site.sources.dashboards.items())
    return CommunityDashboards(tuple(Source(n, str(one.url), one.sha256) for n, one in found), site.first.name)


def _map(source: Source) -> str:
    return "dashboard-" + re.sub("[^a-z0-9-]", "-", source.name.lower())


def _text(found: dict[str, Any] | None) -> str:
    """The dashboard in a ConfigMap; empty when it is missing, or lacks the label without which nobody reads it."""
    if found is None or found["metadata"].get("labels", {}).get(LABEL) != "1":
        return ""
    return str(next(iter(found.get("data", {}).values()), ""))


def _applied(name: str, text: str) -> Apply:
    labels = {LABEL: "1", "app.kubernetes.io/managed-by": "pic4ser"}
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return Apply(({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {f"{name}.json": text}},))


def _fetched(raw: str) -> Fetched:
    head, _, text = raw.partition("@dashboard:\n")
    key, _, value = head.strip().partition(": ")
    return Fetched(value, text, "") if key == "@sha256" else Fetched("", "", value or "nothing was fetched")


def _imported(text: str, source: Source) -> str:
    """What Grafana's import form does: its inputs are answered with the data source of the chart."""
    try:
        board = json.loads(text)
    except ValueError as error:
        raise Refused(f"dashboard {source.name} as JSON", str(error), f"Look at {source.url}.") from error
    inputs = [str(one["name"]) for one in board.pop("__inputs", []) if one.get("type") == "datasource"]
    board.pop("__requires", None)
    board["id"] = None
    made = json.dumps(board, indent=1, sort_keys=True) + "\n"
    for name in inputs:
        made = made.replace(f"${{{name}}}", SOURCE_UID)
    return made
