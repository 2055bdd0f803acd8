"""Each file in cases/ is one folder with mistakes and the exact list of problems that loading it must report.

edits     file -> {text in base/: what stands there instead}, checked to be there
files     file -> its whole text; null: no such file
problems  [{at: file[:line], key, value, says: a part of `allowed`}], all of them, in the order reported;
          none: the folder is fine
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.site import load

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))


def folder_of(case: dict[str, Any], folder: Path) -> Path:
    shutil.copytree(HERE / "base", folder)
    for name, changes in case.get("edits", {}).items():
        text = (folder / name).read_text()
        for old, new in changes.items():
            assert old in text, f"base/{name} has no {old!r}"
            text = text.replace(old, new)
        (folder / name).write_text(text)
    for name, content in case.get("files", {}).items():
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
    return folder


def problems_of(folder: Path) -> tuple[Problem, ...]:
    try:
        load(folder, this_machine="this machine")
    except SiteError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_folder_with_mistakes_reports_exactly_these(file: Path, tmp_path: Path) -> None:
    case = YAML(typ="safe", pure=True).load(file.read_text())
    seen = problems_of(folder_of(case, tmp_path / "site"))
    wanted = case["problems"] or []
    brief = [(f"{p.file}:{p.line}" if p.line else p.file, p.key, p.value) for p in seen]
    assert brief == [(str(w["at"]), w.get("key", ""), w.get("value", "")) for w in wanted], "\n".join(map(str, seen))
    for problem, each in zip(seen, wanted, strict=True):
        assert each["says"] in problem.allowed


def test_a_case_has_a_comment_that_says_what_it_is_about() -> None:
    assert [file.name for file in CASES if not file.read_text().startswith("# ")] == []
