"""The steps of a training job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pic4ser_lib.errors import StepFailed
from pic4ser_lib.operations.training_job.judging import Judgement, judged
from pic4ser_lib.operations.training_job.said import asked
from pic4ser_lib.operations.training_job.seen import Seen, cause, seen
from pic4ser_lib.operations.training_job.specification import API, KIND, Job, objects, selector, stamp
from pic4ser_lib.steps import Action, Apply, Decision, Delete, Later, Question, Read, Refused, Settling, Step

_CRD = Read("apiextensions.k8s.io/v1", "CustomResourceDefinition", "tfjobs.kubeflow.org")
_LATER = Later("the training operator", "notebook 10 installs it")
_REMEDY = "Mend the cause and run the cell again: the job is then submitted anew."


@dataclass(frozen=True)
class Kept:
    """The ConfigMap's script as the cluster has it."""

    data: dict[str, str] | None

    def __str__(self) -> str:
        return "no script" if self.data is None else f"a script of {sum(map(len, self.data.values()))} characters"


@dataclass(frozen=True)
class ScriptKept(Step):
    """The job's script is in the cluster."""

    job: Job = field(repr=False)
    name: str = "training_job.script_kept"
    wanted: str = ""

    def probe(self) -> Read:
        """The ConfigMap."""
        return Read("v1", "ConfigMap", self.job.config_map, self.job.namespace)

    def parse(self, raw: dict[str, Any] | None) -> Kept:
        """Its data."""
        return Kept(None if raw is None else raw.get("data") or {})

    def actions(self, seen: Kept) -> list[Action]:
        """Apply it where it differs."""
        wanted, _ = objects(self.job)
        return [] if seen.data == wanted["data"] else [Apply((wanted,))]


@dataclass(frozen=True)
class Submitted(Step):
    """The job is there with this very specification, and has not failed."""

    job: Job = field(repr=False)
    name: str = "training_job.submitted"
    wanted: str = ""

    def probe(self) -> tuple[Question, ...]:
        """The job, its pods, and whether the cluster knows such jobs at all."""
        job = self.job
        return Read(API, KIND, job.name, job.namespace), Read("v1", "Pod", "", job.namespace, selector(job)), _CRD

    def parse(self, raw: tuple[Any, ...]) -> Seen:
        """The job's state; its logs do not matter here."""
        tf_job, pods, crd = raw
        return seen(self.job, tf_job, pods, has_operator=crd is not None)

    def actions(self, seen: Seen) -> Decision:
        """Submit it; replace one that has ended and failed or was another; leave alone what runs."""
        if not seen.has_operator:
            return _LATER
        _, wanted = objects(self.job)
        if not seen.state:
            return [*self._without(seen), Apply((wanted,))]
        if seen.stamp == stamp(self.job) and seen.state != "Failed":
            return []
        if not seen.has_ended:
            other = f"a job of this name with another specification: {seen}"
            raise Refused(self.wanted, other, "Wait for it to end, or delete it, or give this one another name.")
        gone = Delete(API, KIND, self.job.name, self.job.namespace)
        return [gone, *self._without(seen), Apply((wanted,))]

    def _without(self, seen: Seen) -> list[Action]:
        """Pods of an earlier job of this name stand in the way of the new ones."""
        return [Delete("v1", "Pod", pod, self.job.namespace) for pod in seen.pods]


@dataclass(frozen=True)
class _Followed(Step):
    """Reads everything about the job: conditions, pods, nodes, logs."""

    job: Job = field(repr=False)

    def probe(self) -> tuple[Question, ...]:
        """The job, its pods, the nodes' GPUs, and the workers' logs."""
        return questions(self.job)

    def parse(self, raw: tuple[Any, ...]) -> Any:
        """The job as it is now."""
        tf_job, pods, nodes, logs = raw
        return seen(self.job, tf_job, pods, nodes, logs)


@dataclass(frozen=True)
class Succeeded(_Followed):
    """Every worker of the job has succeeded."""

    name: str = "training_job.succeeded"
    wanted: str = ""
    settles_within: float = 600.0

    def actions(self, seen: Seen) -> Decision:
        """Nothing but to wait and tell; a job that cannot succeed any more ends the waiting, by name and cause."""
        if seen.state == "Succeeded":
            return []
        if not seen.state:
            return Later("training_job.submitted", f"there is no job {self.job.name}")
        if why := cause(seen):
            raise StepFailed(node="cluster", step=self.name, wanted=self.wanted, seen=why, remedy=_REMEDY)
        return Settling("; ".join(map(str, seen.workers)))


@dataclass(frozen=True)
class Result:
    """The judgements of a job."""

    judgements: tuple[Judgement, ...]
    state: str

    def __str__(self) -> str:
        return "; ".join(map(str, self.judgements))


@dataclass(frozen=True)
class Proved(Step):
    """The result is what training on several machines promises."""

    job: Job = field(repr=False)
    alone: Job | None = field(default=None, repr=False)
    least_efficiency: float = 0.0
    name: str = "training_job.proved"
    wanted: str = ""

    def probe(self) -> tuple[Question, ...]:
        """The job, and the one that it is compared with."""
        return (*questions(self.job), *(questions(self.alone) if self.alone else ()))

    def parse(self, raw: tuple[Any, ...]) -> Result:
        """What both of them say, judged."""
        found = seen(self.job, *raw[:4])
        alone = seen(self.alone, *raw[4:]) if self.alone else None
        return Result(judged(self.job, found, alone=alone, least_efficiency=self.least_efficiency), found.state)

    def actions(self, seen: Result) -> Decision:
        """Nothing: a promise that was not kept is a failure."""
        if not seen.state:
            return Later("training_job.succeeded", f"there is no job {self.job.name}")
        if broken := [one for one in seen.judgements if not one.is_kept]:
            text = "; ".join(map(str, broken))
            raise StepFailed(node="cluster", step=self.name, wanted=self.wanted, seen=text, remedy=_REMEDY)
        return []


def script_kept(job: Job) -> ScriptKept:
    """The job's script is in the cluster, where its workers mount it."""
    return ScriptKept(job, wanted=f"the script of {job.name} is in the cluster")


def submitted(job: Job) -> Submitted:
    """The job is there with this very specification."""
    return Submitted(job, wanted=f"{job.name} is submitted: {job.size}")


def succeeded(job: Job) -> Succeeded:
    """Every worker has succeeded within the job's own time."""
    return Succeeded(job, wanted=f"{job.name} has succeeded on {job.size}", settles_within=job.within)


def proved(job: Job, alone: Job | None = None, *, least_efficiency: float = 0.0) -> Proved:
    """The result is right; with `alone`, one worker's job, also that several are worth it."""
    wanted = f"{job.name}: own nodes, right TF_CONFIG, falling loss, same weights"
    return Proved(job, alone, least_efficiency, wanted=wanted + (", throughput compared" if alone else ""))


def questions(job: Job) -> tuple[Question, ...]:
    """Everything about a job: its conditions, its pods, the nodes' GPUs, and the workers' logs."""
    pods = Read("v1", "Pod", "", job.namespace, selector(job))
    return Read(API, KIND, job.name, job.namespace), pods, Read("v1", "Node"), asked(job)
