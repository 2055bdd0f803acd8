"""A training job submitted and followed to its end, and stopped when it is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.errors import PicError, StepFailed
from pic4ser_lib.operations import training_job
from pic4ser_lib.operations.training_job.seen import Seen, seen
from pic4ser_lib.operations.training_job.specification import API, KIND, Job
from pic4ser_lib.operations.training_job.steps import questions
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.progress import to_stderr
from pic4ser_lib.steps import Delete, Later

if TYPE_CHECKING:
    from pic4ser_lib.binding import Nodes
    from pic4ser_lib.display import Table


def run(nodes: Nodes, job: Job) -> Table:
    """Submit a job and follow it to its end; a job with the same specification that has succeeded is left alone.

    Interrupted, or unable to succeed, it is stopped and removed, and its GPUs are free again; one that crashed stays,
    to be looked at. Raises StepFailed with the worker and the cause.
    """
    wanted = training_job.script_kept(job), training_job.submitted(job), training_job.succeeded(job)
    try:
        return nodes.cluster.run(*wanted)
    except KeyboardInterrupt:
        _stop(nodes, job, even_crashed=True)
        raise
    except StepFailed as error:
        if error.step == wanted[-1].name:
            _stop(nodes, job, even_crashed=False)
        raise


def state(nodes: Nodes, job: Job) -> Seen | None:
    """The job as it is now; None as long as there is no cluster, or no such job."""
    answers = nodes.bound.ways.port(CLUSTER).ask(questions(job))
    if any(isinstance(one, Later) for one in answers):
        return None
    found = seen(job, *answers)
    return found if found.state else None


def _stop(nodes: Nodes, job: Job, *, even_crashed: bool) -> None:
    """Remove a job that still runs, if it is ours to remove: only who holds the site's lock began one."""
    if nodes.bound.lock is None:
        return
    try:
        found = state(nodes, job)
        if found is None or found.has_ended:
            return
        if even_crashed or not any(worker.exit_code for worker in found.workers):
            nodes.bound.ways.port(CLUSTER).act(Delete(API, KIND, job.name, job.namespace))
            to_stderr(f"{job.name}: stopped and removed; its pods end now and give their GPUs back")
    except PicError as error:
        to_stderr(f"{job.name}: may still be there: {error} Delete TFJob {job.name} in namespace {job.namespace}.")
