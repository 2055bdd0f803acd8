"""All generated pages of the site, by the names of their files."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate import api, chapters, commands, document, parameters, stand_ins, troubleshooting
from docs.generate.notebooks import LIBRARY, Notebook, notebooks
from docs.generate.raised import raised
from docs.generate.source import Library
from pic4ser_lib.cli import pic4ser
from pic4ser_lib.site.schema import StandIn


def pages(house: Path) -> dict[str, str]:
    """File name to text, of everything that is generated from the checkout in this folder."""
    import yaml

    books = notebooks(house / "notebooks")
    lab = yaml.safe_load((house / "parameters/lab/cluster.yaml").read_text("utf-8"))
    entries = yaml.safe_load((house / "docs/document.yaml").read_text("utf-8"))
    terms = glossary_terms((house / "docs/text/glossary.md").read_text("utf-8"))
    library = Library.of(house / LIBRARY)
    subjects = set(troubleshooting.grouped(raised(library), books))
    made = {
        "parameters.md": parameters.reference(house / "parameters/pic4ser"),
        "library.md": api.reference(books),
        "commands.md": commands.reference(pic4ser, "pic4ser"),
        "document.md": document.commands(entries, books, api.steps(books)),
        "stand-ins.md": stand_ins.stand_ins([StandIn(**each) for each in lab["stand_ins"]]),
        "troubleshooting.md": troubleshooting.troubleshooting(library, books),
    }
    for book in books:
        made[f"chapters/{book.name}.ipynb"] = chapters.chapter(book, terms=terms, troubles=_troubles(book, subjects))
    return made


def glossary_terms(text: str) -> tuple[str, ...]:
    """The words that the glossary explains: the lines of its block that nothing is indented below."""
    block = text.partition("```{glossary}")[2].partition("```")[0]
    return tuple(re.findall(r"^(\w.*)$", block, re.MULTILINE))


def _troubles(book: Notebook, subjects: set[str]) -> list[tuple[str, str]]:
    """The sections of the page of errors that a chapter may lead to: its operations', and what can stop every cell."""
    own = dict.fromkeys(
        troubleshooting.subject(f"{LIBRARY}.operations.{call.partition('.')[0]}") for call in book.calls
    )
    everywhere = troubleshooting.SUBJECTS["host"], troubleshooting.SUBJECTS["site"], troubleshooting.CELLS
    titles = [title for title in own if title in subjects]
    return [(title, troubleshooting.section_anchor(title)) for title in (*titles, *everywhere)]
