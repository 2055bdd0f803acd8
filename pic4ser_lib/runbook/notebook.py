"""What a notebook says about itself: its number, its scope and its parameters, read without executing anything."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import Problem, SiteError

PARAMETERS = frozenset({"site", "node", "mode"})
"""What every notebook of the runbook takes, and nothing else does the batch pass."""


@dataclass(frozen=True)
class Notebook:
    """One notebook of the runbook, as its file describes it."""

    path: Path
    per_node: bool
    parameters: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending: 01_setup_nodes."""
        return self.path.stem

    @property
    def number(self) -> str:
        """What stands before the first underscore: 01."""
        return self.name.partition("_")[0]


def runbook(folder: Path, *, begin: str = "", only: Sequence[str] = ()) -> tuple[Notebook, ...]:
    """The notebooks of a folder in the order of their numbers, from `begin` on, or `only` those named.

    A name is a number ("01" or "1") or a whole name ("01_setup_nodes"). Raises SiteError with every notebook that
    cannot be run and every name that is none.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    problems = [*_unknown(paths, [*only, *([begin] if begin else [])])]
    if not paths:
        problems.append(Problem(str(folder), "", "", "no notebook NN_section.ipynb is here"))
    chosen = [p for p in paths if _chosen(p, begin, only)]
    books = [book for path in chosen if (book := _read(path, problems))]
    if problems:
        raise SiteError(path=str(folder), problems=tuple(problems))
    return tuple(books)


def outcome_of(path: Path) -> tuple[str, str]:
    """The name and text of the error that ended an executed notebook; two empty strings if there is none."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
    for output in (output for cell in cells for output in cell.get("outputs", ())):
        if output.get("output_type") == "error":
            return str(output.get("ename", "")), str(output.get("evalue", ""))
    return "", ""


def _chosen(path: Path, begin: str, only: Sequence[str]) -> bool:
    if only:
        return any(_named(path, name) for name in only)
    return not begin or path.stem.partition("_")[0] >= _number(begin)


def _named(path: Path, name: str) -> bool:
    return path.stem == _stem(name) or path.stem.partition("_")[0] == _number(name)


def _number(name: str) -> str:
    return _stem(name).partition("_")[0].zfill(2)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".ipynb")


def _unknown(paths: Sequence[Path], names: Iterable[str]) -> Iterable[Problem]:
    have = ", ".join(path.stem for path in paths)
    for name in names:
        if paths and not any(_named(path, name) for path in paths):
            yield Problem("notebooks", "", repr(name), f"no such notebook; there are {have}")


def _read(path: Path, problems: list[Problem]) -> Notebook | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        scope = content["metadata"].get("pic4ser", {}).get("scope", "cluster")
        parameters = _parameters(content["cells"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        problems.append(Problem(path.name, "", "", f"cannot be read as a notebook: {error}"))
        return None
    if scope not in ("node", "cluster"):
        problems.append(Problem(path.name, "metadata.pic4ser.scope", repr(scope), "one of node, cluster"))
    for missing in sorted(PARAMETERS - set(parameters)):
        allowed = "its cell tagged 'parameters' does not set it, so the run could not say what to do"
        problems.append(Problem(path.name, missing, "", allowed))
    return Notebook(path, scope == "node", parameters)


def _parameters(cells: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The names that the cell tagged "parameters" sets."""
    for cell in cells:
        if "parameters" in cell.get("metadata", {}).get("tags", ()):
            body = ast.parse("".join(cell["source"])).body
            assigned = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
            assigned += [node.target for node in body if isinstance(node, ast.AnnAssign)]
            return tuple(target.id for target in assigned if isinstance(target, ast.Name))
    return ()
