"""The site's chart repositories, known to root's helm under the document's names."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.charts.helm import ENVIRONMENT, PATH
from pic4ser_lib.steps import Decision, Later, Run, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

NAMES = {
    "nvidia-device-plugin": "nvdp",
    "kube-prometheus-stack": "prometheus-community",
    "dcgm-exporter": "gpu-helm-charts",
}
"""A chart's repository as the document names it; the others are named after their chart."""
_SYNCED = "sync -f /root"  # helm syncs neither its list nor the index


@dataclass(frozen=True)
class Repositories:
    """Name and URL of each repository that helm knows; None: there is no helm."""

    known: tuple[tuple[str, str], ...] | None

    def __str__(self) -> str:
        if self.known is None:
            return "no helm"
        return ", ".join(f"{name} at {url}" for name, url in self.known) or "no repository"


@dataclass(frozen=True)
class RepositoriesAdded(Step):
    """helm knows the site's chart repositories. Others that somebody added are left alone."""

    repositories: tuple[tuple[str, str], ...]
    first: str
    name: str = "charts.repositories_added"
    wanted: str = "helm knows the site's chart repositories"

    def probe(self) -> Shell:
        """The list; helm's complaint that there are none yet is an empty one."""
        look = f"{ENVIRONMENT} {PATH} repo list -o json 2>/dev/null || echo '[]'"
        return Shell(f"if [ -x {PATH} ]; then {look}; else echo none; fi", on=self.first)

    def parse(self, raw: str) -> Repositories:
        """helm's JSON."""
        if raw.strip() == "none":
            return Repositories(None)
        return Repositories(tuple((one["name"], one["url"]) for one in json.loads(raw) or ()))

    def actions(self, seen: Repositories) -> Decision:
        """`helm repo add`, which fetches the repository's index and so fails where there is none."""
        if seen.known is None:
            return Later("charts.helm_installed", "there is no helm yet")
        there = {name: url.rstrip("/") for name, url in seen.known}
        missing = [(name, url) for name, url in self.repositories if there.get(name) != url.rstrip("/")]
        add = f"{ENVIRONMENT} {PATH} repo add --force-update"
        adds = [f"{add} {shlex.quote(name)} {shlex.quote(url)} && {_SYNCED}" for name, url in missing]
        return [Run(command, on=self.first, timeout=180) for command in adds]


def repositories_added(site: Site) -> RepositoriesAdded:
    """helm on the first control plane knows the repository of each of the site's charts."""
    charts = site.sources.charts.items()
    named = {NAMES.get(key, key): chart.repository for key, chart in charts}
    return RepositoriesAdded(tuple(sorted(named.items())), site.first.name)
