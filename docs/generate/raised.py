"""Every place of the library that raises an error on purpose, with the sentences that it gives, out of the source."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from docs.generate.sentences import Reader, Scope, arguments_of, own_words
from docs.generate.source import Function, Library, Source

ROOT = "PicError"
ERRORS = "pic4ser_lib.errors"
# What becomes an error further on, and the fields that it is made of, in their order: a step's refusal; what a look
# finds in the way; one thing that is wrong in a site's folder, as three modules write it.
BEFORE = {
    "Refused": ("wanted", "seen", "remedy"),
    "Finding": ("seen", "remedy"),
    "Problem": ("file", "key", "value", "allowed"),
    "problem": ("key", "allowed"),
}
RULE = ("key", "allowed")
BECOMES = {"Refused": "StepRefused", "Finding": "StepRefused"}
# Modules that keep what was seen and what to do as pairs of texts, and the error that these become.
PAIRS = {"pic4ser_lib.host.trouble": "Unreachable", "pic4ser_lib.lab.capacity": "LabError"}
TOLD = ("wanted", "waiting_for", "needed", "seen", "reason", "allowed", "remedy")
"""The fields in which an error says something of its own."""
ALIKE = 0.8
"""Readings that are more alike than this differ by a unit or an ending."""


@dataclass(frozen=True)
class Raised:
    """One error that the library can raise: of which kind, where it is written, and what each field may say."""

    kind: str
    module: str
    line: int
    said: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """A field's readings as one text, without those that are nearly another."""
        kept: list[str] = []
        for text in filter(None, self.said.get(name, ())):
            if all(difflib.SequenceMatcher(None, text, other).ratio() < ALIKE for other in kept):
                kept.append(text)
        return "; or: ".join(kept)


@dataclass(frozen=True)
class Kind:
    """One class of the tree of errors: its name, its promise, what it is below, and the sentence it reads as."""

    name: str
    meaning: str
    below: str
    sentence: str


def kinds(library: Library) -> tuple[Kind, ...]:
    """The root and every class below it, wherever in the library, in the order of the tree's modules."""
    found: dict[str, tuple[ast.ClassDef, Source]] = {}
    ordered = sorted(library.sources.values(), key=lambda source: (source.name != ERRORS, source.name))
    for source in ordered:
        for name, node in source.classes.items():
            if ROOT in [parent.name for parent, _ in library.lineage(node, source)]:
                found[name] = node, source
    return tuple(_kind(library, node, source) for node, source in found.values())


def raised(library: Library) -> tuple[Raised, ...]:
    """All of them, module by module, in the order of the lines; without those that only pass on what others said."""
    names = {kind.name for kind in kinds(library)}
    found = [each for source in library.sources.values() for each in _in(library, source, names)]
    found += [each for name, kind in PAIRS.items() for each in _pairs(library, library.sources[name], kind)]
    telling = [each for each in found if any(own_words(each.text(name)).strip(" .;:") for name in TOLD)]
    return tuple(sorted(telling, key=lambda each: (each.module, each.line)))


def _pairs(library: Library, source: Source, kind: str) -> Iterator[Raised]:
    """Every pair of two texts, of which the second is a sentence: (what was seen, what to do)."""
    reader = Reader(library)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
            seen, remedy = (_named(reader.texts(each, Scope(source))) for each in node.elts)
            if all(own_words(text).strip(". ") for text in (seen[0], remedy[0])) and " " in remedy[0]:
                yield Raised(kind, source.name, node.lineno, {"seen": seen, "remedy": remedy})


def _named(texts: tuple[str, ...]) -> tuple[str, ...]:
    """What `format` fills in, as a name."""
    return tuple(re.sub(r"\{(\w+)\}", r"«\1»", text) for text in texts)


def _kind(library: Library, node: ast.ClassDef, source: Source) -> Kind:
    below = node.bases[0].id if isinstance(node.bases[0], ast.Name) else ""
    said = [text for kind, there in library.lineage(node, source) for text in _sentence(library, kind, there)]
    return Kind(node.name, ast.get_docstring(node) or "", below, said[0])


def _sentence(library: Library, node: ast.ClassDef, source: Source) -> Iterator[str]:
    """What `sentence()` of a class returns, with a name for each field."""
    for function in node.body:
        if isinstance(function, Function) and function.name == "sentence":
            (last,) = (each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value)
            yield from Reader(library).texts(last, Scope(source, node))


def _in(library: Library, source: Source, names: set[str]) -> Iterator[Raised]:
    reader = Reader(library)
    for name in sorted(names | set(BEFORE)):
        for call in source.calls.get(name, ()):
            if _fields(call, name, source):
                for scope, module, line in _scopes(library, source, call):
                    said = _said(reader, call, name, scope)
                    yield Raised("SiteError" if "allowed" in said else BECOMES.get(name, name), module.name, line, said)


def _fields(call: ast.Call, name: str, source: Source) -> dict[str, ast.expr]:
    """Field to expression."""
    order = (
        RULE if name == "Finding" and "Finding" in source.classes and ".site." in source.name else BEFORE.get(name, ())
    )
    if name == "Finding" and source.name.endswith("operations.look"):
        return {}
    return dict(zip(order, call.args, strict=False)) | {each.arg: each.value for each in call.keywords if each.arg}


def _said(reader: Reader, call: ast.Call, name: str, scope: Scope) -> dict[str, tuple[str, ...]]:
    said = {field: reader.texts(value, scope) for field, value in _fields(call, name, scope.source).items()}
    if scope.owner and "wanted" not in said and name in ("Finding", "StepFailed", "StepRefused"):
        said["wanted"] = reader.attribute(scope.owner, "wanted", scope)
    return said


def _scopes(library: Library, source: Source, call: ast.Call, depth: int = 0) -> Iterator[tuple[Scope, Source, int]]:
    """Where a call is made: once, or once for each caller of its function if those hand the sentences over."""
    function, owner = source.enclosing(call, Function), source.enclosing(call, ast.ClassDef)
    here = Scope(source, owner if isinstance(owner, ast.ClassDef) else None)
    callers = _callers(library, source, call, function) if isinstance(function, Function) and depth < 3 else []
    if not isinstance(function, Function) or not callers:
        yield here, source, call.lineno
        return
    for there, outer in callers:
        for scope, module, line in _scopes(library, there, outer, depth + 1):
            yield Scope(source, here.owner, arguments_of(outer, function, scope)), module, line


def _callers(library: Library, source: Source, call: ast.Call, function: Function) -> list[tuple[Source, ast.Call]]:
    """The calls of a function that is handed a sentence for this error, here and where the function is imported."""
    texts = {arg.arg for arg in (*function.args.args, *function.args.kwonlyargs) if _is_text(arg)}
    handed = {node.id for part in _arguments(call) for node in ast.walk(part) if isinstance(node, ast.Name)}
    if not texts & handed:
        return []
    own = [
        (source, each)
        for each in source.calls.get(function.name, ())
        if source.enclosing(each, Function) is not function
    ]
    others = [
        each for each in library.sources.values() if library.imported(function.name, each) == (source, function.name)
    ]
    return own + [(each, outer) for each in others if each is not source for outer in each.calls.get(function.name, ())]


def _is_text(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id == "str"


def _arguments(call: ast.Call) -> Iterator[ast.expr]:
    yield from (*call.args, *(each.value for each in call.keywords))
