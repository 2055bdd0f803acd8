"""The one algorithm: plan, apply and verify over a small world that really changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from pic4ser_lib.engine import Clock, run
from pic4ser_lib.errors import CommandFailed, StepFailed, StepRefused
from pic4ser_lib.steps import (
    Action,
    Decision,
    Later,
    Mode,
    Outcome,
    Question,
    Raw,
    Record,
    Refused,
    Run,
    Settling,
    Shell,
    Step,
)


@dataclass
class World:
    """A port on a few switches: `turn on X` acts, a switch with a delay comes on by itself later."""

    on: set[str] = field(default_factory=set)
    delays: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    node: str = "kitt"

    def ask(self, questions: Sequence[Question]) -> list[Raw]:
        self.asked.append(tuple(q.script for q in questions if isinstance(q, Shell)))
        for name in [n for n, left in self.delays.items() if left >= 0 and f"turn on {n}" in self.done]:
            self.delays[name] -= 1
            if self.delays[name] < 0:
                self.on.add(name)
        return [self._state(q.script) for q in questions if isinstance(q, Shell)]

    def act(self, action: Action) -> None:
        assert isinstance(action, Run)
        self.done.append(action.command)
        name = action.command.removeprefix("turn on ")
        if name in self.broken:
            raise CommandFailed(node=self.node, command=action.command, exit=7, stderr_tail="sparks")
        if name not in self.delays:
            self.on.add(name)

    def _state(self, name: str) -> str:
        name = name.removeprefix("glance at ")
        return "on" if name in self.on else "started" if f"turn on {name}" in self.done else "off"


@dataclass(frozen=True)
class SwitchedOn(Step):
    switch: str
    needs: str = ""
    forbidden: bool = False
    settles_within: float = 0.0

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"switch.{self.switch}"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        return f"{self.switch} is on"

    def probe(self) -> tuple[Shell, ...]:
        return Shell(self.switch), Shell(self.needs or self.switch)

    def parse(self, raw: Raw) -> tuple[str, str]:
        return raw

    def actions(self, seen: tuple[str, str]) -> Decision:
        if self.forbidden:
            raise Refused(self.wanted, "a hand in the machine", "Take it out.")
        if seen[0] == "on":
            return []
        if self.needs and seen[1] != "on":
            return Later(self.needs)
        return (
            Settling("the lamp's warmth")
            if seen[0] == "started" and self.settles_within
            else [Run(f"turn on {self.switch}")]
        )


@dataclass(frozen=True)
class DearToAsk(SwitchedOn):
    """Of which a glance says as much while it is waited for."""

    def meanwhile(self) -> tuple[Shell, ...]:
        return (Shell(f"glance at {self.switch}"),)

    def missing(self, raw: tuple[Raw, ...]) -> str:
        return "" if raw[0] == "on" else "the lamp's light"


def ticking() -> Clock:
    time = [0.0]
    return Clock(now=lambda: time[0], sleep=lambda seconds: time.__setitem__(0, time[0] + seconds))


def outcomes(world: World, *steps: Step, mode: Mode) -> list[Outcome]:
    return [r.outcome for r in run(world, steps, mode, tell=lambda line: None, clock=ticking()).records]


@pytest.mark.parametrize(("takes", "rests"), [(0.0, 1.0), (0.4, 1.0), (4.0, 8.0)])
def test_who_takes_long_to_answer_is_left_two_thirds_of_the_time(takes: float, rests: float) -> None:
    time, slept = [0.0], list[float]()

    class Slow(World):
        def ask(self, questions: Sequence[Question]) -> list[Raw]:
            time[0] += takes
            return super().ask(questions)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time[0] += seconds

    world, clock = Slow(delays={"lamp": 3}), Clock(now=lambda: time[0], sleep=sleep)
    run(world, [SwitchedOn("lamp", settles_within=60)], Mode.APPLY, tell=lambda line: None, clock=clock)
    assert (world.on, set(slept)) == ({"lamp"}, {rests})


def test_a_converged_cell_asks_once_and_does_nothing() -> None:
    world = World(on={"lamp", "fan"})
    assert outcomes(world, SwitchedOn("lamp"), SwitchedOn("fan"), mode=Mode.APPLY) == [Outcome.OK, Outcome.OK]
    assert (len(world.asked), world.done) == (1, [])


def test_plan_prints_the_action_that_apply_takes() -> None:
    planned = run(World(), [SwitchedOn("lamp")], Mode.PLAN, tell=lambda line: None).records[0]
    applied = run(World(), [SwitchedOn("lamp")], Mode.APPLY, tell=lambda line: None).records[0]
    assert planned.actions == applied.actions == ("run: turn on lamp",)
    assert (planned.outcome, applied.outcome) == (Outcome.PLANNED, Outcome.CHANGED)


def test_plan_changes_nothing() -> None:
    world = World()
    outcomes(world, SwitchedOn("lamp"), mode=Mode.PLAN)
    assert world.done == []


def test_what_cannot_be_known_yet_is_unknown_in_a_plan_and_done_in_its_turn_by_apply() -> None:
    steps = SwitchedOn("mains"), SwitchedOn("lamp", needs="mains")
    assert outcomes(World(), *steps, mode=Mode.PLAN) == [Outcome.PLANNED, Outcome.UNKNOWN]
    assert outcomes(World(), *steps, mode=Mode.APPLY) == [Outcome.CHANGED, Outcome.CHANGED]


def test_later_that_never_comes_fails_and_names_what_it_needs() -> None:
    ran = run(World(), [SwitchedOn("lamp", needs="mains")], Mode.APPLY, tell=lambda line: None)
    assert isinstance(ran.error, StepFailed)
    assert "It needs mains first" in str(ran.error)


def test_apply_waits_for_what_settles() -> None:
    world = World(delays={"lamp": 3})
    assert outcomes(world, SwitchedOn("lamp", settles_within=10), mode=Mode.APPLY) == [Outcome.CHANGED]
    assert world.done == ["turn on lamp"]


def test_what_is_dear_to_ask_is_asked_before_and_after_the_wait_and_glanced_at_meanwhile() -> None:
    world, told = World(delays={"lamp": 4}), list[str]()
    ran = run(world, [DearToAsk("lamp", settles_within=60)], Mode.APPLY, tell=told.append, clock=ticking())
    full, glance = ("lamp", "lamp"), ("glance at lamp",)
    assert (ran.error, world.asked) == (None, [full, *[glance] * 5, full])
    assert "switch.lamp: waits for the lamp's light" in told


def test_after_a_glance_that_misses_what_is_missing_the_whole_question_decides() -> None:
    class Superficial(DearToAsk):
        def missing(self, raw: tuple[Raw, ...]) -> str:
            return ""

    world = World(delays={"lamp": 4})
    assert outcomes(world, Superficial("lamp", settles_within=60), mode=Mode.APPLY) == [Outcome.CHANGED]


def test_a_wait_by_glances_ends_at_the_deadline_with_the_whole_answer() -> None:
    world = World(delays={"lamp": 1000})
    error = run(world, [DearToAsk("lamp", settles_within=5)], Mode.APPLY, tell=lambda _: None, clock=ticking()).error
    assert isinstance(error, StepFailed)
    assert "the lamp's warmth" in str(error)
    assert len(world.asked) < 10


def test_a_verdict_takes_no_glance() -> None:
    world = World(on={"lamp"})
    assert outcomes(world, DearToAsk("lamp", settles_within=60), mode=Mode.VERIFY) == [Outcome.OK]
    assert outcomes(World(), DearToAsk("lamp", settles_within=60), mode=Mode.PLAN) == [Outcome.PLANNED]
    assert world.asked == [("lamp", "lamp")]


def test_actions_of_an_earlier_run_are_only_waited_for_and_are_no_change_of_this_one() -> None:
    world = World(delays={"lamp": 3}, done=["turn on lamp"])
    assert outcomes(world, SwitchedOn("lamp", settles_within=10), mode=Mode.APPLY) == [Outcome.OK]
    assert world.done == ["turn on lamp"]


class Flickering(World):
    """What an earlier run switched on goes out while it is waited for."""

    def ask(self, questions: Sequence[Question]) -> list[Raw]:
        if len(self.asked) == 1:
            self.done.clear()
        return super().ask(questions)


def test_what_does_not_come_about_by_itself_after_all_is_done_by_the_same_run() -> None:
    world = Flickering(delays={"lamp": 3}, done=["turn on lamp"])
    assert outcomes(world, SwitchedOn("lamp", settles_within=60), mode=Mode.APPLY) == [Outcome.CHANGED]
    assert world.done == ["turn on lamp"]


def test_a_deadline_says_what_is_missing() -> None:
    world = World(delays={"lamp": 99})
    ran = run(world, [SwitchedOn("lamp", settles_within=5)], Mode.APPLY, tell=lambda line: None, clock=ticking())
    assert "missing: the lamp's warmth" in str(ran.error)


def test_on_slow_machines_a_deadline_is_as_many_times_later() -> None:
    for patience, outcome in ((1.0, Outcome.FAILED), (3.0, Outcome.CHANGED)):
        world, clock = World(delays={"lamp": 12}), replace(ticking(), patience=patience)
        ran = run(world, [SwitchedOn("lamp", settles_within=5)], Mode.APPLY, tell=lambda line: None, clock=clock)
        assert [record.outcome for record in ran.records] == [outcome]


def test_verify_finds_every_drift_and_repairs_none() -> None:
    world = World(on={"fan"})
    steps = SwitchedOn("lamp"), SwitchedOn("fan"), SwitchedOn("heater")
    assert outcomes(world, *steps, mode=Mode.VERIFY) == [Outcome.FAILED, Outcome.OK, Outcome.FAILED]
    assert world.done == []


def test_apply_stops_at_a_failing_action_and_keeps_what_was_done() -> None:
    world = World(broken={"fan"})
    ran = run(world, [SwitchedOn("lamp"), SwitchedOn("fan"), SwitchedOn("heater")], Mode.APPLY, tell=lambda line: None)
    assert [r.outcome for r in ran.records] == [Outcome.CHANGED, Outcome.FAILED]
    assert str(ran.error) == f"{world.node}: {SwitchedOn('fan').name}: `turn on fan` ended with 7. It said: sparks"
    assert ran.records[1].actions == ("run: turn on fan",)


def test_a_refusal_names_node_step_wanted_seen_and_remedy() -> None:
    ran = run(World(), [SwitchedOn("lamp", forbidden=True)], Mode.APPLY, tell=lambda line: None)
    assert isinstance(ran.error, StepRefused)
    assert str(ran.error) == "kitt: switch.lamp: wanted lamp is on, saw a hand in the machine. Take it out."


def test_an_action_without_effect_is_a_failure_not_a_success() -> None:
    world = World(delays={"lamp": 99})
    ran = run(world, [SwitchedOn("lamp")], Mode.APPLY, tell=lambda line: None)
    assert isinstance(ran.error, StepFailed)
    assert "after its actions had been done" in str(ran.error)


def test_each_record_is_kept_as_soon_as_it_is_final() -> None:
    world, kept = World(broken={"fan"}), list[Record]()
    run(world, [SwitchedOn("lamp"), SwitchedOn("fan")], Mode.APPLY, tell=lambda line: None, keep=kept.append)
    assert [r.step for r in kept] == ["switch.lamp", "switch.fan"]


@pytest.mark.parametrize("mode", list(Mode))
def test_the_verified_sentence_is_the_same_in_every_mode(mode: Mode) -> None:
    record = run(World(on={"lamp"}), [SwitchedOn("lamp")], mode, tell=lambda line: None).records[0]
    assert (record.outcome, record.wanted) == (Outcome.OK, "lamp is on")
