"""What each stage of the lab is made of: what the first notebooks need comes first, each contains those before it.

    cluster       nodes, mirror, packages and images of notebooks 00-04
    components    helm, charts, operators, monitoring, NVIDIA's toolkit: notebooks 05-11
    training      the image in which the job of notebook 12 trains

Pins say `stage:` at what is served (an image, an apt repository, an archive); what that is made of follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import archives, charts, golang, images, packages, registries, releases, repository, rootfs, wheels
from pic4ser_lib.lab.pins import Pins, stage_of
from pic4ser_lib.lab.recipes import Made, Recipe, entries, needed, place

STAGES = ("cluster", "components", "training")
_LAST_NOTEBOOK = {"cluster": 4, "components": 11}  # the number of the last notebook that a stage is enough for


@dataclass(frozen=True)
class Tree:
    """An artifact that the mirror serves as files, below a path."""

    recipe: Recipe
    below: str = ""


@dataclass(frozen=True)
class Plan:
    """A stage with all before it: every recipe, each after those it needs, and which of them are served, and how."""

    recipes: Mapping[str, Recipe]
    images: Mapping[str, Recipe]
    trees: tuple[Tree, ...]


def upto(stage: str) -> tuple[str, ...]:
    """The stages that this one contains, itself last. Raises ArtifactError for a name that is none."""
    if stage not in STAGES:
        raise ArtifactError(artifact=stage, wanted=f"one of the stages {', '.join(STAGES)}", seen=f"'{stage}'")
    return STAGES[: STAGES.index(stage) + 1]


def needed_by(notebook: str) -> str:
    """The stage that a notebook needs, by the number that its name begins with."""
    number = int(notebook[:2]) if notebook[:2].isdigit() else 0
    return next((stage for stage, last in _LAST_NOTEBOOK.items() if number <= last), STAGES[-1])


def plan(stage: str, pins: Pins, root: Path, *, online: bool = False, others: Iterable[str] = ()) -> Plan:
    """What to make for a stage. Makes the signing key, on which others depend.

    `online`: images come from upstream's registries where the pins say that they can. `others`: releases of Debian
    that some virtual machine is, for which there are packages too.
    """
    chosen = upto(stage)
    known = _known(pins, root)
    fingerprint = repository.fingerprint(known["signing-key"].folder(root))
    second = {name: releases.recipes(pins, known, name, fingerprint=fingerprint) for name in others}
    known |= {name: recipe for made in second.values() for name, recipe in made.items()}
    pictures = images.recipes(pins, known) | (registries.recipes(pins) if online else {})
    known |= {recipe.name: recipe for recipe in pictures.values()}
    wanted = [image for image in pins.images["images"] if stage_of(image) in chosen]
    names = [name for image in wanted for name in (image["name"], *image.get("also", ()))]
    served = {name: pictures[name] for name in names}
    trees = tuple(tree for each in chosen for tree in _trees(each, pins, known))
    trees += tuple(Tree(made[f"apt-{name}"]) for name, made in second.items() if made)
    always = [known[name] for name in ("signing-key", "root-node", "root-mirror", "nfs-stand-in") if name in known]
    return Plan(_closed(known, [*always, *(tree.recipe for tree in trees), *served.values()]), served, trees)


def _known(pins: Pins, root: Path) -> dict[str, Recipe]:
    """Every recipe but the images', in the order in which they are best made."""
    signing = repository.signing_recipe()
    fingerprint = repository.fingerprint(signing.ensure(root))
    known = {"signing-key": signing, **golang.recipes(pins), **rootfs.recipes(pins)}
    for name in ("binaries", "monitoring-binaries"):
        known[name] = packages.binaries_recipe(pins, known, name)
    known["closure"] = packages.closure_recipe(pins, known)
    known["files"] = _files_recipe(pins, known)
    known["archives"] = archives.recipe(pins, known)
    known["charts"] = charts.recipe(known)
    for stage in STAGES:
        if repository.layouts(pins, stage):
            recipe = packages.own_recipe(pins, known, stage)
            known[recipe.name] = recipe
            recipe = repository.recipe(pins, known, stage, fingerprint=fingerprint)
            known[recipe.name] = recipe
    return known | wheels.recipes(pins, known)


def _trees(stage: str, pins: Pins, known: Mapping[str, Recipe]) -> list[Tree]:
    apt = repository.name_of(stage)
    trees = [Tree(known[apt])] if apt in known else []
    if stage == "cluster":
        trees.append(Tree(known["files"], below="files"))
    if stage == "components":
        trees += [Tree(known["archives"], below="files"), Tree(known["charts"], below="charts")]
    return trees


def _closed(known: Mapping[str, Recipe], wanted: Iterable[Recipe]) -> dict[str, Recipe]:
    """The wanted recipes and all that they need, in the order of `known`."""
    names: set[str] = set()
    todo = list(wanted)
    while todo:
        recipe = todo.pop()
        if recipe.name not in names:
            names.add(recipe.name)
            todo += recipe.needs
    return {name: recipe for name, recipe in known.items() if name in names}


def _files_recipe(pins: Pins, known: Mapping[str, Recipe]) -> Recipe:
    pin: dict[str, Any] = {name: pins.files[name] for name in ("recipe", "files")}
    chosen = entries({path: {"from": source} for path, source in pin["files"].items()})

    def make(into: Path, made: Made) -> None:
        place(chosen, into, made)

    inputs = {"pin": pin}
    return Recipe(name="files", inputs=inputs, make=make, needs=needed(chosen, known), disk_bytes=50_000_000)
