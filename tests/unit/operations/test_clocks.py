"""Whether clocks agree, where asking takes time: an answer lies between asking and reading it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pic4ser_lib.operations.preflight_group import ClockAgrees, clock_agrees
from pic4ser_lib.site import load
from pic4ser_lib.site.schema import Dilation
from pic4ser_lib.steps import Refused, Shell

ASKED = 1_000_000.0


def _judged(took: float, **clocks: float) -> str:
    """What is found of nodes whose clocks showed this much more than the operator's did when it asked."""
    times = iter([*[ASKED] * len(clocks), ASKED + took])
    step = ClockAgrees(tuple(clocks), now=lambda: next(times))
    shown = zip(step.probe(), clocks.values(), strict=True)
    answers = tuple(_answer(question, ASKED + ahead) for question, ahead in shown)
    try:
        step.actions(step.parse(answers))
    except Refused as refusal:
        return refusal.seen
    return ""


def _answer(question: Shell, clock: float) -> str:
    return f"{question.script.partition(';')[0].removeprefix('echo ')}\nnode: {clock:.6f}\n"


def test_nodes_that_took_long_to_answer_are_not_apart_for_that() -> None:
    assert _judged(7.0, bonnie=2.3, kitt=6.0) == ""


def test_nodes_that_are_apart_by_more_than_the_way_are_refused() -> None:
    assert _judged(0.3, bonnie=0.1, kitt=3.0) == (
        "clocks 2.6 s apart (bonnie -0.2 to +0.1 s, kitt +2.7 to +3.0 s, against this machine)"
    )


@pytest.mark.parametrize("ahead", [-60.0, 60.0])
def test_a_node_a_minute_off_is_refused_however_slow_it_is(ahead: float) -> None:
    assert "apart" in _judged(20.0, bonnie=10.0, kitt=ahead)


@pytest.mark.parametrize(("ahead", "said"), [(30.0, "+23.0 to +30.0 s"), (-30.0, "-37.0 to -30.0 s")])
def test_nodes_that_agree_may_all_be_wrong(ahead: float, said: str) -> None:
    seen = _judged(7.0, bonnie=ahead, kitt=ahead)
    assert seen.startswith("the nodes agree, but not with this machine: ")
    assert said in seen


def test_one_node_agrees_with_itself() -> None:
    assert _judged(0.5, bonnie=0.2) == ""


def test_nodes_whose_time_is_slower_agree_with_what_it_is_there() -> None:
    site = load(Path(__file__).parents[3] / "parameters" / "pic4ser")
    began = time.time() - 4000
    slow = site.model_copy(update={"dilation": Dilation(since=began, times=4)})
    assert clock_agrees(slow).now() == pytest.approx(began + 1000, abs=60)
    assert clock_agrees(site).now() == pytest.approx(began + 4000, abs=60)
