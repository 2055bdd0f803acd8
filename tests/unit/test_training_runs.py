"""A training's life against a cluster that plays its part in memory: begun once, stopped when it must be, no rest left.

It keeps what it is told and shows the states that a case gives to a job; it judges nothing.
"""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pic4ser_lib import site, training
from pic4ser_lib.binding import Nodes
from pic4ser_lib.bound import Bound
from pic4ser_lib.errors import StepFailed
from pic4ser_lib.host.parallel import current_stop
from pic4ser_lib.journal import Journal
from pic4ser_lib.operations.training_job import Job
from pic4ser_lib.steps import Action, Apply, Delete, Mode, Question, Raw, Read

ROOT = Path(__file__).parents[2]
JOB = Job("multi-worker", "registry.lab/tf:1", "print(1)", gpus_per_worker=0)
CRD = {"metadata": {"name": "tfjobs.kubeflow.org"}}
NO_IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "no-such-tag"}}
CRASHED = {"terminated": {"exitCode": 3, "finishedAt": "2026-11-26T08:00:05Z"}}
UNPLACED = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}


def pod(job: str, index: int, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    shown = {"phase": "Pending", "containerStatuses": [{"state": state or {}}], **status}
    return {"metadata": {"name": f"{job}-worker-{index}"}, "spec": {"nodeName": "kitt"}, "status": shown}


@dataclass
class World:
    """The API, the logs, and all ways to them; `states` has a job's condition and pods, by its name."""

    states: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    held: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    on_look: Callable[[str], None] = lambda job: None
    learned: list[str] = field(default_factory=list)
    node: str = "cluster"
    lost: bool = False

    @property
    def hosts(self) -> dict[str, World]:
        return {"bonnie": self, "kitt": self}

    def know_password(self) -> None:
        """Nobody is asked here."""

    def port(self, name: str, session: object = None) -> World:
        return self

    def __exit__(self, *raised: object) -> None:
        """It is the site's lock, too."""

    def ask(self, questions: Sequence[Question]) -> list[Raw]:
        current_stop().check()
        job = next((q.name for q in questions if isinstance(q, Read) and q.kind == "TFJob"), "")
        if len(questions) == 4:
            self.on_look(job)
        return [self._one(q, job) for q in questions]

    def act(self, action: Action) -> None:
        match action:
            case Apply(objects=objects):
                for one in objects:
                    self.held[one["kind"], one["metadata"]["name"]] = one
                    self.did.append(f"apply {one['kind']} {one['metadata']['name']}")
            case Delete(kind=kind, name=name):
                self.did.append(f"delete {kind} {name}")
                self.held.pop((kind, name), None)

    def _one(self, question: Question, job: str) -> Raw:
        if not isinstance(question, Read):
            return self.logs.get(job, "")
        match question.kind:
            case "CustomResourceDefinition":
                return CRD
            case "Pod":
                return self.states.get(job, ("", []))[1] if ("TFJob", job) in self.held else []
            case "Node":
                return [{"status": {"allocatable": {"nvidia.com/gpu": "2"}}}]
            case "TFJob" if not question.name:
                jobs = [one for (kind, _), one in self.held.items() if kind == "TFJob"]
                return [one for one in jobs if one["metadata"]["namespace"] == question.namespace]
        one = self.held.get((question.kind, question.name))
        return {**one, "status": self._status(job)} if one and question.kind == "TFJob" else one

    def _status(self, job: str) -> dict[str, Any]:
        return {"conditions": [{"type": self.states.get(job, ("Created", []))[0], "status": "True"}]}


@pytest.fixture
def bound(tmp_path: Path) -> Callable[[World, Mode], Nodes]:
    numbers = itertools.count()

    def make(world: World, mode: Mode = Mode.APPLY) -> Nodes:
        where = site.load(ROOT / "parameters/pic4ser")
        ways: Any = world
        made = Bound(where, mode, ways, Journal(tmp_path / f"{next(numbers)}.jsonl"), "run", lock=ways)
        return Nodes(made, where.nodes)

    return make


Make = Callable[..., Nodes]


def succeeded(job: str = "multi-worker") -> dict[str, tuple[str, list[dict[str, Any]]]]:
    return {job: ("Succeeded", [pod(job, 0, phase="Succeeded"), pod(job, 1, phase="Succeeded")])}


def test_a_job_is_submitted_with_its_script_and_followed_to_its_end(bound: Make) -> None:
    world = World(succeeded())
    table = training.run(bound(world), JOB)
    assert world.did == ["apply ConfigMap multi-worker-script", "apply TFJob multi-worker"]
    assert "training_job.succeeded" in repr(table)


def test_what_has_succeeded_is_not_trained_again_and_reads_the_same(bound: Make) -> None:
    world = World(succeeded())
    first = training.run(bound(world), JOB)
    world.did.clear()
    assert repr(training.run(bound(world), JOB)) == repr(first)
    assert world.did == []


def test_an_interrupted_job_is_removed(bound: Make) -> None:
    world = World({"multi-worker": ("Running", [pod("multi-worker", 0, phase="Running")])})
    looks: list[str] = []

    def interrupt(job: str) -> None:
        looks.append(job)
        if len(looks) == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.on_look = interrupt
    with pytest.raises(KeyboardInterrupt):
        training.run(bound(world), JOB)
    assert world.did[-1] == "delete TFJob multi-worker"


def test_a_job_that_cannot_start_is_removed_and_its_cause_told(bound: Make) -> None:
    world = World({"multi-worker": ("Created", [pod("multi-worker", 0, NO_IMAGE)])})
    with pytest.raises(StepFailed, match="worker 0 on kitt: ImagePullBackOff"):
        training.run(bound(world), JOB)
    assert world.did[-1] == "delete TFJob multi-worker"


def test_a_job_that_crashed_stays_to_be_looked_at(bound: Make) -> None:
    world = World({"multi-worker": ("Running", [pod("multi-worker", 1, CRASHED, phase="Failed")])})
    with pytest.raises(StepFailed, match="worker 1 on kitt: exit code 3"):
        training.run(bound(world), JOB)
    assert world.did[-1] == "apply TFJob multi-worker"


def test_in_mode_verify_nothing_is_begun_and_nothing_removed(bound: Make) -> None:
    world = World({"multi-worker": ("Running", [pod("multi-worker", 0, phase="Running")])})
    nodes = bound(world, Mode.VERIFY)
    nodes.bound.lock = None
    with pytest.raises(StepFailed):
        training.run(nodes, JOB)
    assert world.did == []


@pytest.mark.parametrize("look", [training.result, training.gpus])
def test_a_job_that_is_not_there_is_a_failure_but_in_mode_plan(bound: Make, look: Callable[..., Any]) -> None:
    with pytest.raises(StepFailed, match="wanted the job multi-worker, saw no such job"):
        look(bound(World(), Mode.VERIFY), JOB)
    assert "it needs the job multi-worker" in repr(look(bound(World(), Mode.PLAN), JOB))


def test_the_result_of_a_job_is_asked_for_again_at_the_notebooks_end(bound: Make) -> None:
    world = World(succeeded())
    nodes = bound(world)
    training.run(nodes, JOB)
    with pytest.raises(StepFailed, match=r"NO, 0 on kitt, 1 on kitt.*TFJob multi-worker"):
        training.result(nodes, JOB)


def test_of_a_job_without_gpus_there_is_no_telemetry(bound: Make) -> None:
    world = World(succeeded())
    nodes = bound(world)
    training.run(nodes, JOB)
    assert repr(training.gpus(nodes, JOB).power()) == "power  unknown: multi-worker asks for no GPUs"


# ---------------------------------------------------------------------------------------------------- failures

TOLD: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "no-such-image": ("Created", [pod("no-such-image", 1, NO_IMAGE)]),
    "crash-in-worker-1": ("Running", [pod("crash-in-worker-1", 1, CRASHED, phase="Failed")]),
    "too-many-gpus": ("Created", [pod("too-many-gpus", 0, **UNPLACED)]),
}
LOG = {"crash-in-worker-1": "[pod/crash-in-worker-1-worker-1/tensorflow] this worker fails on purpose\n"}


def test_failures_are_told_by_cause_once_and_leave_nothing(bound: Make) -> None:
    world = World({**succeeded(), **TOLD}, LOG)
    nodes = bound(world)
    training.run(nodes, JOB)
    first = training.failures(nodes, JOB)
    assert [record.seen.partition(":")[0] for record in first.records] == [
        "worker 1 on kitt", "worker 1 on kitt", "worker 0 on kitt",
    ]  # fmt: skip
    assert {name for kind, name in world.held if kind == "TFJob"} == {"multi-worker"}
    assert ("Namespace", "pic4ser-proof") not in world.held
    world.did.clear()
    assert repr(training.failures(bound(world), JOB)) == repr(first)
    assert world.did == []


def test_a_cause_that_is_not_told_is_a_failure_and_everything_is_removed_all_the_same(bound: Make) -> None:
    world = World({**succeeded(), **TOLD, "too-many-gpus": ("Succeeded", [])}, LOG)
    nodes = bound(world)
    training.run(nodes, JOB)
    with pytest.raises(StepFailed, match="more GPUs than any node has told with"):
        training.failures(nodes, JOB)
    assert ("Namespace", "pic4ser-proof") not in world.held


def test_a_notebook_without_steps_has_nothing_to_ask_again(bound: Make) -> None:
    assert repr(bound(World()).verify()) == "nothing is wanted of these nodes"
