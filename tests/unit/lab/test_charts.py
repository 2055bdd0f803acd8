"""Chart repositories: what helm would find in them, and that packing twice gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import charts

DCGM = "dcgm-exporter"


def _chart(folder: Path, name: str = DCGM, version: str = "4.8.2") -> Path:
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
    (folder / "values.yaml").write_text("a: 1\n")
    (folder / "templates" / "service.yaml").write_text("kind: Service\n")
    (folder / ".helmignore").write_text("*.md\n")
    return folder


def _names(chart: charts.Chart) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(chart.content)) as tar:
        return tar.getnames()


def test_a_packed_chart_has_everything_in_a_folder_of_its_name(tmp_path: Path) -> None:
    names = _names(charts.pack(_chart(tmp_path / "anything")))
    assert names == [f"{DCGM}/{name}" for name in ("Chart.yaml", "templates/service.yaml", "values.yaml")]


def test_packing_again_later_and_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = charts.pack(_chart(tmp_path / "a")), _chart(tmp_path / "b")
    os.utime(second / "values.yaml", (1, 1))
    assert charts.pack(second).content == first.content


def test_custom_resources_from_elsewhere_go_to_the_charts_crds(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "probes.yaml").write_text("kind: CustomResourceDefinition\n")
    assert f"{DCGM}/crds/probes.yaml" in _names(charts.pack(_chart(tmp_path / "a"), crds=tmp_path / "crds"))


def test_only_texts_are_taken_from_a_custom_resource() -> None:
    definition = """\
properties:
  a:
    description: One line.
    type: string
  b:
    description: |-
      Many lines.

        description: inside
    type: string
  description:
    description: "A field of that name
      goes on."
    type: string
"""
    left = YAML(typ="safe").load(charts.without_descriptions(definition))
    assert left == {"properties": {name: {"type": "string"} for name in ("a", "b", "description")}}


def test_the_index_names_file_and_digest_of_every_version(tmp_path: Path) -> None:
    made = [charts.pack(_chart(tmp_path / version, version=version)) for version in ("4.8.2", "4.8.3")]
    charts.write(made, tmp_path / "mirror")
    served = tmp_path / "mirror" / DCGM
    entries = YAML(typ="safe").load(served / "index.yaml")["entries"][DCGM]
    assert [entry["version"] for entry in entries] == ["4.8.2", "4.8.3"]
    for entry in entries:
        assert hashlib.sha256((served / entry["urls"][0]).read_bytes()).hexdigest() == entry["digest"]


def test_upstream_charts_replace_the_stand_ins_of_their_name_only(tmp_path: Path) -> None:
    plugin = charts.pack(_chart(tmp_path / "p", "nvidia-device-plugin", "0.20.0"))
    charts.write([charts.pack(_chart(tmp_path / "d")), plugin], tmp_path / "stand-ins")
    _chart(tmp_path / "yours" / "unpacked", version="4.8.4")
    made = charts.upstream(tmp_path / "cache", tmp_path / "yours", tmp_path / "stand-ins")
    served = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.tgz"))
    assert served == ["dcgm-exporter/dcgm-exporter-4.8.4.tgz", "k8s-device-plugin/nvidia-device-plugin-0.20.0.tgz"]


def test_a_packed_upstream_chart_is_served_byte_for_byte(tmp_path: Path) -> None:
    given = charts.pack(_chart(tmp_path / "a"))
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "x.tgz").write_bytes(given.content)
    assert [chart.content for chart in charts.read(tmp_path / "yours")] == [given.content]


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_no_chart_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(ArtifactError, match="a packed Helm chart"):
        charts.read(tmp_path)


def test_a_chart_that_the_runbook_does_not_use_is_refused_by_name(tmp_path: Path) -> None:
    _chart(tmp_path / "mysql", "mysql")
    with pytest.raises(ArtifactError, match="mysql"):
        charts.read(tmp_path)


def test_a_folder_without_charts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none in it"):
        charts.read(tmp_path)
    with pytest.raises(ArtifactError, match="no such folder"):
        charts.read(tmp_path / "missing")
