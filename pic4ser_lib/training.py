"""Training on several machines, as notebook 12 does it: describe a job, run it, look at it, and judge its result.

job = training.job(nodes, workers=2)       the script from training/, the image from the site's folder
training.run(nodes, job)                   submits and follows it; removes it when it is interrupted
training.gpus(nodes, job)                  its GPUs while it ran, as in notebook 11
training.result(nodes, job, alone)         one verdict with its evidence
training.failures(nodes, job)              jobs that fail on purpose are told apart by name and cause
"""

from __future__ import annotations

import calendar
import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import DeadlinePassed, PicError, Problem, SiteError, StepFailed
from pic4ser_lib.house import shared
from pic4ser_lib.operations import training_job
from pic4ser_lib.operations.training_job.judging import Judgement
from pic4ser_lib.operations.training_job.seen import Seen, seen
from pic4ser_lib.operations.training_job.specification import API, KIND, Job, failing, objects
from pic4ser_lib.operations.training_job.steps import questions
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.steps import Apply, Delete, Mode, Outcome, Read, Record
from pic4ser_lib.telemetry.shown import Shown, Verdict, unknown

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from pic4ser_lib.binding import Nodes
    from pic4ser_lib.display import Table
    from pic4ser_lib.telemetry import Gpus

SCRIPT = "training/multi_worker.py"
NAMESPACE = "pic4ser-proof"
_AROUND, _GONE_WITHIN = 3.0, 120.0


def job(
    nodes: Nodes, *, name: str = "multi-worker", script: str = SCRIPT, image: str = "", workers: int = 2,
    gpus_per_worker: int = 1, epochs: int = 3, batch_size: int = 64, steps_per_epoch: int = 100,
) -> Job:  # fmt: skip
    """A job for this site. `script` is tried from the working directory and each parent; `image` is the site's own
    unless given. Raises SiteError with everything that is wrong.
    """
    path = _found(script)
    chosen = image or nodes.site.sources.images.get("training", "")
    numbers = {"workers": workers, "epochs": epochs, "batch_size": batch_size, "steps_per_epoch": steps_per_epoch}
    wrong = [Problem("the job", key, str(n), "at least 1") for key, n in numbers.items() if n < 1]
    if gpus_per_worker < 0:
        wrong.append(Problem("the job", "gpus_per_worker", str(gpus_per_worker), "at least 0"))
    if path is None:
        wrong.append(Problem("the job", "script", script, "a file, from here or any folder above"))
    if not chosen:
        wrong.append(Problem("the job", "image", "", "an image with TensorFlow, here or as sources.images.training"))
    if wrong or path is None:
        raise SiteError(path="the training job", problems=tuple(wrong))
    return Job(
        name, chosen, path.read_text("utf-8"), workers=workers, gpus_per_worker=gpus_per_worker, epochs=epochs,
        batch_size=batch_size, steps_per_epoch=steps_per_epoch,
    )  # fmt: skip


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


def gpus(nodes: Nodes, job: Job) -> Gpus:
    """The GPUs that a job's pods held, while they held them."""
    from pic4ser_lib import telemetry

    state = _seen(nodes, job)
    span = _span(state) if state else None
    if span is None:
        return telemetry.Gpus(None, f"the job {job.name}")
    start, end = span
    found = telemetry.read(nodes, minutes=(end - start + 2 * _AROUND) / 60, end=end + _AROUND)
    return found.of(lambda holder: holder.namespace == job.namespace and holder.job == job.name)


def result(nodes: Nodes, job: Job, alone: Job | None = None, *, least_efficiency: float = 0.0) -> Shown:
    """One verdict on a job, with all that it rests on. Raises StepFailed unless every promise was kept."""
    state = _seen(nodes, job)
    if state is None or not state.state:
        return unknown(job.name, f"the job {job.name}")
    other = _seen(nodes, alone) if alone else None
    found = [
        *training_job.judged(job, state, alone=other, least_efficiency=least_efficiency),
        *_of_gpus(job, gpus(nodes, job)),
    ]
    kept = sum(one.is_kept for one in found)
    verdicts = [Verdict(one.is_kept, one.promise) for one in found]
    shown = Shown(
        job.name, (*verdicts, Verdict(kept == len(found), f"proved: {kept} of {len(found)} promises were kept")),
        ("promise", "kept", "evidence"), tuple((a.promise, "yes" if a.is_kept else "NO", a.evidence) for a in found),
        partial(_drawn, {job.name: state, **({alone.name: other} if alone and other else {})}),
    )  # fmt: skip
    if not shown.good and nodes.bound.mode is not Mode.PLAN:
        broken = "; ".join(str(one) for one in found if not one.is_kept)
        raise StepFailed(
            node=CLUSTER, step="training.result", wanted="every promise kept", seen=broken,
            remedy=f"Delete TFJob {job.name} in namespace {job.namespace} to train again.",
        )  # fmt: skip
    return shown


def failures(nodes: Nodes, job: Job) -> Table:
    """Jobs that fail on purpose, each told by the worker's name and the cause before its deadline.

    They live in namespace pic4ser-proof, and are removed whatever happens. Like every proof it is due when something
    was changed in this notebook, or when it is asked for. Raises StepFailed when a cause is not told.
    """
    nodes.cluster.run(training_job.succeeded(job))
    cases = failing(job, NAMESPACE)
    if nodes.bound.mode is not Mode.APPLY or not nodes.bound.must_prove:
        note = "not repeated: nothing was changed in this notebook"
        return nodes.bound.keep_all(tuple(_proof(what, "", note=note) for what in cases))
    with _namespace(nodes):
        for one, _ in cases.values():
            _act(nodes, Apply(objects(one)))
        records = tuple(_diagnosed(nodes, what, *case) for what, case in cases.items())
    return nodes.bound.keep_all(records)


# ------------------------------------------------------------------------------------------- looking


def _seen(nodes: Nodes, job: Job) -> Seen | None:
    """The job as it is now; None as long as there is no cluster."""
    from pic4ser_lib.steps import Later

    answers = nodes.bound.ways.port(CLUSTER).ask(questions(job))
    return None if any(isinstance(one, Later) for one in answers) else seen(job, *answers)


def _span(state: Seen) -> tuple[float, float] | None:
    """From when to when it ran, in seconds since 1970."""
    if not state.started or not state.completed:
        return None
    start, end = (calendar.timegm(time.strptime(t, "%Y-%m-%dT%H:%M:%SZ")) for t in (state.started, state.completed))
    return float(start), float(max(end, start + 1))


def _of_gpus(job: Job, found: Gpus) -> Iterator[Judgement]:
    """What the telemetry says of the job: its GPUs were busy, and used energy."""
    from pic4ser_lib.telemetry.fields import UTILISATION

    if not job.gpus_per_worker or found.seen is None:
        return
    wanted = job.workers * job.gpus_per_worker
    busy = {gpu: one.high for gpu, one in found.seen.summaries(UTILISATION).items() if one.samples}
    loaded = [gpu for gpu, high in busy.items() if high > 0]
    said = ", ".join(f"{gpu} up to {high:.0f} %" for gpu, high in busy.items()) or "no samples of its pods"
    yield Judgement(f"{wanted} GPUs were seen busy while its pods held them", len(loaded) == wanted, said)
    used = found.seen.used()
    kwh = sum(use.by_power.kwh for use in used)
    known = {use.gpu for use in used if use.by_power.joules > 0}
    evidence = f"{kwh:.6f} kWh, " + ", ".join(f"{use.holder.pod} {use.by_power.kwh:.6f} kWh" for use in used)
    yield Judgement("the energy that it used is known", len(known) == wanted, evidence)


def _drawn(states: dict[str, Seen]) -> Figure:
    from pic4ser_lib.telemetry.losses import losses

    return losses({name: state.workers[0].said.losses for name, state in states.items() if state.workers})


# -------------------------------------------------------------------------------------------- acting


def _act(nodes: Nodes, action: Apply | Delete) -> None:
    nodes.bound.ways.port(CLUSTER).act(action)


def _stop(nodes: Nodes, job: Job, *, even_crashed: bool) -> None:
    """Remove a job that still runs, if it is ours to remove: only who holds the site's lock began one."""
    if nodes.bound.lock is None:
        return
    try:
        state = _seen(nodes, job)
        if state is None or not state.state or state.has_ended:
            return
        if even_crashed or not any(worker.exit_code for worker in state.workers):
            _act(nodes, Delete(API, KIND, job.name, job.namespace))
            _tell(f"{job.name}: stopped and removed; its pods end now and give their GPUs back")
    except PicError as error:
        _tell(f"{job.name}: may still be there: {error} Delete TFJob {job.name} in namespace {job.namespace}.")


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
    deadline = time.monotonic() + _GONE_WITHIN
    while port.ask([there])[0] is not None:
        if time.monotonic() > deadline:
            raise DeadlinePassed(
                waiting_for=f"namespace {NAMESPACE} to be gone", seconds=_GONE_WITHIN,
                remedy="kube-controller-manager does this: look at its pods in kube-system.",
            )  # fmt: skip
        _tell(f"training.failures: waits for namespace {NAMESPACE} to be gone")
        time.sleep(1.0)


def _diagnosed(nodes: Nodes, what: str, job: Job, words: tuple[str, ...]) -> Record:
    """Follow a job that cannot succeed until its cause is told. Raises StepFailed when it is not, or another is."""
    from pic4ser_lib import engine

    step, started = training_job.succeeded(job), time.monotonic()
    port = nodes.bound.ways.port(CLUSTER)
    ran = engine.run(port, [step], Mode.APPLY, tell=lambda text: _tell(f"{CLUSTER}: {text}"))
    told = ran.error.seen if isinstance(ran.error, StepFailed) else str(ran.error or "the job succeeded")
    if not all(word in told for word in words):
        raise StepFailed(
            node=CLUSTER, step="training.failures", wanted=f"{what} told with {', '.join(words)}", seen=told,
            remedy="What the proof created has been removed; run the cell again once the cause is gone.",
        )  # fmt: skip
    return _proof(what, told, seconds=time.monotonic() - started)


def _proof(what: str, told: str, *, seconds: float = 0.0, note: str = "") -> Record:
    wanted = f"{what} is told by the worker's name and the cause"
    return Record(CLUSTER, "training.failures", wanted, Outcome.OK, seen=told, seconds=seconds, kind="proof", note=note)


def _found(script: str) -> Path | None:
    path = Path(script).expanduser()
    folders = [Path()] if path.is_absolute() else [Path.cwd(), *Path.cwd().parents, shared()]
    return next((folder / path for folder in folders if (folder / path).is_file()), None)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
