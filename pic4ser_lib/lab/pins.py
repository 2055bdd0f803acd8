"""The pins: what the lab is made of, as data. Raising a version means editing one line of pins/*.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = HERE / "go"
FILES = HERE / "files"
LOCKS = HERE / "python"


@dataclass(frozen=True)
class Pins:
    """All pin files, with the versions filled in where {name} stands."""

    golang: Mapping[str, Any]
    debian: Mapping[str, Any]
    images: Mapping[str, Any]
    files: Mapping[str, Any]
    python: Mapping[str, Any] = field(default_factory=dict)
    charts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def versions(self) -> dict[str, str]:
        """Version of each Go artifact, without its v: {"kubernetes": "1.36.3", ...}."""
        return _versions(self.golang)


@cache
def load(folder: Path = HERE / "pins") -> Pins:
    """The pins of this folder."""
    golang, python, charts = (_read(folder / f"{name}.yaml") for name in ("golang", "python", "charts"))
    words = _words(_versions(golang)) | {name: entry["version"] for name, entry in python["packages"].items()}
    read = {name: _filled(_read(folder / f"{name}.yaml"), words) for name in ("debian", "images", "files")}
    return Pins(golang=_filled(golang, words), python=python, charts=charts, **read)


def stage_of(entry: Mapping[str, Any]) -> str:
    """The stage with which an image, a repository or an archive is served first."""
    return str(entry.get("stage", "cluster"))


def _read(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(path)


def _versions(golang: Mapping[str, Any]) -> dict[str, str]:
    firsts = {name: next(iter(entry["modules"].values()), "v0") for name, entry in golang["programs"].items()}
    return {name: version.removeprefix("v") for name, version in firsts.items()}


def _words(versions: Mapping[str, str]) -> dict[str, str]:
    words = dict(versions)
    for name, version in versions.items():
        major, minor, *_ = [*version.split("."), "0"]
        words |= {f"{name}.minor": f"{major}.{minor}", f"{name}.major_number": major, f"{name}.minor_number": minor}
    return words


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{([a-z0-9_.-]+)\}", lambda found: words[found[1]], value)
    if isinstance(value, dict):
        return {_filled(key, words): _filled(entry, words) for key, entry in value.items()}
    if isinstance(value, list):
        return [_filled(entry, words) for entry in value]
    return value
