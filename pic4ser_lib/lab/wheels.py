"""Python packages for an image: wheels from PyPI, each with the checksum of its lock, unpacked and compiled.

python -m pic4ser_lib.lab.wheels lock NAME     makes python/NAME.txt anew from the pin: read its diff, commit both
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import LOCKS, Pins, load
from pic4ser_lib.lab.recipes import Made, Recipe

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_COMPILE = "-m compileall -q -j 2 --invalidation-mode unchecked-hash"  # in the image nobody can write what is missing


def recipes(pins: Pins, known: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """A recipe for each entry of python.yaml: a folder `site` with its packages, and `path`, where they belong."""
    return {name: _recipe(name, pins, known) for name in pins.python.get("packages", {})}


def make_lock(name: str, pins: Pins, root: Path) -> Path:
    """Asks PyPI which versions fit together now, and writes them down with their checksums."""
    entry, report = pins.python["packages"][name], root / f".{name}-report.json"
    command = [*_pip(pins), "--dry-run", "--ignore-installed", "--report", report, "--target", root / ".none"]
    root.mkdir(parents=True, exist_ok=True)
    try:
        processes.run(name, [*command, f"{name}=={entry['version']}"])
        found = json.loads(report.read_text())["install"]
    finally:
        report.unlink(missing_ok=True)
    lines = sorted(_locked(told) for told in found)
    (LOCKS / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return LOCKS / f"{name}.txt"


def _recipe(name: str, pins: Pins, known: Mapping[str, Recipe]) -> Recipe:
    entry = pins.python["packages"][name]
    root = known[f"root-{entry['root']}"]
    pinned = {"recipe": pins.python["recipe"], "python": pins.python["python"], "pin": entry}
    return Recipe(
        name=name,
        inputs={**pinned, "lock": cache.digest_of(LOCKS / f"{name}.txt")},
        make=lambda into, made: _make(name, entry, pins, into, made, root=root.name),
        needs=(root,),
        disk_bytes=entry["disk_bytes"],
    )


def _make(name: str, entry: Mapping[str, Any], pins: Pins, into: Path, made: Made, *, root: str) -> None:
    site, scratch = into / "site", into / ".scratch"
    scratch.mkdir()
    pinned = ["--no-deps", "--require-hashes", "--no-compile", "--no-cache-dir"]
    wanted: list[str | Path] = ["--requirement", LOCKS / f"{name}.txt", "--target", site]
    processes.run(name, [*_pip(pins), *pinned, *wanted], env={"TMPDIR": str(scratch)})
    for path in entry.get("leave_out", ()):
        shutil.rmtree(site / path)
    for path in entry.get("strip", ()):
        processes.run(name, ["strip", "--strip-unneeded", site / path])
    _compiled(name, site, entry["path"], made[root] / "root.tar", scratch)
    cache.write(into / "path", f"{entry['path']}\n")
    shutil.rmtree(scratch)


def _compiled(name: str, site: Path, path: str, root: Path, scratch: Path) -> None:
    # By the very Python that will run it, at the path where that will find it.
    processes.run(name, ["tar", "-C", scratch, "-xf", root, "--exclude=./dev/*"])
    (scratch / "dev" / "shm").mkdir(parents=True, exist_ok=True)
    inside = scratch / path.lstrip("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    site.rename(inside)
    processes.run(name, ["chroot", scratch, "sh", "-c", f"python3 {_COMPILE} {path} || true"])
    inside.rename(site)


def _pip(pins: Pins) -> list[str | Path]:
    version = str(pins.python["python"])
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    which = ["--python-version", version, "--implementation", "cp", "--abi", f"cp{version.replace('.', '')}"]
    quiet = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    return [sys.executable, "-m", "pip", "install", *quiet, *platforms, *which]


def _locked(told: Mapping[str, Any]) -> str:
    name = str(told["metadata"]["name"]).lower().replace("_", "-")
    checksum = told["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{name}=={told['metadata']['version']} --hash=sha256:{checksum}"


def main(arguments: list[str]) -> int:
    """`lock NAME`, or `lock` for all."""
    if not arguments or arguments[0] != "lock":
        print(__doc__)
        return 2
    pins = load()
    for name in arguments[1:] or pins.python["packages"]:
        print(f"{name}: {make_lock(name, pins, cache.root())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
