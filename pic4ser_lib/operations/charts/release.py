"""A chart's release: `helm upgrade --install` with a pinned chart and values, when it differs from what is there.

Compared are the chart's version and the values that the release was given, and asked is whether its objects are there.
An interrupted run leaves a release that helm refuses to touch (pending-install, pending-upgrade, uninstalling): it is
undone first, and the plan says so. The chart's custom resource definitions go before its release (definitions.py says
why).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import workloads
from pic4ser_lib.operations.charts import definitions, look
from pic4ser_lib.operations.charts.helm import ENVIRONMENT, PATH
from pic4ser_lib.operations.charts.values import defaults, masked, merged, secrets, switched_on, unknown
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.packed import as_json, unpacked
from pic4ser_lib.operations.workloads import Around
from pic4ser_lib.steps import Action, Decision, Later, Read, Refused, Run, Settling, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

# The chart comes from its repository's URL: of the repositories that were added, helm would want the caches as well.
_ENVIRONMENT = f"{ENVIRONMENT} HELM_REPOSITORY_CONFIG=/dev/null"
_WORKLOADS, _HELMS = ("Deployment", "DaemonSet", "StatefulSet"), "app.kubernetes.io/managed-by=Helm"
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")


@dataclass(frozen=True)
class Release:
    """A release as helm has it, what of it is not running yet, and the chart's own values where they were asked for.

    `definitions` are the folders in it whose custom resources its releases with the wanted values bring.
    `absent` says why nothing could be asked; `others` are releases of the same chart beside it; `earlier` is the last
    revision that was deployed, 0 if none ever was; `busy`: a helm is at work on that node right now. `gone` are
    objects of it, or their kinds, that somebody deleted; `missing` says what its workloads lack.
    """

    absent: str = ""
    status: str = ""
    chart: str = ""
    version: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    others: tuple[str, ...] = ()
    earlier: int = 0
    busy: bool = False
    gone: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    known: dict[str, Any] | None = field(default=None, repr=False)
    definitions: tuple[str, ...] = ()
    failed: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.absent or not self.status:
            return self.absent or "no release"
        why = f": {self.description}" if self.status == "failed" and self.description else ""
        return f"{self.chart} {self.version}, {self.status}{why}" + (
            f", without {', '.join(self.gone)}" * bool(self.gone)
        )


@dataclass(frozen=True)
class Released(Step):
    """A release is the pinned chart with the wanted values, and all its pods are ready."""

    release: str
    namespace: str
    repository: str
    chart: str
    version: str
    values: dict[str, Any] = field(hash=False)
    first: str
    settles_within: float = 300.0

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the release in it."""
        return f"charts.released({self.release})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With chart and version."""
        return f"{self.chart} {self.version} runs with the site's values"

    def probe(self) -> Shell:
        """The release, its workloads, and the chart itself when the release is not as wanted."""
        script = look.script(
            release=self.release, namespace=self.namespace, version=self.version,
            values=self.values, chart=self.chart, repository=self.repository,
        )  # fmt: skip
        return Shell(script, on=self.first)

    def parse(self, raw: str) -> Release:
        """helm's and kubectl's JSON, line by line."""
        said = marked(raw)
        if "absent" in said:
            return Release(absent=said["absent"])
        chart, version, status = [*said["about"].split("|"), "", ""][:3]
        history = as_json(said["history"]) or []
        deployed = [one["revision"] for one in history if one["status"] in ("deployed", "superseded")]
        live = [one for one in _items(said, "workloads") if _release_of(one) == self.release]
        files = {key.removeprefix("file "): unpacked(text) for key, text in said.items() if key.startswith("file ")}
        return Release(
            status=status,
            chart=chart,
            version=version,
            values=as_json(said["values"]) or {},
            description=said["description"],
            others=tuple(self._others(as_json(said["list"]) or [])),
            earlier=max(deployed, default=0),
            busy="busy" in said,
            gone=tuple(sorted(key.removeprefix("gone ") for key in said if key.startswith("gone "))),
            missing=tuple(filter(None, (workloads.missing(one, _around(said)) for one in live))),
            known=defaults(files) if files else None,
            definitions=tuple(self._definitions(said, files)),
            failed=said.get("failed", ""),
            note=unpacked(said["notes"]).strip(),
        )

    def actions(self, seen: Release) -> Decision:
        """Nothing or a wait when it is as wanted; else recover what is stuck, and upgrade or install."""
        if seen.absent:
            step = "charts.helm_installed" if "helm" in seen.absent else "kubeadm.initialised"
            return Later(step, seen.absent)
        if seen.status == "deployed" and self._is_wanted(seen) and not seen.gone:
            return Settling("; ".join(seen.missing)) if seen.missing else []
        if seen.busy and seen.status.startswith(PENDING):
            return Settling(f"another helm on {self.first}: the release is {seen.status}")
        self._refuse(seen)
        return [*self._recovered(seen), *self._defined(seen), self._upgrade(seen)]

    def meanwhile(self) -> tuple[Read, ...]:
        """Its workloads and what explains them, of the API alone: a slow machine takes a minute to answer `probe`."""
        installed = [Read("apps/v1", kind, namespace=self.namespace, labels=_HELMS) for kind in _WORKLOADS]
        return (*installed, *(Read("v1", kind, namespace=self.namespace) for kind in ("Pod", "Event")))

    def missing(self, raw: tuple[Any, ...]) -> str:
        """What its workloads lack. Of a container that crashed only the probe has the log."""
        *installed, pods, events = raw
        live = [one for listed in installed for one in listed if _release_of(one) == self.release]
        return "; ".join(filter(None, (workloads.missing(one, Around(pods, events)) for one in live)))

    def _is_wanted(self, seen: Release) -> bool:
        return (seen.chart, seen.version, seen.values) == (self.chart, self.version, self.values)

    def _refuse(self, seen: Release) -> None:
        """What must not be installed or replaced blindly."""
        if seen.others:
            remedy = f"Two of it fight over the same names. Remove the other: helm uninstall -n {self.namespace} NAME."
            raise Refused(f"one release of {self.chart}", f"there is {', '.join(seen.others)} as well", remedy)
        if seen.status and seen.chart != self.chart:
            remedy = f"helm uninstall -n {self.namespace} {self.release}, if nobody needs it."
            raise Refused(self.wanted, f"release {self.release} is of chart {seen.chart}", remedy)
        if _number(seen.version) > _number(self.version):
            remedy = f"Name {seen.version} in the site's sources.charts; going back may lose what the newer one wrote."
            raise Refused(self.wanted, f"a newer one, {seen.version}", remedy)
        if seen.failed:
            remedy = (
                f"Is {self.repository} up, and does it have this version? helm search repo -l names those there are."
            )
            raise Refused(f"{self.chart} {self.version} from {self.repository}", seen.failed, remedy)
        if kept := [".".join(path) for path in secrets(self.values)]:
            remedy = (
                "Keep it in a Secret of the cluster and name that Secret in the values: plans and journals show values."
            )
            raise Refused(f"no secret among the values of {self.chart}", f"{', '.join(kept)} in the site", remedy)
        if strangers := unknown(self.values, seen.known or {}):
            seen_text = "; ".join(f"{name}{f' (did you mean {near}?)' if near else ''}" for name, near in strangers)
            remedy = f"helm would take it in silence. Mend the site's charts, or look: helm show values {self.chart}."
            raise Refused(f"values that {self.chart} {self.version} knows", f"unknown: {seen_text}", remedy)

    def _recovered(self, seen: Release) -> Sequence[Action]:
        """What undoes an interrupted run: back to what was deployed, or away if nothing ever was."""
        if seen.status in PENDING and seen.earlier:
            return [self._helm(f"rollback {self.release} {seen.earlier} -n {self.namespace}")]
        if seen.status in PENDING or seen.status == "uninstalling":
            return [self._helm(f"uninstall {self.release} -n {self.namespace}")]
        return []

    def _defined(self, seen: Release) -> Sequence[Action]:
        if not seen.definitions:
            return []
        words = definitions.applied(
            seen.definitions,
            chart=self.chart,
            version=self.version,
            repository=self.repository,
            within=self.settles_within,
        )
        return [Run(words, on=self.first, timeout=900)]

    def _definitions(self, said: dict[str, str], files: dict[str, str]) -> Iterator[str]:
        """Of the chart's crds/ folders those that are not in a dependency that is switched off."""
        on = [f"{folder}/crds" for folder in switched_on(files, self.values)] if files else []
        return (folder for folder in on if f"definitions {folder}" in said)

    def _upgrade(self, seen: Release) -> Run:
        words = ["upgrade", "--install", self.release, self.chart, "--repo", self.repository, "--version", self.version]
        words += ["--namespace", self.namespace, "--create-namespace", "--history-max", "10", "--values", "-"]
        words += ["--skip-crds"] if seen.definitions else []  # applied just before
        before = _as_yaml(masked(seen.values)) if seen.status else ""
        return self._helm(shlex.join(words), stdin=_as_yaml(self.values), before=before)

    def _helm(self, words: str, *, stdin: str = "", before: str | None = None) -> Run:
        return Run(f"{_ENVIRONMENT} {PATH} {words}", stdin=stdin, before=before, on=self.first, timeout=900)

    def _others(self, releases: Sequence[dict[str, Any]]) -> list[str]:
        """Releases of the same chart under other names; what was uninstalled and kept is none."""
        same = re.compile(rf"{re.escape(self.chart)}-v?\d")
        return [
            one["name"]
            for one in releases
            if same.match(one["chart"]) and one["name"] != self.release and one["status"] != "uninstalled"
        ]


def released(
    site: Site,
    chart: str,
    *,
    namespace: str,
    release: str = "",
    values: dict[str, Any] | None = None,
    within: float = 300.0,
) -> Released:
    """A chart of the site (a key of its `sources.charts`) is released with these values, and its pods are ready.

    What the site says in `charts` for it is laid over `values`. `release` is the chart's key unless given; `within`
    are the seconds that its pods may take.
    """
    pin = site.sources.charts[chart]
    wanted = merged(values or {}, site.charts.get(chart, {}))
    return Released(
        release or chart, namespace, pin.repository, pin.name, pin.version, wanted, site.first.name, within
    )  # fmt: skip


def _around(said: dict[str, str]) -> Around:
    logs = {key.removeprefix("log "): text for key, text in said.items() if key.startswith("log ")}
    return Around(_items(said, "pods"), _items(said, "events"), logs)


def _items(said: dict[str, str], key: str) -> list[dict[str, Any]]:
    return list((as_json(said.get(key, "")) or {}).get("items", []))


def _release_of(obj: dict[str, Any]) -> str:
    return str(obj["metadata"].get("annotations", {}).get("meta.helm.sh/release-name", ""))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))


def _as_yaml(values: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=True, allow_unicode=True, width=4096)
