"""The cache: a key for every pin, complete artifacts only, and one build for any number of runs."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import artifacts, cache, pins, stages

SPAWN = multiprocessing.get_context("spawn")


def _keys(folder: Path, root: Path) -> dict[str, str]:
    return {name: recipe.key for name, recipe in stages.plan("cluster", pins.load(folder), root).recipes.items()}


@pytest.fixture
def changed_keys(tmp_path: Path) -> Callable[[str, str, str], set[str]]:
    """The names of the artifacts whose key changes when a text in a pin file does."""

    def changed(file: str, old: str, new: str) -> set[str]:
        folder = tmp_path / "pins"
        shutil.copytree(pins.HERE / "pins", folder)
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        before, after = _keys(pins.HERE / "pins", tmp_path), _keys(folder, tmp_path)
        return {name for name in before if before[name] != after.get(name)}

    return changed


def test_a_raised_version_changes_what_is_made_of_it_and_nothing_else(changed_keys: Any) -> None:
    assert changed_keys("golang.yaml", "coredns: v1.14.2", "coredns: v1.14.3") == {
        "coredns",
        "image-registry.k8s.io-coredns-coredns",
    }


def test_a_raised_kubernetes_reaches_packages_repositories_and_images(changed_keys: Any) -> None:
    changed = changed_keys("golang.yaml", "kubernetes: v1.36.3", "kubernetes: v1.37.2")
    assert {"kubernetes", "packages", "apt", "image-registry.k8s.io-kube-apiserver"} <= changed
    assert not {"etcd", "root-node", "closure", "image-registry.k8s.io-pause"} & changed


def test_another_package_in_the_node_changes_the_node(changed_keys: Any) -> None:
    assert {"root-node", "closure"} <= changed_keys("debian.yaml", "netcat-openbsd, ca-cert", "nano, ca-cert")


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def half(into: Path) -> None:
        (into / "half").write_text("half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        cache.ensure(tmp_path, "thing", "k", half)
    assert list((tmp_path / "artifacts" / "thing").iterdir()) == []


def _write_half_and_hang(root: Path, begun: Any) -> None:
    def build(into: Path) -> None:
        (into / "half").write_text("half")
        begun.set()
        signal.pause()

    cache.ensure(root, "thing", "k", build)


def test_what_a_killed_build_left_is_never_used(tmp_path: Path) -> None:
    begun = SPAWN.Event()
    builder = SPAWN.Process(target=_write_half_and_hang, args=(tmp_path, begun))
    builder.start()
    assert begun.wait(30)
    builder.kill()
    builder.join()
    made = cache.ensure(tmp_path, "thing", "k", lambda into: cache.write(into / "whole", "whole"))
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert [path.name for path in made.parent.iterdir()] == ["k"]


def _build_once(root: Path, together: Any) -> None:
    def build(into: Path) -> None:
        with (root / "builds").open("a") as file:
            file.write(f"{os.getpid()}\n")
        cache.write(into / "whole", "whole")

    together.wait(30)
    cache.ensure(root, "thing", "k", build)


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    together = SPAWN.Barrier(2)
    builders = [SPAWN.Process(target=_build_once, args=(tmp_path, together)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert len((tmp_path / "builds").read_text().splitlines()) == 1


def test_a_disk_that_refuses_is_an_error_that_names_the_artifact(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ArtifactError, match=r"thing: wanted to be built .* saw File too large") as caught:
            cache.ensure(tmp_path, "thing", "k", lambda into: cache.write(into / "large", b"x" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "PIC4SER_CACHE" in caught.value.remedy
    assert not cache.folder(tmp_path, "thing", "k").exists()


def test_a_cache_that_cannot_be_made_is_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="thing"):
        cache.ensure(tmp_path / "file", "thing", "k", lambda into: None)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PIC4SER_CACHE", raising=False)
    assert cache.root() == tmp_path / "pic4ser"
    monkeypatch.setenv("PIC4SER_CACHE", str(tmp_path / "mine"))
    assert cache.root() == tmp_path / "mine"


def test_too_little_disk_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIC4SER_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    with pytest.raises(ArtifactError, match=r"wanted \d+\.\d GB of free disk in .*, saw 1\.0 GB"):
        artifacts.build("cluster")
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["signing-key"]
