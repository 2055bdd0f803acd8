"""The step of docs/adding.md on a real node: planned, done once, and looked at with OpenSSH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from node_outside import Outside

from docs.fences import module
from pic4ser_lib import engine
from pic4ser_lib.ports import SitePort
from pic4ser_lib.steps import Mode, Outcome

PAGE = Path(__file__).parents[2] / "docs/adding.md"


def outcome(port: SitePort, step: Any, mode: Mode) -> Outcome:
    ran = engine.run(port, [step], mode, tell=lambda line: None)
    assert ran.error is None, ran.error
    return ran.records[0].outcome


@pytest.fixture
def step(folder: str) -> Any:
    """The page's step, for a greeting in a folder of the tests'."""
    return module(PAGE, "pic4ser_lib/operations/motd.py").mentions("Ask first.", path=f"{folder}/motd")


def test_a_plan_changes_nothing(port: SitePort, outside: Outside, folder: str, step: Any) -> None:
    assert outcome(port, step, Mode.PLAN) is Outcome.PLANNED
    assert outside.run(f"ls -A {folder}") == ""


def test_the_line_is_added_once_and_what_others_wrote_stays(
    port: SitePort, outside: Outside, folder: str, step: Any
) -> None:
    outside.run(f"printf 'This is a node.' > {folder}/motd; chmod 600 {folder}/motd")
    assert outcome(port, step, Mode.APPLY) is Outcome.CHANGED
    assert outcome(port, step, Mode.APPLY) is Outcome.OK
    assert outside.run(f"stat -c %a {folder}/motd; cat {folder}/motd") == "600\nThis is a node.\nAsk first.\n"


def test_a_line_that_somebody_removed_is_noticed(port: SitePort, outside: Outside, folder: str, step: Any) -> None:
    assert outcome(port, step, Mode.APPLY) is Outcome.CHANGED
    outside.run(f"echo > {folder}/motd")
    assert outcome(port, step, Mode.PLAN) is Outcome.PLANNED
