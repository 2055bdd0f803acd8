"""The fenced blocks of a page. Where a line in bold names a file, the blocks after it are that file's, or its cells."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_FENCE = re.compile(r"(`{3,})([\w-]*)")
_FILE = re.compile(r"\*\*`([^`]+)`\*\*")


@dataclass(frozen=True)
class Fence:
    """One block: its language, its text, and the file that the page says it belongs to ("" if none)."""

    language: str
    text: str
    file: str = ""


def fences(page: Path) -> tuple[Fence, ...]:
    """All blocks of a page in its order; a heading ends what belongs to a file."""
    found: list[Fence] = []
    file, closing, language, lines = "", "", "", list[str]()
    for line in page.read_text("utf-8").splitlines():
        if closing and line != closing:
            lines.append(line + "\n")
        elif closing:
            found.append(Fence(language, "".join(lines), file))
            closing, lines = "", []
        elif opened := _FENCE.fullmatch(line):
            closing, language = opened.groups()
        elif line.startswith("#"):
            file = ""
        elif named := _FILE.match(line):
            file = named[1]
    return tuple(found)


def text_of(page: Path, file: str) -> str:
    """What the page's blocks say that a file holds. Raises KeyError when there is none."""
    parts = [fence.text for fence in fences(page) if fence.file == file]
    if not parts:
        raise KeyError(file)
    return "".join(parts)


def module(page: Path, file: str) -> ModuleType:
    """The Python module that the page's blocks are, executed."""
    made = ModuleType(f"{page.stem}_{Path(file).stem}")
    sys.modules[made.__name__] = made  # dataclasses look their module up
    exec(compile(text_of(page, file), file, "exec"), made.__dict__)
    return made
