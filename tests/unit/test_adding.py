"""docs/adding.md, done as it says in a copy of the repository, and judged by the tests that judge everything else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from docs.fences import fences, module, text_of
from pic4ser_lib import engine
from pic4ser_lib.runbook.notebook import runbook
from pic4ser_lib.steps import Action, Mode, Outcome, Question, Shell, WriteFile

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding.md"
MODULE, TABLE, NOTEBOOK = (
    "pic4ser_lib/operations/motd.py", "pic4ser_lib/__init__.py", "notebooks/13_greeting.ipynb",
)  # fmt: skip
COPIED = ("pic4ser_lib", "tests/unit", "notebooks", "parameters", "pyproject.toml", "conftest.py")


def written_notebook() -> nbformat.NotebookNode:
    """The page's cells as JupyterLab would save them, beside an existing notebook's metadata."""
    cells = [fence for fence in fences(PAGE) if fence.file == NOTEBOOK]
    (scope,) = (json.loads(fence.text) for fence in fences(PAGE) if fence.language == "json")
    like = nbformat.read(ROOT / "notebooks/04_taint_master_nodes.ipynb", as_version=4)
    book = new_notebook(metadata={**like.metadata, **scope})
    make = {"markdown": new_markdown_cell, "python": new_code_cell}
    book.cells = [make[cell.language](cell.text.rstrip("\n")) for cell in cells]
    parameters = next(cell for cell in book.cells if cell.cell_type == "code")
    parameters.metadata["tags"] = ["parameters"]
    return book


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after somebody did what the page says."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__", "local.yaml")
        shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
    for name in {fence.file for fence in fences(PAGE)} - {"", TABLE, NOTEBOOK}:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text_of(PAGE, name))
    _insert(folder / TABLE, before="}\n", text=text_of(PAGE, TABLE))
    _insert(
        folder / "tests/unit/test_notebooks.py", before="RUN = ", text=f"NOT_YET_RUN |= {{{Path(NOTEBOOK).stem!r}}}\n"
    )
    nbformat.write(written_notebook(), folder / NOTEBOOK)
    return folder


def _insert(path: Path, *, before: str, text: str) -> None:
    """Put text before the one line that begins so."""
    lines = path.read_text().splitlines(keepends=True)
    (place,) = (number for number, line in enumerate(lines) if line.startswith(before))
    path.write_text("".join([*lines[:place], text, *lines[place:]]))


def ran(copy: Path, *words: str) -> str:
    """What a module of Python printed in the copy; it has to end with 0."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=copy, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_steps_cases_and_the_notebook_pass_the_tests_of_all_others(copy: Path) -> None:
    tests = ("tests/unit/operations/test_cases.py", "tests/unit/test_notebooks.py", "tests/unit/test_doors.py")
    said = ran(copy, "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "motd or 13_greeting")
    cases = [fence for fence in fences(PAGE) if fence.language == "yaml"]
    assert int(said.split(" passed")[0].split()[-1]) > 3 * len(cases) + 10, said


def test_the_module_is_as_the_repository_wants_its_code(copy: Path) -> None:
    ran(copy, "ruff", "check", "--no-cache", MODULE)
    ran(copy, "ruff", "format", "--no-cache", "--check", MODULE)


def test_a_notebook_finds_the_step_and_the_batch_finds_the_notebook(copy: Path) -> None:
    assert ran(copy, "timeit", "-n1", "-r1", "from pic4ser_lib import motd; motd.mentions('x')")
    (book,) = runbook(copy / "notebooks", only=["13"])
    assert (book.name, book.per_node, book.parameters) == ("13_greeting", False, ("site", "node", "mode"))


class ThisMachine:
    """A port on files of this machine: its bash answers, and a file is really written."""

    node = "here"

    def ask(self, questions: list[Question]) -> list[str]:
        scripts = [question.script for question in questions if isinstance(question, Shell)]
        bash = ["bash", "-ec"]
        return [subprocess.run([*bash, s], capture_output=True, text=True, check=True).stdout for s in scripts]

    def act(self, action: Action) -> None:
        assert isinstance(action, WriteFile)
        assert isinstance(action.content, str)
        Path(action.path).write_text(action.content)


def test_the_step_is_planned_then_done_then_already_so(tmp_path: Path) -> None:
    path = tmp_path / "motd"
    step = module(PAGE, MODULE).mentions("Ask first.", path=str(path))
    path.write_text("This is kitt.")
    modes = (Mode.PLAN, Mode.APPLY, Mode.APPLY, Mode.VERIFY)
    ends = [engine.run(ThisMachine(), [step], mode, tell=print).records[0].outcome for mode in modes]
    assert ends == [Outcome.PLANNED, Outcome.CHANGED, Outcome.OK, Outcome.OK]
    assert path.read_text() == "This is kitt.\nAsk first.\n"
