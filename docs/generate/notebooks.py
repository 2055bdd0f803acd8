"""The committed notebooks as data: their titles, and which parts of the library each of them calls."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARY = "pic4ser_lib"


@dataclass(frozen=True)
class Notebook:
    """One notebook: the number and name of its file, and its cells."""

    number: str
    name: str
    content: dict[str, Any]

    @property
    def title(self) -> str:
        """Its first heading, without the #."""
        first = source(self.content["cells"][0]).splitlines()[0]
        return first.lstrip("# ").strip()

    @property
    def calls(self) -> tuple[str, ...]:
        """What its code takes from the library, as module.function, in the order of the cells."""
        tree = ast.parse("\n".join(source(c) for c in self.content["cells"] if c["cell_type"] == "code"))
        taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == LIBRARY]
        names = {alias.asname or alias.name for node in taken for alias in node.names}
        found = [
            (node.lineno, node.col_offset, f"{node.value.id}.{node.attr}")
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
        ]
        return tuple(dict.fromkeys(name for _, _, name in sorted(found)))


def source(cell: dict[str, Any]) -> str:
    """A cell's text."""
    return "".join(cell["source"])


def notebooks(folder: Path) -> tuple[Notebook, ...]:
    """All notebooks NN_section.ipynb of a folder, in their order."""
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    return tuple(Notebook(path.name[:2], path.stem, json.loads(path.read_text("utf-8"))) for path in found)
