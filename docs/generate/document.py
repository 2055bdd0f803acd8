"""The installation document's commands, one by one: which notebook and step does each, or why otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docs.generate.markdown import anchor, code, heading, page, plain, table
from docs.generate.notebooks import Notebook

_INTRODUCTION = """\
The runbook follows an installation document, section by section.
This is all that it has one do, in its order: commands, look-ups (commands inside its sentences), files to edit by hand,
and an import.
Each names the chapter and the steps that bring it about; where that differs in more than form, the reason."""


def commands(entries: Sequence[dict[str, Any]], books: Sequence[Notebook], documented: Mapping[str, str]) -> str:
    """The whole page. `documented` is what the library's reference has: module.function to its path there."""
    sections = list(dict.fromkeys(entry["section"] for entry in entries))
    parts = [_section(name, [e for e in entries if e["section"] == name], books, documented) for name in sections]
    return page("The document's commands", _INTRODUCTION, *parts)


def _section(name: str, entries: list[dict[str, Any]], books: Sequence[Notebook], documented: Mapping[str, str]) -> str:
    rows = [
        (_command(entry), _done_by(entry, books, documented), plain(entry.get("otherwise", ""))) for entry in entries
    ]
    shown = table(("The document", "Done by", "Otherwise, because"), rows, widths=(38, 35, 27))
    return f"{heading(name, level=2, anchor=anchor('document', name))}\n\n{shown}"


def _command(entry: dict[str, Any]) -> str:
    kind = "" if entry["kind"] == "command" else f" ({entry['kind']})"
    return f"{code(entry['text'])}{kind}"


def _done_by(entry: dict[str, Any], books: Sequence[Notebook], documented: Mapping[str, str]) -> str:
    chapter = next((f"[{b.number}](chapters/{b.name}.ipynb)" for b in books if b.number == entry["notebook"]), None)
    steps = [f"{{py:func}}`{s} <{documented[s]}>`" if s in documented else code(s) for s in entry.get("step", ())]
    return ", ".join([chapter or f"{entry['notebook']} (still to come)", *steps])
