"""An executed notebook gets its name only when it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.runbook.execution import put_in_place


@pytest.mark.parametrize(("written", "there"), [('{"cells": []}', True), ('{"cells": [', False), ("", False)])
def test_half_a_notebook_never_has_its_name(tmp_path: Path, written: str, there: bool) -> None:
    unfinished, target = tmp_path / ".01.7.ipynb", tmp_path / "01.ipynb"
    unfinished.write_text(written)
    put_in_place(unfinished, target)
    assert (target.exists(), unfinished.exists()) == (there, False)


def test_one_that_was_not_begun_leaves_nothing(tmp_path: Path) -> None:
    put_in_place(tmp_path / ".01.7.ipynb", tmp_path / "01.ipynb")
    assert list(tmp_path.iterdir()) == []
