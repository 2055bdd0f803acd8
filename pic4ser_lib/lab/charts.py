"""Helm chart repositories for the mirror, packed without helm: the lab's stand-ins, or upstream charts from a folder.

<folder>/<repository>/<name>-<version>.tgz and index.yaml, as `helm package` and `helm repo index` lay them out. The
same files give the same bytes, whenever and by whomever they are packed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache
from pic4ser_lib.lab.pins import FILES
from pic4ser_lib.lab.recipes import Made, Recipe

STAND_INS = FILES / "charts"
REPOSITORIES = {  # chart: the folder on the mirror that stands for its upstream repository
    "nfs-subdir-external-provisioner": "nfs-subdir-external-provisioner",
    "nvidia-device-plugin": "k8s-device-plugin",
    "kube-prometheus-stack": "prometheus-community",
    "dcgm-exporter": "dcgm-exporter",
}
_CREATED = "2025-01-01T00:00:00Z"
_CRDS = {"kube-prometheus-stack": "prometheus-operator"}  # chart: the artifact whose crds/ folder it brings
_INDEXED = ("apiVersion", "appVersion", "description", "kubeVersion", "name", "type", "version")


@dataclass(frozen=True)
class Chart:
    """A packed chart: what its Chart.yaml says, and the bytes of its tgz."""

    told: Mapping[str, Any]
    content: bytes

    @property
    def name(self) -> str:
        """As the chart calls itself."""
        return str(self.told["name"])

    @property
    def file(self) -> str:
        """The name under which a repository holds it."""
        return f"{self.name}-{self.told['version']}.tgz"


def recipe(known: Mapping[str, Recipe]) -> Recipe:
    """The artifact "charts": repositories of the stand-ins, with the custom resources of the operator's source."""
    needs = tuple(known[artifact] for artifact in _CRDS.values())

    def make(into: Path, made: Made) -> None:
        crds = {chart: made[artifact] / "crds" for chart, artifact in _CRDS.items()}
        write([pack(STAND_INS / name, crds=crds.get(name)) for name in sorted(REPOSITORIES)], into)

    inputs = {"recipe": 2, "files": _digests(STAND_INS), "repositories": REPOSITORIES}
    return Recipe(name="charts", inputs=inputs, make=make, needs=needs)


def upstream(root: Path, folder: Path, stand_ins: Path) -> Path:
    """The repositories with the charts of `folder` (tgz or unpacked) in place of the stand-ins of the same name.

    `stand_ins` are the repositories made by `recipe`. Raises ArtifactError for a chart that none of them is named like.
    """
    found = read(folder)
    inputs = {"stand-ins": str(stand_ins), "charts": {c.file: hashlib.sha256(c.content).hexdigest() for c in found}}

    def make(into: Path) -> None:
        replaced = {chart.name for chart in found}
        kept = [packed(path) for path in sorted(stand_ins.glob("*/*.tgz"))]
        write([*found, *(chart for chart in kept if chart.name not in replaced)], into)

    return cache.ensure(root, "charts-of-yours", cache.key_of(inputs), make)


def read(folder: Path) -> list[Chart]:
    """Every chart in a folder (or the chart that the folder is), packed. Raises ArtifactError."""
    if not folder.is_dir():
        raise _refused(folder, wanted="a folder of Helm charts", seen="no such folder")
    places = [folder] if (folder / "Chart.yaml").is_file() else sorted(folder.iterdir())
    found = [packed(place) for place in places if place.suffix == ".tgz"]
    found += [pack(place) for place in places if (place / "Chart.yaml").is_file()]
    if not found:
        raise _refused(folder, wanted="Helm charts, packed (.tgz) or unpacked", seen="none in it")
    if unknown := sorted(chart.name for chart in found if chart.name not in REPOSITORIES):
        raise _refused(folder, wanted=f"charts named {', '.join(REPOSITORIES)}", seen=", ".join(unknown))
    return found


def pack(folder: Path, *, crds: Path | None = None) -> Chart:
    """An unpacked chart as a tgz: same files, same bytes. `crds` is a folder of files that go to the chart's crds/.

    A release holds the whole chart in a Secret, which ends at 1 MiB: custom resources go in without their descriptions.
    """
    files = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    more: dict[str, bytes] = {}
    if crds is not None:
        more = {f"crds/{path.name}": without_descriptions(path.read_text()).encode() for path in _files(crds)}
    told = _told(folder, (folder / "Chart.yaml").read_bytes())
    contents = {name: path.read_bytes() for name, path in files.items()} | more
    packed_tar = io.BytesIO()
    with tarfile.open(fileobj=packed_tar, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(contents.items(), key=lambda item: (item[0] != "Chart.yaml", item[0])):
            entry = tarfile.TarInfo(f"{told['name']}/{name}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return Chart(told, gzip.compress(packed_tar.getvalue(), mtime=0))


def without_descriptions(definition: str) -> str:
    """A CustomResourceDefinition as controller-gen writes it, without the texts; a field named so stays."""
    kept, dropped = [], -1
    for line in definition.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if dropped >= 0 and (indent > dropped or not line.strip()):
            continue
        dropped = indent if re.match(r" *description: \S", line) else -1
        if dropped < 0:
            kept.append(line)
    return "".join(kept)


def packed(path: Path) -> Chart:
    """A chart that is a tgz already, byte for byte."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            top = next((name for name in tar.getnames() if _is_top(name)), None)
            content = tar.extractfile(top) if top else None
            if content is None:
                raise _refused(path, wanted="a packed Helm chart", seen="no Chart.yaml in its one folder")
            return Chart(_told(path, content.read()), path.read_bytes())
    except (OSError, tarfile.TarError) as error:
        raise _refused(path, wanted="a packed Helm chart", seen=str(error)) from error


def write(charts: Iterable[Chart], into: Path) -> None:
    """The repositories as folders: each with its charts and the index that `helm repo add` reads."""
    by_folder: dict[str, list[Chart]] = {}
    for chart in charts:
        by_folder.setdefault(REPOSITORIES[chart.name], []).append(chart)
    for folder, members in by_folder.items():
        for chart in members:
            cache.write(into / folder / chart.file, chart.content)
        cache.write(into / folder / "index.yaml", index(members))


def index(charts: Iterable[Chart]) -> str:
    """The text of a repository's index.yaml; its URLs are relative, so it can be served anywhere."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for chart in charts:
        entry = {key: chart.told[key] for key in _INDEXED if key in chart.told}
        entry |= {"created": _CREATED, "digest": hashlib.sha256(chart.content).hexdigest(), "urls": [chart.file]}
        entries.setdefault(chart.name, []).append(entry)
    return _dumped({"apiVersion": "v1", "entries": entries, "generated": _CREATED})


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): cache.digest_of(path) for path in _files(folder)}


def _is_top(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[1] == "Chart.yaml"


def _told(where: Path, text: bytes) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        told = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _refused(where, wanted="a Helm chart", seen=f"its Chart.yaml is not YAML: {error}") from error
    if not isinstance(told, dict) or not {"name", "version"} <= told.keys():
        raise _refused(where, wanted="a Helm chart", seen="its Chart.yaml names no chart and version")
    return told


def _dumped(told: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.dump(told, text)
    return text.getvalue()


def _refused(where: Path, *, wanted: str, seen: str) -> ArtifactError:
    remedy = "Give `pic4ser lab up --charts` a folder with the upstream charts that shall replace the stand-ins."
    return ArtifactError(artifact=f"charts from {where}", wanted=wanted, seen=seen, remedy=remedy)
