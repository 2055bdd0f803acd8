"""What a training job did, judged: its own lines, its pods, and the telemetry of the GPUs that it held."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pic4ser_lib.errors import StepFailed
from pic4ser_lib.operations import training_job
from pic4ser_lib.operations.training_job.judging import Judgement
from pic4ser_lib.operations.training_job.seen import Seen
from pic4ser_lib.operations.training_job.specification import Job
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.steps import Mode, Outcome, Record
from pic4ser_lib.telemetry.fields import UTILISATION
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.shown import Shown, Verdict, required, unknown
from pic4ser_lib.telemetry.views import Gpus
from pic4ser_lib.training.running import state

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from pic4ser_lib.binding import Nodes

_AROUND = 3.0
_STEP = "training.result"


def gpus(nodes: Nodes, job: Job) -> Gpus:
    """The GPUs that a job's pods held, while they held them; why there are none to see, if there are none.

    Raises StepFailed when there is no such job, but in mode plan.
    """
    found = _there(nodes, job)
    if found is None:
        return Gpus(None, f"it needs the job {job.name}")
    if not job.gpus_per_worker:
        return Gpus(None, f"{job.name} asks for no GPUs")
    held = _held(nodes, job, found)
    return Gpus(None, _gone(job)) if not held.gpus else Gpus(held)


def result(nodes: Nodes, job: Job, alone: Job | None = None, *, least_efficiency: float = 0.0) -> Shown:
    """One verdict on a job, with all that it rests on. Raises StepFailed unless every promise was kept.

    `alone` is the same job on one worker; with `least_efficiency` (1 is perfect) so much of its throughput has to be
    left to each of several workers.
    """
    found = _there(nodes, job)
    if found is None:
        return unknown(job.name, f"it needs the job {job.name}")
    other = _there(nodes, alone) if alone else None
    judgements = training_job.judged(job, found, alone=other, least_efficiency=least_efficiency)
    if job.gpus_per_worker:
        held = _held(nodes, job, found)
        judgements += tuple(of_gpus(job, held, is_fresh=nodes.bound.changed))
    runs = {job.name: found, **({alone.name: other} if alone and other else {})}
    shown = shown_of(job, judgements, runs)
    broken = "; ".join(str(one) for one in judgements if one.is_kept is False)
    if nodes.bound.mode is not Mode.PLAN:
        remedy = f"Mend the cause, delete TFJob {job.name} in namespace {job.namespace}, and run the notebook again."
        required(shown, step=_STEP, wanted="every promise kept", evidence=broken, remedy=remedy)
        proved = training_job.proved(job, alone, least_efficiency=least_efficiency)
        nodes.bound.remember({CLUSTER: [proved]})
        evidence = "; ".join(map(str, judgements))
        nodes.bound.keep_all((Record(CLUSTER, _STEP, proved.wanted, Outcome.OK, seen=evidence, kind="proof"),))
    return shown


def of_gpus(job: Job, held: Telemetry, *, is_fresh: bool) -> Iterator[Judgement]:
    """What the telemetry says of a job: its GPUs were busy, and used energy.

    Prometheus forgets: without any sample of a job that is not `is_fresh`, nobody can tell any more.
    """
    wanted = job.workers * job.gpus_per_worker
    busy = {gpu: one.high for gpu, one in held.summaries(UTILISATION).items() if one.samples}
    is_gone = not busy and not is_fresh
    loaded = [gpu for gpu, high in busy.items() if high > 0]
    said = ", ".join(f"{gpu} up to {high:.0f} %" for gpu, high in busy.items()) or _gone(job)
    promise = "each GPU was busy while a pod of the job held it"
    yield Judgement(promise, None if is_gone else len(loaded) == wanted, f"{len(loaded)} of {wanted}: {said}")
    used = held.used()
    known = {use.gpu for use in used if use.by_power.joules > 0}
    total = f"{sum(use.by_power.kwh for use in used):.6f} kWh"
    each = ", ".join(f"{use.holder.pod} {use.by_power.kwh:.6f} kWh" for use in used)
    evidence = f"{total}: {each}" if used else _gone(job)
    yield Judgement("the energy that it used is known", None if is_gone else len(known) == wanted, evidence)


def shown_of(job: Job, judgements: tuple[Judgement, ...], runs: dict[str, Seen]) -> Shown:
    """Judgements as a cell shows them: the promises as text, what shows each of them as a table, the losses drawn."""
    kept = sum(one.is_kept is True for one in judgements)
    lost = sum(one.is_kept is None for one in judgements)
    verdicts = [
        Verdict(True, f"cannot be told any more: {one.promise}", is_finding=True)
        if one.is_kept is None
        else Verdict(one.is_kept, one.promise)
        for one in judgements
    ]
    total = f"proved: {kept} of {len(judgements)} promises were kept" + (f", {lost} cannot be told" if lost else "")
    rows = tuple((one.promise, one.answer, one.evidence) for one in judgements)
    verdicts.append(Verdict(kept + lost == len(judgements), total))
    return Shown(job.name, tuple(verdicts), ("promise", "kept", "evidence"), rows, partial(_drawn, runs))


def _there(nodes: Nodes, job: Job) -> Seen | None:
    """The job as it is now; None in mode plan, as long as it is not there."""
    found = state(nodes, job)
    if found is None and nodes.bound.mode is not Mode.PLAN:
        raise StepFailed(
            node=CLUSTER, step=_STEP, wanted=f"the job {job.name}", seen="no such job",
            remedy="Run the notebook's cells in their order, in mode apply.",
        )  # fmt: skip
    return found


def _held(nodes: Nodes, job: Job, found: Seen) -> Telemetry:
    """The telemetry of the GPUs that the job's pods held; empty where Prometheus has none."""
    from pic4ser_lib import telemetry

    start, end = _span(found, nodes.site.now(time.time()))
    everywhere = replace(nodes, members=nodes.site.nodes)  # a job is the cluster's, whatever node was chosen
    around = telemetry.read(everywhere, minutes=(end - start + 2 * _AROUND) / 60, end=end + _AROUND)
    if around.seen is None:
        return Telemetry(start, end, 0.0, ())
    return around.seen.only(lambda holder: holder.namespace == job.namespace and holder.job == job.name)


def _span(found: Seen, now: float) -> tuple[float, float]:
    """From when to when it ran (until now, if it still does), in seconds since 1970."""
    start = _seconds(found.started) if found.started else now
    end = _seconds(found.completed) if found.completed else now
    return start, max(end, start + 1)


def _seconds(stamp: str) -> float:
    return float(calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")))


def _gone(job: Job) -> str:
    return (
        f"Prometheus has no samples of GPUs that {job.name} held; it keeps them for its retention, and only with "
        "monitoring.prometheus_storage when its pod moves"
    )


def _drawn(runs: dict[str, Seen]) -> Figure:
    from pic4ser_lib.telemetry.losses import losses

    return losses({name: found.workers[0].said.losses for name, found in runs.items() if found.workers})
