"""A committed notebook as a chapter: the same cells and outputs, and links to the glossary where its words come up."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from docs.generate.markdown import without_files
from docs.generate.notebooks import Notebook, source

# What is no running text: blocks of code, headings, tables' lines, code, links and roles. A line of a block may be
# anything, so blocks come first.
_NOT_TEXT = re.compile(r"(```.*?```|^#.*?$|`[^`]+`|!?\[[^\]]*\]\([^)]*\)|\{[\w:-]+\}`[^`]*`)", re.DOTALL | re.MULTILINE)
_NOT_RUN = """\
:::{note}
This chapter has not been run for this site yet: its cells are shown without what they print.
:::"""

_GOES_WRONG = """\
An error says what was wanted, what was seen, and what to do now; run its cell again afterwards.
All that can come up in this chapter:"""


def chapter(book: Notebook, *, terms: Iterable[str], troubles: Sequence[tuple[str, str]] = ()) -> str:
    """The chapter's notebook as text. `troubles` are title and anchor of what can go wrong in it."""
    content = copy.deepcopy(book.content)
    left = set(terms)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _linked(without_files(source(cell), keep=".ipynb"), left)
        else:
            cell["outputs"] = [each for output in cell["outputs"] for each in _readings(output)]
            cell["metadata"] = {**cell["metadata"], "mystnb": {"image": {"alt": _alternative(cell["outputs"])}}}
    first, *rest = content["cells"]
    first["source"] = first["source"].replace("# ", f"# {book.number} ", 1)
    notes = [] if was_run(book) else [_markdown("not-run", _NOT_RUN)]
    content["cells"] = [first, *notes, *rest, *_wrong(troubles)]
    return json.dumps(content)


def was_run(book: Notebook) -> bool:
    """Whether the committed notebook holds any output."""
    return any(cell.get("outputs") for cell in book.content["cells"])


def linked(text: str, terms: Iterable[str]) -> str:
    """A text in which the first mention of each term leads to the glossary."""
    return _linked(text, set(terms))


def _linked(text: str, left: set[str]) -> str:
    """Takes out of `left` what it linked."""
    parts = _NOT_TEXT.split(text)
    return "".join(part if number % 2 else _with_links(part, left) for number, part in enumerate(parts))


def _with_links(text: str, left: set[str]) -> str:
    if not left:
        return text
    longest_first = sorted(left, key=lambda term: (-len(term), term))
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})(s?)\b", re.IGNORECASE)
    by_word = {term.lower(): term for term in left}

    def link(found: re.Match[str]) -> str:
        term = by_word.get(found[1].lower(), "")
        if term not in left:
            return found[0]
        left.remove(term)
        return f"{{term}}`{found[0]} <{term}>`"

    return pattern.sub(link, text)


def _readings(output: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Text and picture of one output one below the other: a generator of sites shows only one of them."""
    data = output.get("data", {})
    if "image/png" not in data or "text/plain" not in data:
        yield output
        return
    yield {**output, "data": {"text/plain": data["text/plain"]}}
    yield {"output_type": "display_data", "metadata": {}, "data": {"image/png": data["image/png"]}}


def _alternative(outputs: Sequence[dict[str, Any]]) -> str:
    """What stands for a picture that cannot be seen: the text above it."""
    texts = [output["data"]["text/plain"] for output in outputs if "text/plain" in output.get("data", {})]
    return " ".join("".join(texts[0]).split()) if texts else "figure"


def _wrong(troubles: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    if not troubles:
        return []
    links = [f"- [{title}](#{anchor})" for title, anchor in troubles]
    return [_markdown("wrong", "\n".join(["## If something goes wrong", "", _GOES_WRONG, "", *links]))]


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}
