"""What the documentation is generated from: everything that there is has its place on a page."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import pic4ser_lib.journal
from docs.generate import chapters, document
from docs.generate.markdown import without_files
from docs.generate.notebooks import Notebook, notebooks
from docs.generate.pages import glossary_terms, pages
from docs.generate.parameters import parameters
from docs.generate.raised import PAIRS, Raised, raised
from docs.generate.source import Library, Source
from docs.generate.troubleshooting import grouped, headline
from pic4ser_lib.cli import pic4ser
from pic4ser_lib.errors import PicError
from pic4ser_lib.site.schema import ClusterFile, NodeFile

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "pic4ser_lib"
BOOKS = notebooks(ROOT / "notebooks")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages(ROOT)


def kinds(kind: type[PicError] = PicError) -> Iterator[type[PicError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))


@cache
def whole() -> Library:
    return Library.of(LIBRARY)


def library(code: str) -> Library:
    """A library of one module besides the real errors."""
    errors = whole().sources["pic4ser_lib.errors"]
    pairs = {name: Source(name, ast.parse("")) for name in PAIRS}
    module = Source("pic4ser_lib.operations.made", ast.parse(textwrap.dedent(code)))
    return Library({errors.name: errors, **pairs, module.name: module})


def only(code: str) -> Raised:
    """The one error that a module raises."""
    (found,) = raised(library(code))
    return found


def bare(markdown: str) -> str:
    """Markdown without the backslashes that keep its marks from meaning anything."""
    return markdown.replace("\\", "")


# The parameters


def test_every_key_of_a_sites_files_is_in_the_reference_with_what_it_is_for(made: dict[str, str]) -> None:
    names = [(file, name) for file, model in (("cluster.yaml", ClusterFile), ("nodes/NAME.yaml", NodeFile))
             for name in model.model_fields]  # fmt: skip
    assert set(names) <= {(each.file, each.name) for each in parameters()}
    for each in parameters():
        assert each.meaning, f"{each.name} has no description"
        assert f"({each.anchor})=\n### `{each.name}`" in made["parameters.md"]


def test_the_keys_of_sections_of_names_and_of_lists_are_there() -> None:
    names = {each.name for each in parameters()}
    assert {"endpoint.port", "sources.apt.NAME.keyring", "stand_ins[].does_not_prove", "storage.server"} <= names


@pytest.mark.parametrize(
    ("name", "kind", "default", "allowed"),
    [
        ("endpoint.port", "whole number", "6443", "at least 1; at most 65535"),
        ("network.pod_cidr", "text", "10.244.0.0/16", "an IPv4 range such as 10.244.0.0/16"),
        ("confirm", "true or false", "true", ""),
        ("storage.node", "text", "empty", ""),
        ("versions.kubernetes", "text", "", "the upstream version as x.y.z"),
        ("storage.server", "text", "", "or an address"),
        ("sources.apt.NAME.list_file", "text", "", "under /etc/apt/sources.list.d/ that ends in .list"),
        ("ssh.gateway", "text", "empty", "[user@]host[:port]"),
    ],
)
def test_a_key_has_its_type_its_default_and_what_its_rules_say(
    name: str, kind: str, default: str, allowed: str
) -> None:
    found = next(each for each in parameters() if each.name == name)
    assert (found.kind, found.default) == (kind, default)
    assert allowed in found.allowed
    assert bool(allowed) == bool(found.allowed)


# The errors


def test_every_kind_of_error_is_on_the_page_with_what_to_do(made: dict[str, str]) -> None:
    assert pic4ser_lib.journal.JournalFailed in kinds()
    for kind in kinds():
        if kind.__module__.startswith("pic4ser_lib"):
            entry = made["troubleshooting.md"].partition(f"\n`{kind.__name__}`\n:")[2].partition("\n\n")[0]
            assert "What to do: " in entry, kind.__name__


def test_every_sentence_that_an_error_is_given_is_on_the_page(made: dict[str, str]) -> None:
    """Looked for in another way than the page's: whatever stands in quotes where an error is made."""
    names = {kind.__name__ for kind in kinds()} | {"Refused", "Finding", "Problem"}
    page = " ".join(bare(made["troubleshooting.md"]).split())
    missing = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {said!r}"
        for path in sorted(LIBRARY.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names
        for said in quoted(call)
        if " ".join(said.split()) not in page
    ]
    assert not missing, "\n".join(missing)


def quoted(call: ast.Call) -> Iterator[str]:
    """The sentences written down in a call: what it is handed as a whole, or as a part of an f-string."""
    told = [*call.args, *(each.value for each in call.keywords if each.arg in ("wanted", "seen", "remedy", "reason"))]
    for value in told:
        parts = value.values if isinstance(value, ast.JoinedStr) else [value]
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value.strip():
                yield part.value.strip()


def test_the_errors_come_in_the_order_of_the_notebooks(made: dict[str, str]) -> None:
    titles = list(grouped(raised(whole()), BOOKS))
    assert titles.index("Before you start") < titles.index("Swap") < titles.index("Kubeadm") < titles.index("Flannel")
    assert "Used by [01 Set up the nodes](chapters/01_setup_nodes.ipynb)." in made["troubleshooting.md"]


def test_names_stand_for_what_is_known_only_when_it_runs() -> None:
    found = only('raise Refused(self.wanted, f"{seen.unit} is masked by {who.strip()}", "Unmask it.")')
    assert found.text("seen") == "«unit» is masked by «who»"
    assert found.text("remedy") == "Unmask it."
    assert headline(found) == "«unit» is masked by «who»"


def test_a_variable_says_what_was_last_assigned_to_it_on_the_way() -> None:
    first, second = raised(
        library("""
        def judged(seen):
            if seen.one:
                remedy = "Do this."
                raise Refused("it", "one", remedy)
            remedy = "Do that." if seen.two else "Do those."
            raise Refused("it", "two", remedy)
    """)
    )
    assert first.said["remedy"] == ("Do this.",)
    assert second.said["remedy"] == ("Do that.", "Do those.")


def test_a_step_says_what_its_class_wants_or_its_heirs() -> None:
    found = only("""
        class Base:
            def actions(self):
                raise Refused(self.wanted, "nothing", _NEXT.format(version=self.version))

        class One(Base):
            wanted = "one thing"

        class Two(Base):
            @property
            def wanted(self):
                return f"{self.count} things"

        _NEXT = "Install {version}."
    """)
    assert found.said["wanted"] == ("one thing", "«count» things")
    assert found.text("remedy") == "Install «version»."


def test_a_function_that_makes_the_error_counts_once_for_each_of_its_callers() -> None:
    found = raised(
        library("""
        class Joined:
            wanted = "it has joined"

            def actions(self, seen):
                if seen.other:
                    raise self._refused("another cluster", "Leave it: reset NODE.")
                raise self._refused("half a join", "Reset NODE.")

            def _refused(self, seen: str, remedy: str):
                return Refused(self.wanted, seen, remedy.replace("NODE", self.node))
    """)
    )
    assert [(each.text("wanted"), each.text("seen"), each.text("remedy")) for each in found] == [
        ("it has joined", "another cluster", "Leave it: reset «node»."),
        ("it has joined", "half a join", "Reset «node»."),
    ]


def test_an_error_that_only_passes_on_what_another_said_is_left_out() -> None:
    assert raised(library("raise StepFailed(node=node, step=step, wanted=wanted, seen=seen, remedy=remedy)")) == ()


# Commands, the document, stand-ins, the library


@pytest.mark.parametrize(("path", "command"), list(commands(pic4ser, ("pic4ser",))), ids=str)
def test_every_command_is_documented_with_its_options_and_its_example(
    made: dict[str, str], path: tuple[str, ...], command: click.Command
) -> None:
    section = made["commands.md"].partition(f"## `{' '.join(path)}`\n")[2].partition("\n## ")[0]
    assert (command.help or "").partition("Example: ")[2].strip() in section
    for parameter in command.params:
        written = parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name
        assert written in section


def test_an_argument_says_whether_it_may_be_left_out_and_what_it_is_then(made: dict[str, str]) -> None:
    assert "`SITE`\n: May be left out: then it is parameters/lab." in made["commands.md"]
    assert "`NODE`\n: Has to be given.\n" in made["commands.md"]
    assert "`COMMAND`\n: May be left out.\n" in made["commands.md"]


def test_every_entry_of_the_document_is_in_the_table_with_its_chapter_and_steps(made: dict[str, str]) -> None:
    entries = yaml.safe_load((ROOT / "docs/document.yaml").read_text("utf-8"))
    rows = [row for row in made["document.md"].split("\n* - ")[1:] if not row.startswith("The document\n")]
    for entry, row in zip(entries, rows, strict=True):
        assert entry["text"] in row.splitlines()[0]
        assert f"[{entry['notebook']}](chapters/" in row
        assert all(step in row for step in entry.get("step", ()))
        assert " ".join(entry.get("otherwise", "").split()) in bare(row)


def test_an_entry_without_its_notebook_is_said_to_be_still_to_come() -> None:
    entry: dict[str, Any] = {"section": "S", "kind": "edit", "text": "a | b", "notebook": "77", "step": ["swap.off"]}
    page = document.commands([entry], (), {})
    assert "`a | b` (edit)" in page
    assert "77 (still to come), `swap.off`" in page


def test_everything_that_a_stand_in_does_not_prove_is_told(made: dict[str, str]) -> None:
    listed = yaml.safe_load((ROOT / "parameters/lab/cluster.yaml").read_text("utf-8"))["stand_ins"]
    assert listed
    for each in listed:
        assert " ".join(each["does_not_prove"].split()) in bare(made["stand-ins.md"])


def test_every_function_that_a_notebook_calls_is_in_the_librarys_reference(made: dict[str, str]) -> None:
    for book in BOOKS:
        for call in book.calls:
            assert f".{call}\n" in made["library.md"], f"{book.name} calls {call}"


# Chapters


def book(*cells: dict[str, Any]) -> Notebook:
    title = {"cell_type": "markdown", "metadata": {}, "source": ["# Wait for it\n", "\n", "Pods wait."]}
    return Notebook("42", "42_wait", {"cells": [title, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_the_first_mention_of_a_word_leads_to_the_glossary_but_never_in_code_or_headings() -> None:
    text = "## A pod\n\n`pod` [pod](x.md)\n\n```\npod\n```\n\nPods and pods; podman."
    assert chapters.linked(text, ["pod"]) == text.replace("Pods and", "{term}`Pods <pod>` and")


def test_a_chapter_without_outputs_says_so_and_has_its_number() -> None:
    code = {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["wait()"]}
    made = chapters.chapter(book(code), terms=())
    assert "has not been run for this site yet" in made
    assert "# 42 Wait for it" in made


def test_text_and_picture_of_one_output_are_both_shown() -> None:
    output = {"output_type": "execute_result", "data": {"text/plain": ["2 of 2 GPUs"], "image/png": "AAAA"}}
    code = {"cell_type": "code", "metadata": {}, "outputs": [output], "source": []}
    made = chapters.chapter(book(code), terms=())
    assert "has not been run" not in made
    assert made.index("2 of 2 GPUs") < made.index("AAAA")
    assert '"alt": "2 of 2 GPUs"' in made


def test_the_glossary_explains_what_somebody_new_meets_first() -> None:
    terms = glossary_terms((ROOT / "docs/text/glossary.md").read_text("utf-8"))
    assert {"control plane", "node", "taint", "CIDR", "pod", "kubelet", "namespace", "chart"} <= set(terms)


def test_links_to_files_that_the_site_does_not_have_become_their_names() -> None:
    page = "See [a test](../tests/a.py), [there](https://example.org).\n\n```\n[x](../y)\n```\n\n[z](q.yaml)"
    assert without_files(page) == (
        "See a test (`tests/a.py`), [there](https://example.org).\n\n```\n[x](../y)\n```\n\nz (`q.yaml`)"
    )
    assert without_files("[`a.py`](../a.py), [01](01.ipynb)", keep=".ipynb") == "`a.py`, [01](01.ipynb)"
