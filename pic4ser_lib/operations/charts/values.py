"""Values of a chart: laid over each other, and those among them that the chart does not know.

helm takes any value in silence, and none of our charts has a schema. So a value counts as unknown when its parent, in
the chart's own values, is a map that is not empty and lacks that key. A chart's own values include those of the
charts inside it, under their names there: a parent lists only what it changes in them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECRET = re.compile(r"(?i)(password|passwd|token|api_?key|secret_?key|private_?key)$")
Values = Mapping[str, Any]


def merged(base: Values, over: Values) -> dict[str, Any]:
    """`over` laid over `base`: maps merge key by key, everything else replaces."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def defaults(files: Mapping[str, str], folder: str = "") -> dict[str, Any]:
    """What a chart knows: its values.yaml, over those of the charts in it, and the switches of its dependencies.

    `files` are the texts of each Chart.yaml and values.yaml by path; `folder` is the chart's own in it.
    """
    folder = folder or _top(files)
    known = _given(files, folder)
    for switch in (switch for one in _dependencies(files, folder) for switch in _switches(one)):
        known = merged(_nested(switch), known)
    return known


def switched_on(files: Mapping[str, str], values: Values, folder: str = "") -> Iterator[str]:
    """The folders of the chart and of those inside it that these values leave switched on; `files` as for `defaults`.

    Of a dependency's conditions the first that is true or false counts, and without any it is on (Helm's documentation,
    "Charts"). Tags are not looked at: none of our charts has any.
    """
    folder = folder or _top(files)
    known = merged(_given(files, folder), values)
    yield folder
    for name in _subcharts(files, folder):
        for one in _named(name, _dependencies(files, folder)):
            said = (_at(switch, known) for switch in _switches(one))
            if next((on for on in said if isinstance(on, bool)), True):
                inside = known.get(_called(one))
                yield from switched_on(files, inside if isinstance(inside, dict) else {}, f"{folder}/charts/{name}")


def unknown(values: Values, known: Values) -> tuple[tuple[str, str], ...]:
    """The values that the chart does not know, dotted, each with the nearest that it does (or nothing)."""
    return tuple((".".join(path), _nearest(path, known)) for path in _strangers(values, known))


def secrets(values: Values, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of values that are secrets by their names. A name such as existingSecret only says where one is kept."""
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, dict):
            yield from secrets(value, here)
        elif isinstance(value, str) and value and _SECRET.search(str(key)):
            yield here


def masked(values: Values) -> dict[str, Any]:
    """The values without their secrets, for a person to read."""
    shown = merged(values, {})
    for path in secrets(values):
        hidden: Any = "<not shown>"
        for key in reversed(path):
            hidden = {key: hidden}
        shown = merged(shown, hidden)
    return shown


def _strangers(values: Values, known: Values, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if key == "global" or not known:
            continue
        here = (*path, str(key))
        if key not in known:
            yield here
        elif isinstance(value, dict) and isinstance(known[key], dict):
            yield from _strangers(value, known[key], here)


def _given(files: Mapping[str, str], folder: str) -> dict[str, Any]:
    """The chart's values.yaml over those of the charts in it."""
    below: dict[str, Any] = {}
    for name in _subcharts(files, folder):
        inside = defaults(files, f"{folder}/charts/{name}")
        below |= {_called(one): inside for one in _named(name, _dependencies(files, folder))}
    return merged(below, _read(files.get(f"{folder}/values.yaml")))


def _dependencies(files: Mapping[str, str], folder: str) -> list[Values]:
    return list(_read(files.get(f"{folder}/Chart.yaml")).get("dependencies") or [])


def _named(name: str, dependencies: Sequence[Values]) -> Sequence[Values]:
    """A chart may be there under several aliases; one that is only put into the folder counts as well."""
    return [one for one in dependencies if one.get("name") == name] or [{"name": name}]


def _called(dependency: Values) -> str:
    return str(dependency.get("alias") or dependency["name"])


def _switches(dependency: Values) -> list[list[str]]:
    """Its conditions as keys into the parent's values."""
    paths = (path.strip() for path in str(dependency.get("condition") or "").split(","))
    return [path.split(".") for path in paths if path]


def _at(keys: Sequence[str], values: Any) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _top(files: Mapping[str, str]) -> str:
    return min((path.rpartition("/")[0] for path in files), key=len, default="")


def _nearest(path: Sequence[str], known: Values) -> str:
    parent: Any = known
    for key in path[:-1]:
        parent = parent[key]
    if near := difflib.get_close_matches(path[-1], map(str, parent), n=1):
        return ".".join((*path[:-1], near[0]))
    everywhere = list(_paths(known))
    same = [one for one in everywhere if one.rpartition(".")[2] == path[-1]]
    near = difflib.get_close_matches(".".join(path), same or everywhere, n=1, cutoff=0.3 if same else 0.7)
    return near[0] if near else ""


def _paths(known: Values, above: str = "") -> Iterator[str]:
    for key, value in known.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")


def _subcharts(files: Mapping[str, str], folder: str) -> list[str]:
    inside = (path.removeprefix(f"{folder}/charts/") for path in files if path.startswith(f"{folder}/charts/"))
    return sorted({path.partition("/")[0] for path in inside})


def _nested(keys: Sequence[str]) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:])} if len(keys) > 1 else {keys[0]: True}


def _read(text: str | None) -> dict[str, Any]:
    found = yaml.load(text or "", Loader=_FAST)
    return found if isinstance(found, dict) else {}
