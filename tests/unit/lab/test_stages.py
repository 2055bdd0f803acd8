"""The stages: each contains the one before, and what is pinned for a later one is not made for an earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import artifacts, pins, releases, stages
from pic4ser_lib.lab.nodes import RELEASES
from pic4ser_lib.lab.stages import Plan


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """The plan of every stage."""
    root = tmp_path_factory.mktemp("cache")
    return {stage: stages.plan(stage, pins.load(), root) for stage in stages.STAGES}


def test_each_stage_contains_the_one_before(plans: dict[str, Plan]) -> None:
    assert artifacts.stages() == ("cluster", "components", "training")
    for earlier, later in zip(plans.values(), list(plans.values())[1:], strict=False):
        assert set(earlier.recipes) < set(later.recipes)
        assert set(earlier.images) < set(later.images)
        assert {tree.recipe.name for tree in earlier.trees} <= {tree.recipe.name for tree in later.trees}


def test_the_first_notebooks_wait_for_nothing_of_the_later_ones(plans: dict[str, Plan]) -> None:
    later = {"helm", "prometheus", "training-operator", "nvidia-container-toolkit", "tensorflow-cpu", "charts"}
    assert not later & set(plans["cluster"].recipes)
    assert later - {"tensorflow-cpu"} <= set(plans["components"].recipes)
    assert later <= set(plans["training"].recipes)


@pytest.mark.parametrize("stage", stages.STAGES)
def test_everything_comes_after_what_it_needs(plans: dict[str, Plan], stage: str) -> None:
    done: set[str] = set()
    for recipe in plans[stage].recipes.values():
        assert {need.name for need in recipe.needs} <= done
        done.add(recipe.name)


def test_another_release_adds_its_packages_and_changes_nothing_that_is_made(
    plans: dict[str, Plan], tmp_path: Path
) -> None:
    plain = stages.plan("cluster", pins.load(), tmp_path)
    both = stages.plan("cluster", pins.load(), tmp_path, others=RELEASES)
    assert set(both.recipes) - set(plain.recipes) == {"closure-trixie", "apt-trixie", "root-vm-trixie"}
    assert {name: both.recipes[name].key for name in plain.recipes} == {n: r.key for n, r in plain.recipes.items()}
    assert {tree.recipe.name for tree in both.trees} - {tree.recipe.name for tree in plain.trees} == {"apt-trixie"}


def test_the_releases_that_a_node_may_be_are_those_of_the_pins() -> None:
    assert releases.known(pins.load()) == RELEASES


def test_every_recipe_has_a_name_of_its_own() -> None:
    names = [image["name"].rpartition(":")[0] for image in pins.load().images["images"]]
    assert len(names) == len(set(names)), "give an image of the same repository another tag by `also`"


@pytest.mark.parametrize(
    ("notebook", "stage"),
    [
        ("00_preflight", "cluster"),
        ("04_taints", "cluster"),
        ("05_helm", "components"),
        ("11_telemetry", "components"),
        ("12_training", "training"),
        ("27_more", "training"),
    ],
)
def test_a_notebook_needs_the_stage_of_its_number(notebook: str, stage: str) -> None:
    assert stages.needed_by(notebook) == stage


def test_a_stage_that_is_none_is_named() -> None:
    with pytest.raises(ArtifactError, match="one of the stages cluster, components, training, saw 'helm'"):
        stages.upto("helm")
