"""What is asked of a release while it is waited for says the same as the whole question does, but for logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_cases import load, raw_of, step_of

from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.packed import as_json
from pic4ser_lib.steps import Read, Settling

HERE = Path(__file__).parent / "charts"
LOG = ", its log ends:"
WAITED_FOR = sorted(path.stem for path in HERE.glob("released_*.yaml") if "settling" in load(path))


def answers(question: Read, said: dict[str, str]) -> list[Any]:
    """What the API would have said at the moment of the recorded answer."""
    listed = {"Pod": "pods", "Event": "events"}.get(question.kind, "workloads")
    every = (as_json(said[listed]) or {}).get("items", [])
    return [one for one in every if listed != "workloads" or one["kind"] == question.kind]


@pytest.mark.parametrize("name", [*WAITED_FOR, "released_already"])
def test_while_it_is_waited_for_the_same_is_missing(name: str) -> None:
    case = load(HERE / f"{name}.yaml")
    step = step_of(case)
    raw = raw_of(case, step, HERE)
    glance = [answers(question, marked(raw)) for question in step.meanwhile() if isinstance(question, Read)]
    decision = step.actions(step.parse(raw))
    whole = decision.missing if isinstance(decision, Settling) else ""
    if "another helm" in whole:
        whole = ""  # only the node knows of processes
    assert step.missing(tuple(glance)) == whole.partition(LOG)[0]


def test_there_are_releases_that_are_waited_for() -> None:
    assert len(WAITED_FOR) > 4
