"""Archives as upstream's: readable by tar, the same bytes each time, with the sums that a site is told."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from pic4ser_lib.lab import archives, pins
from pic4ser_lib.lab.recipes import Recipe


def _source(folder: Path) -> Path:
    (folder / "manifests" / "base").mkdir(parents=True)
    (folder / "manifests" / "base" / "job.yaml").write_text("kind: Job\n")
    (folder / "helm").write_bytes(os.urandom(200_000))
    (folder / "helm").chmod(0o755)
    return folder


def test_tar_unpacks_what_was_packed(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    archives.write(tmp_path / "a.tar.gz", {"top/manifests": source / "manifests", "linux-amd64/helm": source / "helm"})
    subprocess.run(["tar", "-C", str(tmp_path), "-xzf", str(tmp_path / "a.tar.gz")], check=True)
    assert (tmp_path / "top/manifests/base/job.yaml").read_text() == "kind: Job\n"
    assert (tmp_path / "linux-amd64/helm").read_bytes() == (source / "helm").read_bytes()
    assert os.access(tmp_path / "linux-amd64/helm", os.X_OK)


def test_gzip_finds_the_archive_whole(tmp_path: Path) -> None:
    archives.write(tmp_path / "a.tar.gz", {"helm": _source(tmp_path / "source") / "helm"})
    subprocess.run(["gzip", "--test", str(tmp_path / "a.tar.gz")], check=True)


def test_who_packed_it_and_when_does_not_matter(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    archives.write(tmp_path / "1.tar.gz", {"manifests": source / "manifests"})
    os.utime(source / "manifests" / "base" / "job.yaml", (1, 1))
    archives.write(tmp_path / "2.tar.gz", {"manifests": source / "manifests"})
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


def _stand_in(name: str) -> Recipe:
    def make(into: Path, _: object) -> None:
        (into / "manifests").mkdir()
        (into / "manifests" / "m.yaml").write_text(name)
        (into / "helm").write_text(name)

    return Recipe(name=name, inputs={}, make=make)


def test_each_pinned_archive_is_where_upstream_has_it_and_has_its_sum(tmp_path: Path) -> None:
    known = {name: _stand_in(name) for name in ("helm", "training-operator")}
    for recipe in known.values():
        recipe.ensure(tmp_path)
    made = archives.recipe(pins.load(), known).ensure(tmp_path)
    helm = made / "helm-v4.3.1-linux-amd64.tar.gz"
    assert archives.sums(pins.load(), made)["helm"] == hashlib.sha256(helm.read_bytes()).hexdigest()
    operator = made / "kubeflow/trainer/archive/refs/tags/v1.9.2.tar.gz"
    listed = subprocess.run(["tar", "-tzf", str(operator)], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines() == ["trainer-1.9.2/manifests/", "trainer-1.9.2/manifests/m.yaml"]
