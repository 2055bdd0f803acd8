"""One YAML file as plain values, with the place of each, and what a reader of YAML could misunderstand in it.

YAML 1.2, read at the level of its nodes: so every value keeps its line and its text as written, and what other
YAML readers would take for something else (0755, no, 22:30) is a problem instead of a surprise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from pic4ser_lib.errors import Problem

Key = tuple[str | int, ...]
"""Where a value stands: ("ssh", "port"), ("workers", 0)."""


@dataclass(frozen=True)
class Place:
    """Where a value was written and how."""

    file: str
    line: int
    text: str = ""


@dataclass(frozen=True)
class Document:
    """A file's values, the place of each, and the problems of its form."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    places: Mapping[Key, Place] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    misread: frozenset[Key] = frozenset()

    def place(self, key: Key) -> Place:
        """Where the value stands, or the nearest thing around it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                found = self.places[key[:length]]
                return found if length == len(key) else Place(found.file, found.line)
        return Place(self.file, 0)

    def problem(self, key: Key, allowed: str) -> Problem:
        """A problem of the value at `key`, with its file, line and text."""
        place = self.place(key)
        return Problem(place.file, dotted(key), place.text, allowed, place.line)

    def over(self, other: Document) -> Document:
        """This document laid over another: mappings merge key by key, everything else replaces what was there."""
        places = {key: place for key, place in other.places.items() if not self._replaces(key)}
        return Document(
            other.file,
            merged(other.values, self.values),
            {**places, **self.places},
            tuple(dict.fromkeys(other.problems + self.problems)),
            other.misread | self.misread,
        )

    def _replaces(self, key: Key) -> bool:
        here: Any = self.values
        for part in key:
            if not isinstance(here, dict):
                return True
            if part not in here:
                return False
            here = here[part]
        return True


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: mappings merge key by key, everything else replaces. Doing it twice changes nothing."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def dotted(key: Key) -> str:
    """How a key is called in sentences: `stand_ins[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def parse(text: str, *, file: str) -> Document:
    """The document in `text`; what cannot be read at all is a problem, never an exception."""
    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return Document(file, problems=(Problem(file, "", "", f"not YAML: {_reason(error)}", line),))
    except YAMLError as error:
        return Document(file, problems=(Problem(file, "", "", f"not YAML: {_first_line(error)}"),))
    if root is None or (isinstance(root, ScalarNode) and _kind(root) == "null"):
        return Document(file)
    if not isinstance(root, MappingNode):
        return Document(file, problems=(Problem(file, "", "", "`key: value` lines are wanted here", 1),))
    reader = _Reader(file)
    values = reader.value(root, ())
    return Document(file, values, reader.places, tuple(reader.problems), frozenset(reader.misread))


class _Reader:
    """Walks the nodes of one file and collects places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Key, Place] = {}
        self.problems: list[Problem] = []
        self.misread: set[Key] = set()
        self._inside: list[Node] = []

    def value(self, node: Node, key: Key) -> Any:
        """The plain value of a node; its place and problems are kept."""
        self.places.setdefault(key, Place(self.file, node.start_mark.line + 1))
        if any(node is outer for outer in self._inside):
            return self._complain(node, key, "", "an alias that contains itself")
        if isinstance(node, ScalarNode):
            return self._scalar(node, key)
        self._inside.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, key)
            return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
        finally:
            self._inside.pop()

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, ScalarNode) else "?"
            below = (*key, name)
            if name in ("?", "<<"):
                self._complain(name_node, below, "", "a plain key, without merging or nesting")
                continue
            if name in result:
                first = self.places[below].line
                self._complain(name_node, below, "", f"each key once; it stands on line {first} already")
                continue
            self.places[below] = Place(self.file, name_node.start_mark.line + 1)
            result[name] = self.value(value_node, below)
        return result

    def _scalar(self, node: ScalarNode, key: Key) -> Any:
        plain = node.style is None
        # A value that is left out has no line of its own: its key has.
        line = node.start_mark.line + 1 if node.value else self.places[key].line
        self.places[key] = Place(self.file, line, node.value if plain else f'"{node.value}"')
        trap = _trap(node) if plain else ""
        if trap:
            return self._complain(node, key, node.value, trap)
        if node.style == ">":
            return node.value.replace("\a", "")  # ruamel keeps where a folded line was broken
        return _plain_value(_kind(node), node.value) if plain else node.value

    def _complain(self, node: Node, key: Key, text: str, allowed: str) -> None:
        self.misread.add(key)
        self.problems.append(Problem(self.file, dotted(key), text, allowed, node.start_mark.line + 1))


def _kind(node: Node) -> str:
    return str(node.tag).rpartition(":")[2]


def _trap(node: ScalarNode) -> str:
    text, kind = node.value, _kind(node)
    if re.fullmatch(r"(?i)yes|no|on|off|y|n", text):
        return f'write true or false for a switch, "{text}" in quotes for a word; YAML readers disagree about it'
    if re.fullmatch(r"[-+]?0\d+", text):
        return f'write "{text}" in quotes for a text (YAML reads {int(text)}, older YAML octal), a number without the 0'
    if re.fullmatch(r"[-+]?\d+(?::[0-5]?\d)+(?:\.\d*)?", text):
        return f'write "{text}" in quotes; older YAML reads it as a number to base 60'
    if kind in ("int", "float") and "_" in text:
        return f'write {text.replace("_", "")} for a number, "{text}" in quotes for a text'
    if kind == "float" and not math.isfinite(_plain_value(kind, text)):
        return "a number that ends"
    if kind == "timestamp":
        return f'write "{text}" in quotes; YAML reads it as a date'
    if kind not in ("str", "int", "float", "bool", "null"):
        return "a plain value, without tags"
    return ""


def _plain_value(kind: str, text: str) -> Any:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            based = re.fullmatch(r"[-+]?0[xob].*", text)
            return int(text, 0 if based else 10)
        case "float":
            return float(re.sub(r"(?i)\.(inf|nan)$", r"\1", text))
        case _:
            return text


def _reason(error: MarkedYAMLError) -> str:
    tab = "\\t" in str(error.problem)
    return "indent with spaces, not with tabs" if tab else _first_line(error.problem or error.context or error)


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or ["unreadable"])[0]
