"""The library's reference: `bind`, what it returns, and every function that the notebooks call."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pic4ser_lib
from docs.generate.markdown import anchor, heading, page, plain
from docs.generate.notebooks import Notebook

_INTRODUCTION = """\
What the notebooks call, and nothing else: a notebook imports all of it from `pic4ser_lib`.
A function of the operations returns a step, or a proof, and does nothing yet.
`nodes.run(...)` asks whether what a step wants is so, and acts if not."""


@dataclass(frozen=True)
class Called:
    """A function that notebooks call: by its short name, with what it is and where."""

    name: str
    module: ModuleType
    chapters: tuple[Notebook, ...]

    @property
    def path(self) -> str:
        """Where it is imported from."""
        return f"{self.module.__name__}.{self.name.partition('.')[2]}"


def called(books: Sequence[Notebook]) -> tuple[Called, ...]:
    """Every function that a notebook calls, in the order of the notebooks."""
    names = dict.fromkeys(name for book in books for name in book.calls)
    found = []
    for name in names:
        module, _, function = name.partition(".")
        holder: Any = getattr(pic4ser_lib, module)
        if isinstance(holder, ModuleType) and callable(getattr(holder, function)):
            found.append(Called(name, holder, tuple(book for book in books if name in book.calls)))
    return tuple(found)


def reference(books: Sequence[Notebook]) -> str:
    """The whole page."""
    functions = called(books)
    modules = dict.fromkeys(each.module for each in functions)
    sections = [_module(module, [each for each in functions if each.module is module]) for module in modules]
    return page("The library", _INTRODUCTION, _binding(), *sections)


def _binding() -> str:
    lines = [
        ".. autofunction:: pic4ser_lib.bind",
        "",
        ".. autoclass:: pic4ser_lib.binding.Nodes()",
        "   :members:",
        "   :no-undoc-members:",
    ]
    return f"{heading('bind', level=2, anchor='library-bind')}\n\n{_rst(lines)}"


def _module(module: ModuleType, functions: Sequence[Called]) -> str:
    name = functions[0].name.partition(".")[0]
    first = (inspect.getdoc(module) or "").split("\n\n")[0]
    parts = [heading(f"`{name}`", level=2, anchor=anchor("library", name)), plain(first)]
    for each in functions:
        kind = "autoclass" if inspect.isclass(getattr(module, each.name.partition(".")[2])) else "autofunction"
        links = ", ".join(f"[{book.number}](chapters/{book.name}.ipynb)" for book in each.chapters)
        parts += [_rst([f".. {kind}:: {each.path}"]), f"Used in {links}."]
    return "\n\n".join(parts)


def _rst(lines: Sequence[str]) -> str:
    return "\n".join(["```{eval-rst}", *lines, "```"])


def steps(books: Sequence[Notebook]) -> dict[str, str]:
    """Short name to path, of everything on the page."""
    return {each.name: each.path for each in called(books)}
