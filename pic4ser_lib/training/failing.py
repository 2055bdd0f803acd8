"""Jobs that fail on purpose, each told by the worker's name and the cause."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pic4ser_lib import engine
from pic4ser_lib.errors import DeadlinePassed, StepFailed
from pic4ser_lib.operations import training_job
from pic4ser_lib.operations.training_job.specification import API, KIND, Job, failing, objects
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.progress import to_stderr
from pic4ser_lib.steps import Action, Apply, Delete, Mode, Outcome, Read, Record

if TYPE_CHECKING:
    from pic4ser_lib.binding import Nodes
    from pic4ser_lib.display import Table

NAMESPACE = "pic4ser-proof"
_GONE_WITHIN = 120.0
_STEP = "training.failures"


def failures(nodes: Nodes, job: Job) -> Table:
    """Jobs that fail on purpose, each told by the worker's name and the cause before its deadline.

    They live in namespace pic4ser-proof, and are removed whatever happens. Like every proof it is due when something
    was changed in this notebook, or when it is asked for. Raises StepFailed when a cause is not told.
    """
    stands_on = nodes.cluster.run(training_job.succeeded(job)).records[0]
    cases = failing(job, NAMESPACE)
    if nodes.bound.mode is not Mode.APPLY or not nodes.bound.must_prove:
        note = "not repeated: nothing was changed in this notebook"
        records = (replace(_proof(what, "", note=note), outcome=stands_on.outcome) for what in cases)
        return nodes.bound.keep_all(tuple(records))
    with _namespace(nodes):
        for one, _ in cases.values():
            _act(nodes, Apply(objects(one)))
        told = tuple(_diagnosed(nodes, what, *case) for what, case in cases.items())
    return nodes.bound.keep_all(told)


@contextlib.contextmanager
def _namespace(nodes: Nodes) -> Iterator[None]:
    """A namespace of proofs, gone before and afterwards."""
    _remove_namespace(nodes)
    labels = {"app.kubernetes.io/managed-by": "pic4ser"}
    _act(nodes, Apply(({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}},)))
    try:
        yield
    finally:
        _remove_namespace(nodes)


def _remove_namespace(nodes: Nodes) -> None:
    there = Read("v1", "Namespace", NAMESPACE)
    port = nodes.bound.ways.port(CLUSTER)
    if port.ask([there])[0] is None:
        return
    # Jobs before their namespace: their pods end at once instead of being looked for by its controller.
    for one in port.ask([Read(API, KIND, "", NAMESPACE)])[0] or ():
        _act(nodes, Delete(API, KIND, one["metadata"]["name"], NAMESPACE))
    _act(nodes, Delete("v1", "Namespace", NAMESPACE))
    within = _GONE_WITHIN * nodes.site.patience
    deadline = time.monotonic() + within
    while port.ask([there])[0] is not None:
        if time.monotonic() > deadline:
            raise DeadlinePassed(
                waiting_for=f"namespace {NAMESPACE} to be gone", seconds=within,
                remedy="kube-controller-manager does this: look at its pods in kube-system.",
            )  # fmt: skip
        to_stderr(f"{_STEP}: waits for namespace {NAMESPACE} to be gone")
        time.sleep(1.0)


def _diagnosed(nodes: Nodes, what: str, job: Job, words: tuple[str, ...]) -> Record:
    """Follow a job that cannot succeed until its cause is told. Raises StepFailed when it is not, or another is."""
    step, started = training_job.succeeded(job), time.monotonic()
    port = nodes.bound.ways.port(CLUSTER)
    ran = engine.run(port, [step], Mode.APPLY, tell=lambda text: to_stderr(f"{CLUSTER}: {text}"))
    told = ran.error.seen if isinstance(ran.error, StepFailed) else str(ran.error or "the job succeeded")
    if not all(word in told for word in words):
        raise StepFailed(
            node=CLUSTER, step=_STEP, wanted=f"{what} told with {', '.join(words)}", seen=told,
            remedy="What the proof created has been removed; run the cell again once the cause is gone.",
        )  # fmt: skip
    return _proof(what, told, seconds=time.monotonic() - started)


def _proof(what: str, told: str, *, seconds: float = 0.0, note: str = "") -> Record:
    wanted = f"{what} is told by the worker's name and the cause"
    return Record(CLUSTER, _STEP, wanted, Outcome.OK, seen=told, seconds=seconds, kind="proof", note=note)


def _act(nodes: Nodes, action: Action) -> None:
    nodes.bound.ways.port(CLUSTER).act(action)
