"""The library's source, parsed: its modules, and what a name means where it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef


@dataclass(frozen=True, eq=False)
class Source:
    """One module."""

    name: str
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Each node's parent."""
        return {child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)}

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What the module itself assigns to names."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    found |= {n.id: value for n, value in zip(names, values, strict=True) if isinstance(n, ast.Name)}
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Name here to (module, name there), for names taken from other modules, wherever in this one."""
        found = [n for n in ast.walk(self.tree) if isinstance(n, ast.ImportFrom) and n.module]
        return {alias.asname or alias.name: (str(n.module), alias.name) for n in found for alias in n.names}

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Its classes."""
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        """The name of a function or method to its calls."""
        found: dict[str, list[ast.Call]] = {}
        for node in ast.walk(self.tree):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    found.setdefault(name, []).append(node)
        return found

    @cached_property
    def _functions(self) -> dict[str, list[Function]]:
        found: dict[str, list[Function]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                found.setdefault(node.name, []).append(node)
        return found

    def function(self, name: str) -> Function | None:
        """The only function or method of this name."""
        found = self._functions.get(name, [])
        return found[0] if len(found) == 1 else None

    def enclosing(self, node: ast.AST, kind: type[ast.AST]) -> ast.AST | None:
        """The nearest function or class around a node."""
        here = self.parents.get(node)
        while here is not None and not isinstance(here, kind):
            here = self.parents.get(here)
        return here

    def assigned(self, name: str, use: ast.AST) -> list[ast.expr]:
        """What a local variable may hold where it is used: what was assigned last on each way there."""
        found: list[ast.expr] = list(self._looped(name, use))
        for before in self._statements_before(use):
            here = list(_assignments(before, name))
            found = here + found
            if here and isinstance(before, ast.Assign | ast.AnnAssign):
                break
        return found

    def _looped(self, name: str, use: ast.AST) -> Iterator[ast.expr]:
        """The table whose values a loop around the use gives to this name."""
        here: ast.AST | None = use
        while here is not None:
            match here:
                case ast.For(
                    target=ast.Tuple(elts=[_, ast.Name(id=target)]),
                    iter=ast.Call(func=ast.Attribute(value=table, attr="items")),
                ) if target == name:
                    yield table
            here = self.parents.get(here)

    def _statements_before(self, use: ast.AST) -> Iterator[ast.stmt]:
        """From the use backwards: the statements of its block, then of the block around that, up to the function."""
        child = use
        while (parent := self.parents.get(child)) is not None and not isinstance(child, Function | ast.Module):
            for _, block in ast.iter_fields(parent):
                if isinstance(block, list) and child in block and isinstance(child, ast.stmt):
                    yield from reversed(block[: block.index(child)])
            child = parent


@dataclass(frozen=True, eq=False)
class Library:
    """All modules of a package, by their dotted names."""

    sources: dict[str, Source]

    @classmethod
    def of(cls, folder: Path) -> Library:
        """The package in this folder."""
        found = {}
        for path in sorted(folder.rglob("*.py")):
            name = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Source(name, ast.parse(path.read_text("utf-8")))
        return cls(found)

    def imported(self, name: str, source: Source) -> tuple[Source, str] | None:
        """The module of this package that a name was taken from, and what it is called there."""
        module, original = source.imports.get(name, ("", ""))
        while module in self.sources and original in self.sources[module].imports:
            module, original = self.sources[module].imports[original]
        return (self.sources[module], original) if module in self.sources else None

    def module(self, name: str, source: Source) -> Source | None:
        """The module that a name means, where it was imported as a whole."""
        package, original = source.imports.get(name, ("", ""))
        return self.sources.get(f"{package}.{original}")

    def lineage(self, owner: ast.ClassDef, source: Source) -> Iterator[tuple[ast.ClassDef, Source]]:
        """A class and those it inherits from, as far as they are of this package."""
        yield owner, source
        for base in (each.id for each in owner.bases if isinstance(each, ast.Name)):
            there, name = (source, base) if base in source.classes else self.imported(base, source) or (source, "")
            if name in there.classes:
                yield from self.lineage(there.classes[name], there)

    def heirs(self, owner: ast.ClassDef) -> Iterator[tuple[ast.ClassDef, Source]]:
        """The classes that name this one as what they inherit from."""
        for source in self.sources.values():
            for node in source.classes.values():
                if owner.name in [base.id for base in node.bases if isinstance(base, ast.Name)]:
                    yield node, source


def _assignments(statement: ast.stmt, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                yield value
