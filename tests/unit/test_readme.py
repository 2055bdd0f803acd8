"""README as somebody meets it: its tables are today's, its commands exist, its links lead somewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from docs import readme
from docs.fences import fences
from pic4ser_lib.cli import pic4ser
from pic4ser_lib.runbook import summary
from pic4ser_lib.runbook.batch import Launch, Standing, State
from pic4ser_lib.runbook.notebook import PARAMETERS
from pic4ser_lib.runbook.walk import RunResult
from pic4ser_lib.steps import Mode

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
KERNEL = ["-k", "python3"]
DOCS = ("adding", "document", "kinds", "stand_ins")
PAGES = (README, *(ROOT / f"docs/{name}.md" for name in DOCS))
TARGETS = set(re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text()))
COMMANDS = [
    pytest.param(words, id=" ".join(words))
    for page in PAGES
    for fence in fences(page)
    if fence.language == "bash"
    for line in fence.text.splitlines()
    if (words := shlex.split(line, comments=True))
]
INLINE = re.findall(r"`((?:sudo )?(?:\.venv/bin/)?(?:pic4ser|make|python -m) [^`]+)`", README.read_text("utf-8"))


def exists(words: list[str]) -> bool:
    """Whether a command could be typed in this repository. Raises for an option or a target that is none."""
    match [word.removeprefix(".venv/bin/") for word in words]:
        case ["sudo", *rest]:
            return exists(rest)
        case ["make", target, *variables]:
            return target in TARGETS and all("=" in variable for variable in variables)
        case ["pic4ser", *arguments]:
            return _understood(arguments)
        case ["papermill", source, _, *options]:
            given = re.findall(r"-p (\w+) (\S+)", " ".join(options))
            return (ROOT / source).is_file() and {name for name, _ in given} <= PARAMETERS and options[:2] == KERNEL
        case ["cp", "-r", source, _]:
            return (ROOT / source).is_dir()
        case ["pip", "install", "."]:
            return (ROOT / "pyproject.toml").is_file()
        case ["python", "-m", "pytest", folder, *_]:
            return (ROOT / folder).is_dir()
        case ["python", "-m", module, *_]:
            return importlib.util.find_spec(module) is not None
    return False


def _understood(arguments: list[str]) -> bool:
    command: click.Command = pic4ser
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    return bool(command.make_context("README", list(arguments)))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_in_a_block_can_be_typed(words: list[str]) -> None:
    assert exists(words)


@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_a_sentence_can_be_typed(command: str) -> None:
    """A sentence may leave out what a command is about."""
    with contextlib.suppress(click.MissingParameter):
        assert exists(shlex.split(command))


@pytest.mark.parametrize(
    "words",
    [["make", "tea"], ["make", "test", "tea"], ["pic4ser", "rum"], ["python", "-m", "docs.nothing"], ["rm", "-r"]],
)
def test_what_cannot_be_typed_is_found(words: list[str]) -> None:
    try:
        assert not exists(words)
    except KeyError:
        assert words[0] == "pic4ser"


def test_the_generated_parts_are_what_the_generator_makes_now() -> None:
    text = README.read_text("utf-8")
    assert text == readme.with_parts(text), "run: python -m docs.readme"


@pytest.mark.parametrize("name", readme.pages())
def test_a_generated_page_is_what_the_generator_makes_now(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == readme.pages()[name], "run: python -m docs.readme"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", page.read_text("utf-8"))
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (page.parent / link.partition("#")[0]).exists()]


def test_readme_is_read_in_one_go() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 160


def test_every_notebook_is_in_the_table() -> None:
    text = README.read_text("utf-8")
    assert all(f"(notebooks/{path.name})" in text for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_every_entry_of_the_document_is_in_the_full_table_whole() -> None:
    lines = readme.document_page(readme.entries()).splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| `")]
    assert [len(row) for row in cells] == [4] * len(readme.entries())
    assert [row[0].strip(" `").replace(r"\|", "|") for row in cells] == [entry["text"] for entry in readme.entries()]


def _result(state: State) -> RunResult:
    launch = Launch("01_setup", "kitt", Path(), Path("runs/lab/1/n.ipynb"), Path("runs/lab/1/j.jsonl"))
    return RunResult("1", "lab", Mode.APPLY, Path("runs/lab/1"), 8.0, (Standing(launch, state, 8.0, error="kitt: x"),))


def said(state: State) -> str:
    """What `make rehearse` prints, from make's own line to the next command."""
    result = _result(state)
    ended = summary.last_lines(result, site="parameters/lab", seal="")
    return "\n".join(["pic4ser run parameters/lab", "bonnie  running", "", *summary.overview(result), *ended, ""])


def test_the_end_of_a_run_is_taken_whole_and_nothing_before_it() -> None:
    lines = readme.last_lines(said(State.DONE)).splitlines()
    assert lines[0].startswith("Took ")
    assert lines[-1] == "Next: pic4ser verify parameters/lab"


@pytest.mark.parametrize("output", ["", "bonnie  running\n", said(State.FAILED), said(State.STOPPED)[:-30]])
def test_what_is_not_the_end_of_a_good_run_is_not_taken(output: str) -> None:
    assert readme.last_lines(output) == ""


def test_what_stands_for_a_run_is_one_or_says_that_there_is_none() -> None:
    text = README.read_text("utf-8").split("<!-- rehearse:begin -->\n")[1].split("<!-- rehearse:end -->")[0]
    block = text.removeprefix("```\n").removesuffix("\n```\n")
    assert block == text or (block.startswith("Took ") and "\nNext: pic4ser verify parameters/lab" in block)


def test_a_part_is_replaced_between_its_marks_only() -> None:
    page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n"
    assert readme.filled(page, "x", "new\n") == "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n"
    with pytest.raises(ValueError, match="y: its two marks"):
        readme.filled(page, "y", "new")


def test_every_stand_in_is_named_and_its_page_says_what_it_does_not_prove() -> None:
    text, page = README.read_text("utf-8"), (ROOT / "docs/stand_ins.md").read_text("utf-8")
    for each in readme.stand_ins():
        assert " ".join(each["instead_of"].split()) in text
        assert " ".join(each["does_not_prove"].split()) in page
