"""The lab's artifacts: the one door to everything that it boots and serves.

python -m pic4ser_lib.lab.artifacts [--stage STAGE]      builds what is missing, with a line of progress every 2 s
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, golang, images, packages, processes, repository, rootfs
from pic4ser_lib.lab.building import Progress, build_all
from pic4ser_lib.lab.images import ImageArchive
from pic4ser_lib.lab.pins import Pins, load
from pic4ser_lib.lab.recipes import Made, Recipe, entries, needed, place

NODE = "localhost/pic4ser-node"
MIRROR = "localhost/pic4ser-mirror"
_ENTRY = "/pic4ser-entry"

# Commands that the builders call, and the Debian package each comes in.
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "gpg": "gnupg",
    "depmod": "kmod",
    "podman": "podman",
    "gcc": "gcc libc6-dev",
    "setpriv": "util-linux",
}


@dataclass(frozen=True)
class Artifacts:
    """Everything that a stage boots and serves."""

    node_image: str
    mirror_image: str
    apt: Path
    apt_key: Path
    apt_fingerprint: str
    images: tuple[ImageArchive, ...]
    files: Path


def stages() -> tuple[str, ...]:
    """The names of the stages, in the order in which the notebooks need them; each contains those before it."""
    return ("cluster",)


def build(stage: str, progress: Progress | None = None) -> Artifacts:
    """Makes what is missing of a stage and returns it; seconds when all is there.

    `progress(artifact, state, seconds)` is called from other threads, at least every 2 s for each artifact that is
    being made; states: waiting, building, ready, cached, failed. Raises ArtifactError.
    """
    told: Progress = progress or (lambda artifact, state, seconds: None)
    root = cache.root()
    processes.allow()
    plan = recipes(stage, load(), root)
    missing = [recipe for recipe in plan.values() if not recipe.folder(root).is_dir()]
    if missing:
        _require_tools()
        _require_disk(missing, root, told)
    build_all(tuple(plan.values()), root, told)
    found = Artifacts(
        node_image=_imported(plan["root-node"], NODE, root, told, command=_ENTRY),
        mirror_image=_imported(plan["root-mirror"], MIRROR, root, told),
        apt=plan["apt"].folder(root),
        apt_key=plan["signing-key"].folder(root) / "public.asc",
        apt_fingerprint=repository.fingerprint(plan["signing-key"].folder(root)),
        images=tuple(images.archive(name, recipe.folder(root)) for name, recipe in _images(stage, plan).items()),
        files=plan["files"].folder(root),
    )
    if missing:
        golang.drop_build_cache(root)
    return found


def recipes(stage: str, pins: Pins, root: Path) -> dict[str, Recipe]:
    """Every recipe of a stage by name, each after those it needs. Makes the signing key, on which others depend."""
    if stage not in stages():
        raise ArtifactError(artifact=stage, wanted=f"one of the stages {', '.join(stages())}", seen=f"'{stage}'")
    signing = repository.signing_recipe()
    fingerprint = repository.fingerprint(signing.ensure(root))
    known = {"signing-key": signing, **golang.recipes(pins), **rootfs.recipes(pins)}
    known["binaries"] = packages.binaries_recipe(pins, known)
    known["closure"] = packages.closure_recipe(pins, known)
    known["packages"] = packages.own_recipe(pins, known)
    known["apt"] = repository.recipe(pins, known, fingerprint=fingerprint)
    known["files"] = _files_recipe(pins, known)
    return known | {recipe.name: recipe for recipe in images.recipes(pins, known).values()}


def _images(stage: str, plan: Mapping[str, Recipe]) -> dict[str, Recipe]:
    made = images.recipes(load(), plan)
    return {name: recipe for name, recipe in made.items() if recipe.name in plan}


def _files_recipe(pins: Pins, known: Mapping[str, Recipe]) -> Recipe:
    chosen = entries({path: {"from": source} for path, source in pins.files["files"].items()})

    def make(into: Path, made: Made) -> None:
        place(chosen, into, made)

    inputs = {"pin": pins.files}
    return Recipe(name="files", inputs=inputs, make=make, needs=needed(chosen, known), disk_bytes=50_000_000)


def _imported(recipe: Recipe, repository_name: str, root: Path, progress: Progress, *, command: str = "") -> str:
    started = time.monotonic()
    there = rootfs.has_podman_image(recipe, repository=repository_name)
    progress(repository_name, "cached" if there else "building", 0.0)
    name = rootfs.podman_image(root, recipe, repository=repository_name, command=command)
    if not there:
        progress(repository_name, "ready", time.monotonic() - started)
    return name


def _require_tools() -> None:
    lacking = [package for command, package in _TOOLS.items() if shutil.which(command) is None]
    if lacking:
        raise ArtifactError(
            artifact="the lab's artifacts",
            wanted=f"the commands {', '.join(_TOOLS)}",
            seen=f"{len(lacking)} of them missing",
            remedy=f"Run `apt-get install {' '.join(lacking)}`, then run this again.",
        )


def _require_disk(missing: list[Recipe], root: Path, progress: Progress) -> None:
    root.mkdir(parents=True, exist_ok=True)
    needed_gb = sum(recipe.disk_bytes for recipe in missing) / 1e9
    free_gb = shutil.disk_usage(root).free / 1e9
    progress(f"disk ({needed_gb:.1f} GB needed at most, {free_gb:.0f} GB free in {root})", "cached", 0.0)
    if free_gb < needed_gb:
        raise ArtifactError(
            artifact="the lab's artifacts",
            wanted=f"{needed_gb:.1f} GB of free disk in {root}",
            seen=f"{free_gb:.1f} GB",
            remedy="Make room there, or set PIC4SER_CACHE to a folder on a larger disk; then run this again.",
        )


def _line(started: float) -> Callable[[str, str, float], None]:
    def tell(artifact: str, state: str, seconds: float) -> None:
        took = f"{seconds:7.1f} s" if seconds else ""
        print(f"{time.monotonic() - started:7.1f}  {state:<8}  {artifact} {took}".rstrip(), file=sys.stderr, flush=True)

    return tell


def main(arguments: list[str]) -> int:
    """Builds a stage and prints what it holds. Exit code 1 when an artifact could not be made."""
    parser = argparse.ArgumentParser(prog="python -m pic4ser_lib.lab.artifacts", description="Build the artifacts.")
    parser.add_argument("--stage", choices=stages(), default=stages()[-1])
    stage = parser.parse_args(arguments).stage
    try:
        found = build(stage, _line(time.monotonic()))
    except ArtifactError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what is finished stays in the cache.", file=sys.stderr)
        return 130
    print(f"node    {found.node_image}\nmirror  {found.mirror_image}\nfiles   {found.files}")
    print(f"apt     {found.apt} (key {found.apt_fingerprint})")
    for image in found.images:
        print(f"image   {image.name} {image.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
