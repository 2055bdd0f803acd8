"""How steps are run: one algorithm for plan, apply and verify, on any port that can ask and act.

    plan     probe; say what would be done
    apply    probe; do it; probe again until nothing is left to do, or fail
    verify   probe; nothing may be left to do

The first probe of all steps travels in one question. A step after a change is asked again, because what was seen
before the change may no longer be so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pic4ser_lib.errors import CommandFailed, DeadlinePassed, PicError, StepFailed, StepRefused
from pic4ser_lib.pace import rest
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
    Settling,
    Step,
    describe,
    diff,
)

Tell = Callable[[str], None]


class Port(Protocol):
    """Where questions go and actions are done: a node, or the cluster."""

    @property
    def node(self) -> str:
        """The name that records carry."""

    def ask(self, questions: Sequence[Question]) -> list[Raw]:
        """All answers, in order; a Later in place of an answer that cannot be had yet."""

    def act(self, action: Action) -> None:
        """Do one action, or raise."""


@dataclass(frozen=True)
class Clock:
    """Time as the engine sees it; a test brings its own.

    `patience` is how many times longer than a step says its state may take to come about: a site's machines are slow.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    patience: float = 1.0


CLOCK = Clock()


@dataclass(frozen=True)
class Ran:
    """The records of a cell on one node, and the error that ended it, if one did."""

    records: tuple[Record, ...]
    error: PicError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return any(record.outcome is Outcome.CHANGED for record in self.records)


def run(
    port: Port,
    steps: Sequence[Step],
    mode: Mode,
    *,
    tell: Tell,
    keep: Callable[[Record], None] = lambda record: None,
    clock: Clock = CLOCK,
) -> Ran:
    """Run steps in their order. Apply stops at the first failure; plan and verify look at every step.

    `tell` gets a line whenever something begins; `keep` gets each record as soon as it is final. Raises nothing of
    ours: the first error is in the result, beside the records of what was done before it.
    """
    records: list[Record] = []
    first_error: PicError | None = None
    try:
        answers = _asked(port, steps)
    except PicError as error:
        keep(unasked := _failed(port.node, steps[0], error))
        return Ran((unasked,), error)
    changed = False
    for step, raw in zip(steps, answers, strict=True):
        tell(step.name)
        record, failure = _run_one(port, step, None if changed else raw, mode, tell, clock)
        keep(record)
        records.append(record)
        changed = changed or record.outcome is Outcome.CHANGED or bool(record.actions and mode is Mode.APPLY)
        first_error = first_error or failure
        if failure and mode is Mode.APPLY:
            break
    return Ran(tuple(records), first_error)


def _run_one(
    port: Port, step: Step, raw: Raw | None, mode: Mode, tell: Tell, clock: Clock
) -> tuple[Record, PicError | None]:
    started = clock.now()
    taken: list[Action] = []
    try:
        seen, decision = _judged(step, _asked(port, [step])[0] if raw is None else raw)
        record = _looked(port.node, step, seen, decision)
        if mode is not Mode.PLAN:
            seen = _reached(port, step, seen, decision, mode, taken, tell, clock)
            outcome = Outcome.CHANGED if taken else Outcome.OK
            record = replace(_looked(port.node, step, seen, []), outcome=outcome)
        error: PicError | None = None
    except Refused as refusal:
        error = _refused(port.node, step, refusal)
        record = _failed(port.node, step, error, Outcome.REFUSED)
    except PicError as problem:
        if isinstance(problem, CommandFailed):
            problem.step = step.name  # whoever ran the command did not know what for
        error, record = problem, _failed(port.node, step, problem)
    actions = taken or ([] if error or mode is not Mode.PLAN else _actions(decision))
    actions_told, diffs = _told(actions)
    return replace(record, seconds=clock.now() - started, actions=actions_told, diffs=diffs), error


def _reached(
    port: Port, step: Step, seen: Any, decision: Decision, mode: Mode, taken: list[Action], tell: Tell, clock: Clock
) -> Any:
    """What is seen once nothing is left to do; appends to `taken` what was done for it. Raises StepFailed."""
    if mode is Mode.VERIFY or isinstance(decision, Later):
        if _is_open(decision):
            raise _not_so(port.node, step, seen, decision)
        return seen
    within = step.settles_within * clock.patience
    _act(port, step, decision, taken, tell)
    deadline = clock.now() + within
    while taken or _is_open(decision):
        _settled(port, step, deadline, tell, clock)
        asked = clock.now()
        seen, decision = _judged(step, _asked(port, [step])[0])
        if not _is_open(decision):
            break
        if _actions(decision) and not taken:  # what was waited for came, and left something to do
            _act(port, step, decision, taken, tell)
            deadline = clock.now() + within
            continue
        if clock.now() >= deadline:
            raise _late(port.node, step, seen, decision, within)
        tell(f"{step.name}: waits for {_missing(decision)}")
        _rest(asked, deadline, clock)
    return seen


def _settled(port: Port, step: Step, deadline: float, tell: Tell, clock: Clock) -> None:
    """Returns when the step's cheap question finds nothing missing, at the deadline, or when there is no such one."""
    while (questions := step.meanwhile()) and clock.now() < deadline:
        asked = clock.now()
        answers = tuple(port.ask(questions))
        if any(isinstance(answer, Later) for answer in answers) or not (missing := step.missing(answers)):
            return
        tell(f"{step.name}: waits for {missing}")
        _rest(asked, deadline, clock)


def _rest(asked: float, deadline: float, clock: Clock) -> None:
    now = clock.now()
    clock.sleep(min(rest(now - asked, least=1.0), max(0.0, deadline - now)))


def _act(port: Port, step: Step, decision: Decision, taken: list[Action], tell: Tell) -> None:
    for action in _actions(decision):
        tell(f"{step.name}: {describe(action)}")
        taken.append(action)
        port.act(action)


def _asked(port: Port, steps: Sequence[Step]) -> list[Raw]:
    """One raw answer a step: a tuple where its probe is one, a Later where any part cannot be had yet."""
    probes = [step.probe() for step in steps]
    flat = [q for probe in probes for q in (probe if isinstance(probe, tuple) else (probe,))]
    answers = iter(port.ask(flat))
    raws: list[Raw] = []
    for probe in probes:
        parts = tuple(next(answers) for _ in (probe if isinstance(probe, tuple) else (probe,)))
        later = next((part for part in parts if isinstance(part, Later)), None)
        raws.append(later or (parts if isinstance(probe, tuple) else parts[0]))
    return raws


def _judged(step: Step, raw: Raw) -> tuple[Any, Decision]:
    if isinstance(raw, Later):
        return f"{raw.needs} is not there yet", raw
    seen = step.parse(raw)
    return seen, step.actions(seen)


def _is_open(decision: Decision) -> bool:
    return isinstance(decision, Later | Settling) or bool(decision)


def _actions(decision: Decision) -> list[Action]:
    return [] if isinstance(decision, Later | Settling) else list(decision)


def _missing(decision: Decision) -> str:
    match decision:
        case Settling(missing=missing):
            return missing
        case Later(needs=needs):
            return needs
        case _:
            return "; ".join(map(describe, decision))


def _looked(node: str, step: Step, seen: Any, decision: Decision) -> Record:
    note = str(getattr(seen, "note", ""))
    match decision:
        case Later(needs=needs, why=why):
            outcome, note = Outcome.UNKNOWN, f"needs {needs}" + (f": {why}" if why else "")
        case Settling(missing=missing):
            outcome, note = Outcome.UNKNOWN, f"waits for {missing}"
        case _:
            outcome = Outcome.PLANNED if decision else Outcome.OK
    return Record(node, step.name, step.wanted, outcome, seen=str(seen), note=note)


def _told(actions: Sequence[Action]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(describe, actions)), tuple(text for text in map(diff, actions) if text)


def _failed(node: str, step: Step, error: PicError, outcome: Outcome = Outcome.FAILED) -> Record:
    return Record(node, step.name, step.wanted, outcome, seen=getattr(error, "seen", ""), error=str(error))


def _refused(node: str, step: Step, refusal: Refused) -> StepRefused:
    return StepRefused(node=node, step=step.name, wanted=refusal.wanted, seen=refusal.seen, remedy=refusal.remedy)


def _not_so(node: str, step: Step, seen: Any, decision: Decision) -> StepFailed:
    text = str(seen) if not isinstance(decision, Settling) else f"{seen} (missing: {decision.missing})"
    remedy = "Run this notebook in mode apply to bring it about."
    if isinstance(decision, Later):
        remedy = f"It needs {decision.needs} first{f' ({decision.why})' if decision.why else ''}."
    return StepFailed(node=node, step=step.name, wanted=step.wanted, seen=text, remedy=remedy)


def _late(node: str, step: Step, seen: Any, decision: Decision, within: float) -> PicError:
    if within:
        last = f"{seen}; missing: {_missing(decision)}"
        waited = DeadlinePassed(waiting_for=step.wanted, seconds=within, last_seen=last)
        return StepFailed(
            node=node, step=step.name, wanted=step.wanted, seen=str(waited).rstrip("."),
            remedy="Look at what is missing, then run this cell again: it goes on from here.",
        )  # fmt: skip
    return StepFailed(
        node=node, step=step.name, wanted=step.wanted, seen=f"{seen}, after its actions had been done",
        remedy=f"Still to do: {_missing(decision)}. Run the cell in mode plan to see it in full.",
    )  # fmt: skip
