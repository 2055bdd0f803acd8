"""Whether a job that succeeded did what training on several machines promises: verdicts, each with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from pic4ser_lib.operations.training_job.seen import Seen, Worker
from pic4ser_lib.operations.training_job.specification import PORT, Job


@dataclass(frozen=True)
class Judgement:
    """One promise, whether it was kept, and what shows it. `promise` is the same on every run; `evidence` is not.

    `is_kept` is None where the evidence is gone, so that nobody can tell any more.
    """

    promise: str
    is_kept: bool | None
    evidence: str

    @property
    def answer(self) -> str:
        """Yes, no, or that nobody can tell."""
        return {True: "yes", False: "NO", None: "unknown"}[self.is_kept]

    def __str__(self) -> str:
        return f"{self.promise}: {'' if self.is_kept else f'{self.answer}, '}{self.evidence}"


def judged(job: Job, found: Seen, *, alone: Seen | None = None, least_efficiency: float = 0.0) -> tuple[Judgement, ...]:
    """All judgements of a job; with `alone`, the same job on one worker, also how well it scales."""
    return tuple(_judgements(job, found, alone, least_efficiency))


def throughput(found: Seen) -> float:
    """Examples a second over all workers: the median of the epochs, without the first where there are more."""
    rates = found.workers[0].said.rates if found.workers else ()
    return median(rates[1:] or rates) if rates else 0.0


def efficiency(together: Seen, alone: Seen) -> float:
    """How much of what a worker does alone it does together with the others; 1 is perfect. 0 when not known."""
    one = throughput(alone)
    return throughput(together) / (one * len(together.workers)) if one else 0.0


def _judgements(job: Job, found: Seen, alone: Seen | None, least: float) -> Iterator[Judgement]:
    workers = found.workers
    many = f"{job.workers} workers" if job.workers > 1 else "1 worker"
    yield Judgement(
        "the job succeeded", found.state == "Succeeded", f"{found.state or 'no such job'} {found.message}".strip()
    )
    places = [worker.node for worker in workers]
    apart = len(set(filter(None, places))) == job.workers
    yield Judgement(
        f"{many} ran, each on a node of its own", apart, ", ".join(f"{w.index} on {w.node or '?'}" for w in workers)
    )
    wrong = [w for w in workers if not _is_told_right(job, w)]
    yield Judgement(
        "TF_CONFIG told each worker who it is and who the others are", not wrong,
        "; ".join(f"worker {w.index} was told {w.said.tf_config}" for w in wrong) or _told(job),
    )  # fmt: skip
    yield _fell(workers)
    sums = {w.said.weights for w in workers}
    same_losses = len({w.said.losses for w in workers}) == 1
    yield Judgement(
        "all workers saw the same losses and ended with the same weights",
        len(sums) == 1 and "" not in sums and same_losses,
        f"SHA-256 of the weights: {', '.join(sorted(s[:16] or 'none' for s in sums))}"
        + ("" if same_losses else "; their losses differ"),
    )  # fmt: skip
    if alone is not None:
        reached = efficiency(found, alone)
        rates = f"{throughput(found):.0f} examples a second against {throughput(alone):.0f} of one worker"
        promise = "the throughput is known, alone and together"
        if least:
            promise = f"a worker keeps at least {least:.0%} of the throughput it has alone"
        yield Judgement(promise, reached > 0 and reached >= least, f"scaling efficiency {reached:.0%}: {rates}")


def _is_told_right(job: Job, worker: Worker) -> bool:
    """One worker alone is told nothing; of several, each is told all addresses in order and its own number."""
    told = worker.said.tf_config
    if told is None or job.workers == 1:
        return told == {}
    match told:
        case {"cluster": {"worker": [*addresses]}, "task": {"type": "worker", "index": index}}:
            begin = [f"{job.pod(i)}.{job.namespace}.svc" for i in range(job.workers)]
            return str(index) == str(worker.index) and len(addresses) == job.workers and all(
                str(a).startswith(b) and str(a).endswith(f":{PORT}") for a, b in zip(addresses, begin, strict=True)
            )  # fmt: skip
    return False


def _told(job: Job) -> str:
    return "one worker needs none" if job.workers == 1 else f"{job.workers} addresses and its own index each"


def _fell(workers: tuple[Worker, ...]) -> Judgement:
    """The mean of the last three reported losses is below the first one: a single loss jumps up and down."""
    ends = [(w.said.losses[0][1], _last(w)) for w in workers if len(w.said.losses) > 1]
    fell = len(ends) == len(workers) and all(last < first for first, last in ends)
    return Judgement(
        "the loss fell", fell, "; ".join(f"from {a:.4f} to {b:.4f}" for a, b in dict.fromkeys(ends)) or "no losses"
    )


def _last(worker: Worker) -> float:
    losses = [loss for _, loss in worker.said.losses[-3:]]
    return sum(losses) / len(losses)
