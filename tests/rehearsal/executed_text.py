"""The text that a batch's executed notebooks show, against what is committed: nbval's rule, for another's run.

A notebook that ran for one node shows that node only; so does the committed text, once the others are taken out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lab_outside import ADDRESSES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def finished(path: Path) -> bool:
    """Whether every code cell has run, none has raised, and the last one has come to its end."""
    cells = _code(path)
    raised = any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    return all(cell["execution_count"] for cell in cells) and not raised and _text(cells[-1]) != ""


def executed_text(path: Path) -> list[str]:
    """What each cell printed and returned as text; papermill's own cell of parameters is left out."""
    return [_for_node(text, _node(path)) for text in map(_text, _code(path))]


def committed_text(path: Path) -> list[str]:
    """The same of the committed notebook that this one was made from."""
    source = NOTEBOOKS / f"{path.stem.partition('-')[0]}.ipynb"
    return [_for_node(text, _node(path)) for text in map(_text, _code(source))]


def _code(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [c for c in cells if c["cell_type"] == "code" and "injected-parameters" not in c["metadata"].get("tags", ())]


def _text(cell: dict[str, Any]) -> str:
    streams = (output["text"] for output in cell["outputs"] if output.get("name") == "stdout")
    data = (output.get("data", {}).get("text/plain", "") for output in cell["outputs"])
    return "\n".join("".join(text) for text in (*streams, *data) if text)


def _node(path: Path) -> str:
    return path.stem.partition("-")[2]


def _for_node(text: str, node: str) -> str:
    if node not in ADDRESSES:
        return text
    lines = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    others = ADDRESSES.keys() - {node}
    kept = [words for words in lines if words[0] not in others and (node in words[-1] or words[-1] not in others)]
    return "\n".join("  ".join(re.sub(rf"(\w+, )*{node}(, \w+)*$", node, word) for word in words) for words in kept)
