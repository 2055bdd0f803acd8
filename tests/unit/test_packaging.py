"""pyproject.toml, environment.yml and the locks name the same packages, in versions that fit together."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
EVERYWHERE = [*PROJECT["project"]["dependencies"], *chain(*(names for extra, names in EXTRAS.items() if extra != "go"))]
LOCKS = {"requirements.lock": EVERYWHERE, "requirements-go.lock": EXTRAS["go"]}
WANTED = [pytest.param(lock, Requirement(line), id=line) for lock, lines in LOCKS.items() for line in lines]


def locked(lock: str) -> dict[str, list[str]]:
    """Every version that a lock has of a package: more than one where versions of Python differ."""
    versions: dict[str, list[str]] = defaultdict(list)
    for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", (ROOT / lock).read_text("utf-8")):
        versions[canonicalize_name(name)].append(version)
    return versions


@pytest.mark.parametrize(("lock", "wanted"), WANTED)
def test_a_lock_has_each_package_in_a_version_that_is_allowed(lock: str, wanted: Requirement) -> None:
    versions = locked(lock)[canonicalize_name(wanted.name)]
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_one_version_with_its_hashes(lock: str) -> None:
    entries = re.split(r"(?m)^(?=[^\s#])", (ROOT / lock).read_text("utf-8"))[1:]
    assert all(re.match(r"[\w.-]+==\S+", entry) for entry in entries)
    assert not [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]


def test_conda_installs_what_pip_does() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    (by_pip,) = (each["pip"] for each in environment if isinstance(each, dict))
    assert sorted(by_pip) == sorted([*EVERYWHERE, "-e ."])
    assert f"python{PROJECT['project']['requires-python']}" in environment


def test_the_wheel_is_built_by_the_version_that_the_build_asks_for() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(EXTRAS["dev"])
