"""The lab's artifacts: the one door to everything that it boots and serves.

python -m pic4ser_lib.lab.artifacts [--stage STAGE]      builds what is missing, with a line of progress every 2 s
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import (
    archives,
    cache,
    chartrepos,
    golang,
    images,
    processes,
    registries,
    repository,
    rootfs,
    vmimage,
)
from pic4ser_lib.lab import charts as charts_
from pic4ser_lib.lab.building import Progress, build_all
from pic4ser_lib.lab.images import ImageArchive
from pic4ser_lib.lab.pins import Pins, load
from pic4ser_lib.lab.recipes import Recipe
from pic4ser_lib.lab.stages import STAGES, Plan, plan

NODE = "localhost/pic4ser-node"
MIRROR = "localhost/pic4ser-mirror"
_ENTRY = "/pic4ser-entry"
_CHARTS = "upstream's charts"

# Commands that the builders call, and the Debian package each comes in.
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "gpg": "gnupg",
    "depmod": "kmod",
    "podman": "podman",
    "gcc": "gcc libc6-dev",
    "strip": "binutils",
    "setpriv": "util-linux",
}


@dataclass(frozen=True)
class Artifacts:
    """Everything that a stage, with those before it, boots and serves. `sums`: SHA-256 of each archive by its name.

    `trees` are folders that the mirror serves, each below a path: ("", .../apt), ("files", ...), ("charts", ...).
    `vm_images` are those of the releases that were asked for, by code name.
    """

    node_image: str
    mirror_image: str
    apt_key: Path
    apt_fingerprint: str
    stand_ins: Path | None
    images: tuple[ImageArchive, ...]
    trees: tuple[tuple[str, Path], ...]
    sums: Mapping[str, str]
    vm_images: Mapping[str, Path] = field(default_factory=dict)


def stages() -> tuple[str, ...]:
    """The names of the stages, in the order in which the notebooks need them; each contains those before it."""
    return STAGES


def build(
    stage: str,
    progress: Progress | None = None,
    *,
    charts: Path | None = None,
    online: bool = False,
    guests: Sequence[str] = (),
) -> Artifacts:
    """Makes what is missing of a stage and returns it; seconds when all is there.

    `charts` is a folder of upstream charts, served in place of the stand-ins that have their names. `online` takes
    images from upstream's registries where the pins say that they can; `fetch` has them in the cache before. `guests`:
    the releases of Debian of which there are virtual machines, by code name; their images, and their packages.

    `progress(artifact, state, seconds)` is called from other threads, at least every 2 s for each artifact that is
    being made; states: waiting, building, ready, cached, failed. Raises ArtifactError.
    """
    told: Progress = progress or (lambda artifact, state, seconds: None)
    root, pins = cache.root(), load()
    processes.allow()
    made = plan(stage, pins, root, online=online, others=guests)
    pictures = {name: recipe for release in guests for name, recipe in vmimage.recipes(pins, release).items()}
    missing = _make(list({**pictures, **made.recipes}.values()), root, told)
    found = _found(made, pins, root, told)
    names = {release: vmimage.name_of(pins, release) for release in guests}
    found = replace(found, vm_images={release: pictures[name].folder(root) for release, name in names.items()})
    if charts:
        found = replace(found, trees=tuple(_with_charts(below, folder, root, charts) for below, folder in found.trees))
    if stage == STAGES[-1] and missing:
        golang.drop_build_cache(root)
    return found


def fetch(progress: Progress | None = None) -> Path:
    """What the lab takes from upstream is in the cache, of every stage; returns the folder of upstream's charts.

    For `pic4ser lab up --online`, before the nodes boot. Raises ArtifactError.
    """
    told: Progress = progress or (lambda artifact, state, seconds: None)
    root, pins = cache.root(), load()
    started, state = time.monotonic(), "failed"
    told(_CHARTS, "building", 0.0)
    try:
        charts = chartrepos.fetched(root, chartrepos.pinned(pins))
        state = "ready"
    finally:
        told(_CHARTS, state, time.monotonic() - started)
    _make(list(registries.recipes(pins).values()), root, told)
    return charts


def _make(recipes: list[Recipe], root: Path, told: Progress) -> list[Recipe]:
    """Makes those that are missing, and returns them."""
    missing = [recipe for recipe in recipes if not recipe.folder(root).is_dir()]
    if missing:
        _require_tools()
        _require_disk(missing, root, told)
    build_all(tuple(recipes), root, told)
    return missing


def _with_charts(below: str, folder: Path, root: Path, yours: Path) -> tuple[str, Path]:
    return (below, charts_.upstream(root, yours, folder)) if below == "charts" else (below, folder)


def _found(made: Plan, pins: Pins, root: Path, progress: Progress) -> Artifacts:
    key = made.recipes["signing-key"].folder(root)
    stand_ins = made.recipes.get("nfs-stand-in")
    # Known as soon as they are made, whichever stage is asked for: a site should not lose them again.
    archived = plan(STAGES[-1], pins, root).recipes["archives"].folder(root)
    return Artifacts(
        node_image=_imported(made.recipes["root-node"], NODE, root, progress, command=_ENTRY),
        mirror_image=_imported(made.recipes["root-mirror"], MIRROR, root, progress),
        apt_key=key / "public.asc",
        apt_fingerprint=repository.fingerprint(key),
        stand_ins=stand_ins.folder(root) if stand_ins else None,
        images=tuple(images.archive(name, recipe.folder(root)) for name, recipe in made.images.items()),
        trees=tuple((tree.below, tree.recipe.folder(root)) for tree in made.trees),
        sums=archives.sums(pins, archived) if archived.is_dir() else {},
    )


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
    print(f"node    {found.node_image}\nmirror  {found.mirror_image}\nkey     {found.apt_fingerprint}")
    for below, folder in found.trees:
        print(f"files   /{below} {folder}")
    for image in found.images:
        print(f"image   {image.name} {image.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
