"""Debian packages: our own under upstream's names, and Debian's that a node would fetch on top of what it has."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import Pins, stage_of
from pic4ser_lib.lab.recipes import Entry, Made, Recipe, entries, needed, own_files, place

_EPOCH = "1735689600"  # see rootfs: equal inputs give equal files

_ENABLED = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    deb-systemd-helper unmask {unit} >/dev/null || true
    if deb-systemd-helper --quiet was-enabled {unit}; then
        deb-systemd-helper enable {unit} >/dev/null || true
    fi
    [ ! -d /run/systemd/system ] || systemctl --system daemon-reload >/dev/null || true
{start}fi
"""
_STARTED = "    [ ! -d /run/systemd/system ] || deb-systemd-invoke start {unit} >/dev/null || true\n"
_STOPPED = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop {unit} >/dev/null || true
fi
"""


def own_recipe(pins: Pins, known: Mapping[str, Recipe], stage: str = "cluster") -> Recipe:
    """The packages of a stage that we make ourselves: <repository>/<name>_<version>_amd64.deb."""
    layouts = pins.debian["repositories"]["layouts"]
    everything_pinned = pins.debian["packages"]["debs"].items()
    debs = {name: deb for name, deb in everything_pinned if stage_of(layouts[deb["repository"]]) == stage}
    pin = {**pins.debian["packages"], "debs": debs}
    files = {name: entries(deb["files"]) for name, deb in pin["debs"].items()}
    everything = [entry for chosen in files.values() for entry in chosen]
    return Recipe(
        name=name_of(stage),
        inputs={"pin": pin, "files": own_files(everything), "scripts": [_ENABLED, _STARTED, _STOPPED]},
        make=lambda into, made: _make_own(pin, files, into, made),
        needs=needed(everything, known),
        disk_bytes=900_000_000,
    )


def name_of(stage: str) -> str:
    """The name of the artifact with a stage's own packages."""
    return "packages" if stage == "cluster" else f"packages-{stage}"


def binaries_recipe(pins: Pins, known: Mapping[str, Recipe], name: str = "binaries") -> Recipe:
    """Single programs out of Debian's packages, unpacked over each other as in a root file system."""
    pin = pins.debian[name]
    return Recipe(
        name=name,
        inputs={"pin": pin, "suite": pins.debian["suite"]},
        make=lambda into, made: _make_binaries(name, pin["packages"], into, node=made["root-node"]),
        needs=(known["root-node"],),
        disk_bytes=200_000_000,
    )


def closure_recipe(pins: Pins, known: Mapping[str, Recipe]) -> Recipe:
    """The .deb files of Debian that a node lacks for the packages of the pin, recommended ones included."""
    pin = {**pins.debian["closure"], "suite": pins.debian["suite"]}
    return closure_of("closure", pin, known["root-node"])


def closure_of(name: str, pin: Mapping[str, Any], root: Recipe) -> Recipe:
    """The same for the root file system of some kind of node: the pin names its suite."""
    names = sorted({package for group in pin["packages"] for package in group})
    told = {key: value for key, value in pin.items() if key != "suite"}
    return Recipe(
        name=name,
        inputs={"pin": told, "suite": pin["suite"]},
        make=lambda into, made: _make_closure(name, names, into, node=made[root.name]),
        needs=(root,),
        disk_bytes=400_000_000,
    )


def build_deb(
    name: str, deb: Mapping[str, Any], chosen: tuple[Entry, ...], into: Path, *, maintainer: str, made: Made
) -> Path:
    """Writes one package into a folder and returns its path."""
    version = str(deb["version"])
    tree = into / f".{name}"
    place(chosen, tree, made)
    cache.write(tree / "DEBIAN" / "control", control(name, deb, maintainer=maintainer))
    if conffiles := deb.get("conffiles"):
        cache.write(tree / "DEBIAN" / "conffiles", "".join(f"{path}\n" for path in conffiles))
    if unit := deb.get("enable"):
        started = _STARTED.format(unit=unit) if deb.get("start") else ""
        cache.write(tree / "DEBIAN" / "postinst", _ENABLED.format(unit=unit, start=started), mode=0o755)
        cache.write(tree / "DEBIAN" / "prerm", _STOPPED.format(unit=unit), mode=0o755)
    target = into / f"{name}_{version}_amd64.deb"
    command: list[str | Path] = ["dpkg-deb", "-Zzstd", "-z3", "--root-owner-group", "--build", tree, target]
    processes.run(f"packages ({name})", command, env={"SOURCE_DATE_EPOCH": _EPOCH})
    shutil.rmtree(tree)
    return target


def control(name: str, deb: Mapping[str, Any], *, maintainer: str) -> str:
    """The control file of a package."""
    fields = {
        "Package": name,
        "Version": deb["version"],
        "Architecture": "amd64",
        "Maintainer": maintainer,
        "Priority": "optional",
        **deb["fields"],
        "Description": f"{deb['summary']}\n Built by the rehearsal lab from the sources that its pins name.",
    }
    return "".join(f"{field}: {value}\n" for field, value in fields.items())


def _make_own(pin: Mapping[str, Any], files: Mapping[str, tuple[Entry, ...]], into: Path, made: Made) -> None:
    for name, deb in pin["debs"].items():
        folder = into / deb["repository"]
        folder.mkdir(exist_ok=True)
        build_deb(name, deb, files[name], folder, maintainer=pin["maintainer"], made=made)


def _make_closure(artifact: str, names: list[str], into: Path, *, node: Path) -> None:
    apt = _apt(artifact, into, node=node)
    # --reinstall: also those that the node has already, so that the document's `apt install` finds every name it gives.
    processes.run(artifact, [*apt, "install", "--download-only", "--yes", "--reinstall", *names])
    _keep_only_debs(artifact, into)


def _make_binaries(artifact: str, names: list[str], into: Path, *, node: Path) -> None:
    apt = _apt(artifact, into, node=node)
    processes.run(artifact, [*apt, "download", *names], cwd=into)
    packages = _keep_only_debs(artifact, into)
    for package in packages:
        processes.run(artifact, ["dpkg-deb", "--extract", package, into])
        package.unlink()


def _apt(artifact: str, into: Path, *, node: Path) -> list[str | Path]:
    # This machine's apt, with a node's list of what is installed and the sources that its root file system came from.
    state = into / ".apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    shutil.copy(node / "status", state / "status")
    (state / "sources.list").write_text(_signed((node / "sources.list").read_text()))
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::archives": into,
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Install-Recommends": "true",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt: list[str | Path] = ["apt-get", "--quiet", *[f"--option={key}={value}" for key, value in options.items()]]
    processes.run(artifact, [*apt, "update"])
    return apt


def _signed(sources: str) -> str:
    # On a machine that is not Debian's own, apt does not trust Debian's keys by itself.
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.exists():
        return sources
    return re.sub(r"^deb (?:\[[^]]*\] )?", f"deb [signed-by={keyring}] ", sources, flags=re.MULTILINE)


def _keep_only_debs(artifact: str, into: Path) -> list[Path]:
    shutil.rmtree(into / ".apt")
    shutil.rmtree(into / "partial", ignore_errors=True)
    (into / "lock").unlink(missing_ok=True)
    for package in into.glob("*%3a*.deb"):  # an epoch, quoted: Debian's own pools leave it out of the file's name
        package.rename(into / re.sub(r"_\d+%3a", "_", package.name))
    packages = sorted(into.glob("*.deb"))
    if not packages:
        raise ArtifactError(
            artifact=artifact,
            wanted="apt to download packages",
            seen="none",
            remedy="Look whether this machine reaches Debian's mirror, then run this again.",
        )
    (into / "packages.txt").write_text("".join(f"{package.stem}\n" for package in packages))
    return packages
