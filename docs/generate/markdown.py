"""Markdown as MyST reads it: plain text kept as it is, tables, headings that can be linked to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]+`)")
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")
_FENCED = re.compile(r"(^`{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
_MARKS = re.compile(r"([\\*_<>\[\]{}|$#~^])")


def plain(text: str) -> str:
    """A text in which nothing but `code` means anything to Markdown."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if part.startswith("`") and len(part) > 1 else _escaped(part) for part in parts)


def code(text: str) -> str:
    """A text as code, whatever it holds."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else ""


def block(text: str, language: str) -> str:
    """Lines as a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def heading(text: str, *, level: int, anchor: str = "") -> str:
    """A heading, and a name by which other pages link to it."""
    target = f"({anchor})=\n" if anchor else ""
    return f"{target}{'#' * level} {text}"


def anchor(*words: str) -> str:
    """A name for links, of letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, widths: Sequence[int]) -> str:
    """A table whose rows become blocks on a narrow screen (class stacked)."""
    lines = ["```{list-table}", ":header-rows: 1", ":class: stacked", f":widths: {' '.join(map(str, widths))}", ""]
    for row in (head, *rows):
        lines += [f"{'* -' if first else '  -'} {cell}".rstrip() for first, cell in zip(_firsts(), row, strict=False)]
    return "\n".join([*lines, "```"])


def without_files(text: str, *, keep: str = "none of them") -> str:
    """A text without its links to files that the site does not have; those whose name ends in `keep` stay."""

    def named(found: re.Match[str]) -> str:
        words, path = found[1], found[2].lstrip("./")
        return found[0] if path.endswith(keep) else words if path in words else f"{words} (`{path}`)"

    kept, end = [], 0
    for block_of_code in _FENCED.finditer(text):
        kept += [_LINK.sub(named, text[end : block_of_code.start()]), block_of_code[0]]
        end = block_of_code.end()
    return "".join([*kept, _LINK.sub(named, text[end:])])


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return "\n\n".join([f"# {title}", *filter(None, parts)]) + "\n"


def _firsts() -> Iterable[bool]:
    yield True
    while True:
        yield False


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)
