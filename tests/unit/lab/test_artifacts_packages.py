"""Debian packages of our own and the signed repositories, read by Debian's own tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pic4ser_lib.lab import packages, pins, publish, releases, repository
from pic4ser_lib.lab.recipes import Recipe, entries

PIN = pins.load().debian
DEBS = PIN["packages"]["debs"]


def _output(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def _stand_in(folder: Path, deb: dict[str, Any]) -> dict[str, Path]:
    # An artifact for every file that the package takes from one: the packaging is real, the programs are not.
    made = {}
    for entry in entries(deb["files"]):
        name, _, rest = entry.source.partition("/")
        if name and name != "files":
            made[name] = folder / name
            (made[name] / rest).parent.mkdir(parents=True, exist_ok=True)
            (made[name] / rest).write_text(f"#!/bin/sh\necho {rest}\n")
    return made


def _built(name: str, tmp_path: Path) -> Path:
    made = _stand_in(tmp_path / "made", DEBS[name])
    into = tmp_path / "debs" / DEBS[name]["repository"]
    into.mkdir(parents=True, exist_ok=True)
    return packages.build_deb(name, DEBS[name], entries(DEBS[name]["files"]), into, maintainer="m <m@m>", made=made)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("kubelet", "1.36.3-1.1"),
        ("kubeadm", "1.36.3-1.1"),
        ("kubectl", "1.36.3-1.1"),
        ("kubernetes-cni", "1.9.1-1.1"),
        ("containerd.io", "2.4.2-1~debian.12~bookworm"),
    ],
)
def test_each_package_has_upstreams_name_and_version(name: str, version: str, tmp_path: Path) -> None:
    package = _built(name, tmp_path)
    assert _output("dpkg-deb", "--field", package, "Package", "Version", "Architecture").splitlines() == [
        f"Package: {name}",
        f"Version: {version}",
        "Architecture: amd64",
    ]


def test_the_kubelet_needs_the_network_plugins_and_brings_its_unit(tmp_path: Path) -> None:
    package = _built("kubelet", tmp_path)
    assert "kubernetes-cni (>= 1.2.0)" in _output("dpkg-deb", "--field", package, "Depends")
    assert "./usr/lib/systemd/system/kubelet.service" in _output("dpkg-deb", "--contents", package)


def test_kubeadms_drop_in_reads_what_kubeadm_writes(tmp_path: Path) -> None:
    _output("dpkg-deb", "--extract", _built("kubeadm", tmp_path), tmp_path / "root")
    text = (tmp_path / "root/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf").read_text()
    assert "EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env" in text
    assert "--config=/var/lib/kubelet/config.yaml" in text


def test_containerd_io_switches_cri_off_and_keeps_an_edited_configuration(tmp_path: Path) -> None:
    package = _built("containerd.io", tmp_path)
    _output("dpkg-deb", "--extract", package, tmp_path / "root")
    assert 'disabled_plugins = ["cri"]' in (tmp_path / "root/etc/containerd/config.toml").read_text()
    assert _output("dpkg-deb", "--info", package, "conffiles") == "/etc/containerd/config.toml\n"


@pytest.mark.parametrize("script", ["postinst", "prerm"])
def test_the_scripts_of_a_package_are_valid_shell(script: str, tmp_path: Path) -> None:
    text = _output("dpkg-deb", "--info", _built("containerd.io", tmp_path), script)
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert "containerd.service" in text


def test_the_same_inputs_give_the_same_package(tmp_path: Path) -> None:
    first, second = _built("kubectl", tmp_path / "1"), _built("kubectl", tmp_path / "2")
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Signed repositories with all our packages (one of them standing in for Debian's), and their key."""
    top = tmp_path_factory.mktemp("repository")
    for name in DEBS:
        _built(name, top)
    (top / "closure").mkdir()
    shutil.copy(_built("kubectl", top / "other"), top / "closure")
    key = repository.signing_recipe().ensure(top / "cache")
    known = {
        "packages": Recipe(name="packages", inputs={}, make=lambda into, _: _copied(top / "debs", into)),
        "closure": Recipe(name="closure", inputs={}, make=lambda into, _: _copied(top / "closure", into)),
        "signing-key": repository.signing_recipe(),
    }
    for recipe in known.values():
        recipe.ensure(top / "cache")
    recipe = repository.recipe(pins.load(), known, fingerprint=repository.fingerprint(key))
    return {"apt": recipe.ensure(top / "cache"), "key": key, "packages": top / "debs", "closure": top / "closure"}


def _copied(source: Path, into: Path) -> None:
    shutil.copytree(source, into, dirs_exist_ok=True)


def _verified(release: Path, key: Path, tmp_path: Path) -> bool:
    ring = tmp_path / "ring.gpg"
    _output("gpg", "--batch", "--yes", "--homedir", tmp_path, "--dearmor", "--output", ring, key / "public.asc")
    return subprocess.run(["gpgv", "--keyring", str(ring), str(release)], capture_output=True).returncode == 0


RELEASES = [
    "linux/debian/dists/bookworm/InRelease",
    "core:/stable:/v1.36/deb/InRelease",
    "debian/dists/bookworm/InRelease",
]


@pytest.mark.parametrize("release", RELEASES)
def test_each_repository_is_signed(release: str, made: dict[str, Path], tmp_path: Path) -> None:
    assert _verified(made["apt"] / release, made["key"], tmp_path)
    changed = tmp_path / "InRelease"
    changed.write_text((made["apt"] / release).read_text().replace("amd64", "arm64"))
    assert not _verified(changed, made["key"], tmp_path)


def test_the_secret_key_is_for_its_owner_only(made: dict[str, Path]) -> None:
    assert (made["key"] / "secret.asc").stat().st_mode & 0o777 == 0o600
    assert not [path for path in made["apt"].rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


def test_the_key_that_is_served_has_the_fingerprint_that_is_told(made: dict[str, Path], tmp_path: Path) -> None:
    served = made["apt"] / "linux/debian/gpg"
    listed = _output("gpg", "--homedir", tmp_path, "--batch", "--show-keys", "--with-colons", served)
    assert f":{repository.fingerprint(made['key'])}:" in listed


def _apt(made: dict[str, Path], folder: Path, *, suite: str = "bookworm") -> list[str]:
    for sub in ("lists/partial", "archives/partial", "etc"):
        (folder / sub).mkdir(parents=True)
    (folder / "status").write_text("")
    trust = f"[signed-by={made['key'] / 'public.asc'}] file:{made['apt']}"
    (folder / "sources.list").write_text(
        f"deb {trust}/linux/debian {suite} stable\n"
        f"deb {trust}/core:/stable:/v1.36/deb/ /\n"
        f"deb {trust}/debian {suite} main\n"
    )
    options = {
        "Dir": folder,
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc": folder / "etc",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
    }
    return [f"--option={key}={value}" for key, value in options.items()]


def test_apt_trusts_the_repositories_and_sees_the_versions(made: dict[str, Path], tmp_path: Path) -> None:
    options = _apt(made, tmp_path)
    _output("apt-get", *options, "--error-on=any", "update")
    seen = _output("apt-cache", *options, "policy", "kubelet", "containerd.io")
    assert "Candidate: 1.36.3-1.1" in seen
    assert "Candidate: 2.4.2-1~debian.12~bookworm" in seen


@pytest.fixture(scope="module")
def both(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The repositories of both releases of Debian, as one mirror serves them."""
    top = tmp_path_factory.mktemp("both")
    needs = ("packages", "signing-key", "root-vm-trixie")
    known = {name: Recipe(name=name, inputs={}, make=lambda into, _: None) for name in needs}
    fingerprint = repository.fingerprint(made["key"])
    recipe = releases.recipes(pins.load(), known, "trixie", fingerprint=fingerprint)["apt-trixie"]
    folders = {"packages": made["packages"], "closure-trixie": made["closure"], "signing-key": made["key"]}
    recipe.make(top / "apt-trixie", folders)
    publish.publish([("", made["apt"]), ("", top / "apt-trixie")], top / "www", top / "listing")
    return {**made, "first": made["apt"], "second": top / "apt-trixie", "apt": top / "www"}


def test_the_releases_have_nothing_in_common_but_the_key(both: dict[str, Path]) -> None:
    first, second = ({p.relative_to(both[n]) for p in both[n].rglob("*") if p.is_file()} for n in ("first", "second"))
    shared = {str(path): (both["first"] / path, both["second"] / path) for path in first & second}
    assert set(shared) == {"linux/debian/gpg", "debian/archive.asc"}
    assert all(one.read_bytes() == other.read_bytes() for one, other in shared.values())


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_apt_finds_the_packages_of_either_release_on_one_mirror(
    suite: str, both: dict[str, Path], tmp_path: Path
) -> None:
    options = _apt(both, tmp_path, suite=suite)
    _output("apt-get", *options, "--error-on=any", "update")
    seen = _output("apt-cache", *options, "policy", "kubectl", "containerd.io")
    assert "Candidate: 2.4.2-1~debian.12~bookworm" in seen
    assert seen.count("Packages") == 3, seen  # kubectl also stands in for Debian's packages
    fetched = unquote(_output("apt-get", *options, "--print-uris", "download", "containerd.io").split("'")[1])
    assert f"/dists/{suite}/" in fetched
    assert Path(fetched.removeprefix("file:")).is_file()
