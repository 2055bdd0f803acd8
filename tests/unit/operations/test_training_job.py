"""A training job's evidence: what its workers say, garbage included, and each promise broken once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pic4ser_lib.operations.training_job import Job, judged
from pic4ser_lib.operations.training_job.judging import efficiency, throughput
from pic4ser_lib.operations.training_job.said import Said, said
from pic4ser_lib.operations.training_job.seen import Seen, Worker, cause
from pic4ser_lib.operations.training_job.specification import failing, stamp, tf_job

JOB = Job("multi-worker", "registry.lab/tf:1", "print(1)")
ADDRESSES = [f"multi-worker-worker-{i}.default.svc:2222" for i in (0, 1)]


def worker(index: int, node: str) -> Worker:
    told = {"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": index}}
    spoken = Said(told, ((1, 2.3), (20, 1.4), (40, 1.2)), (300.0, 900.0, 1000.0), 3, "ab" * 32)
    return Worker(index, spoken, "Succeeded", node)


GOOD = Seen("Succeeded", "", "", "", "", (worker(0, "bonnie"), worker(1, "kitt")))
ALONE = replace(GOOD, workers=(replace(worker(0, "kitt"), said=replace(worker(0, "").said, rates=(500.0, 700.0))),))


def with_said(index: int, **changes: Any) -> Seen:
    workers = list(GOOD.workers)
    workers[index] = replace(workers[index], said=replace(workers[index].said, **changes))
    return replace(GOOD, workers=tuple(workers))


def told(index: int, addresses: list[str], kind: str = "worker") -> dict[str, Any]:
    return {"cluster": {"worker": addresses}, "task": {"type": kind, "index": index}}


def broken(found: Seen, **more: Any) -> list[str]:
    return [f"{one.promise}: {one.evidence}" for one in judged(JOB, found, **more) if not one.is_kept]


def test_a_job_that_did_all_it_should_keeps_every_promise() -> None:
    assert broken(GOOD, alone=ALONE, least_efficiency=0.5) == []
    assert len(judged(JOB, GOOD, alone=ALONE)) == 6


ROSE = ((1, 1.0), (20, 1.5))
BREAKS: dict[str, tuple[Seen, str]] = {
    "it failed": (replace(GOOD, state="Failed", message="exit code 1"), "the job succeeded: Failed exit code 1"),
    "two workers on one node": (
        replace(GOOD, workers=(worker(0, "kitt"), worker(1, "kitt"))), "a node of its own: 0 on kitt, 1 on kitt"
    ),
    "nobody knows where": (replace(GOOD, workers=(worker(0, "kitt"), worker(1, ""))), "0 on kitt, 1 on ?"),
    "another index": (with_said(1, tf_config=told(0, ADDRESSES)), "TF_CONFIG told each worker"),
    "addresses in another order": (with_said(1, tf_config=told(1, ADDRESSES[::-1])), "TF_CONFIG told each worker"),
    "one address too few": (with_said(0, tf_config=told(0, ADDRESSES[:1])), "TF_CONFIG told each worker"),
    "another kind of task": (with_said(0, tf_config=told(0, ADDRESSES, "ps")), "TF_CONFIG told each worker"),
    "never told": (with_said(0, tf_config=None), "worker 0 was told None"),
    "the loss rose": (
        replace(GOOD, workers=tuple(replace(w, said=replace(w.said, losses=ROSE)) for w in GOOD.workers)),
        "the loss fell: from 1.0000 to 1.2500",
    ),
    "other losses": (with_said(1, losses=((1, 2.3), (20, 1.3), (40, 1.2))), "their losses differ"),
    "other weights": (with_said(1, weights="cd" * 32), "abababababababab, cdcdcdcdcdcdcdcd"),
    "no weights": (with_said(0, weights=""), "SHA-256 of the weights: abababababababab, none"),
}  # fmt: skip


@pytest.mark.parametrize(("found", "said_of_it"), BREAKS.values(), ids=BREAKS)
def test_a_broken_promise_is_told_with_its_evidence(found: Seen, said_of_it: str) -> None:
    (only,) = broken(found)
    assert said_of_it in only


def test_a_job_that_said_nothing_keeps_hardly_any_promise() -> None:
    silent = replace(GOOD, workers=tuple(replace(w, said=Said()) for w in GOOD.workers))
    assert [text.partition(":")[0] for text in broken(silent, alone=ALONE)] == [
        "TF_CONFIG told each worker who it is and who the others are", "the loss fell",
        "all workers saw the same losses and ended with the same weights",
        "the throughput is known, alone and together",
    ]  # fmt: skip


def test_the_first_epoch_does_not_count_for_the_throughput_where_there_are_more() -> None:
    assert throughput(GOOD) == 950.0
    assert throughput(ALONE) == 700.0
    assert efficiency(GOOD, ALONE) == pytest.approx(950 / 1400)


@pytest.mark.parametrize(("least", "is_kept"), [(0.0, True), (0.67, True), (0.7, False)])
def test_how_much_of_its_throughput_a_worker_keeps_is_judged_by_what_was_asked(least: float, is_kept: bool) -> None:
    *_, last = judged(JOB, GOOD, alone=ALONE, least_efficiency=least)
    assert last.is_kept is is_kept
    assert "68%: 950 examples a second against 700" in last.evidence


def test_one_worker_alone_is_told_nothing_about_others() -> None:
    one = replace(worker(0, "kitt"), said=replace(worker(0, "").said, tf_config={}))
    assert all(each.is_kept for each in judged(JOB.alone(), replace(GOOD, workers=(one,))))


# ---------------------------------------------------------------------------------------------------- logs


def line(index: int, event: object, prefix: str = "pic4ser ") -> str:
    text = event if isinstance(event, str) else json.dumps(event)
    return f"[pod/multi-worker-worker-{index}/tensorflow] {prefix}{text}\n"


def test_each_worker_is_heard_by_its_own_name_only() -> None:
    raw = line(1, {"event": "step", "step": 20, "loss": 0.5, "epoch": 1}) + line(7, {"event": "end"})
    first, second = said(JOB, raw)
    assert (first.losses, second.losses, second.epoch) == ((), ((20, 0.5),), 1)


GARBAGE = {
    "half a line": '{"event": "step", "ste',
    "no object": "[1, 2]",
    "a number": "3",
    "an event without its fields": '{"event": "step"}',
    "an end without weights": '{"event": "end"}',
    "an event nobody knows": '{"event": "holiday"}',
    "no event": "{}",
    "a loss that is a word": '{"event": "step", "step": 1, "loss": "high"}',
    "a step that is none": '{"event": "step", "step": null, "loss": 1.0}',
    "a rate that is a list": '{"event": "epoch", "epoch": 1, "examples_per_second": []}',
    "a TF_CONFIG that is a text": '{"event": "start", "tf_config": "x"}',
    "a task that is a text": '{"event": "start", "tf_config": {"cluster": {"worker": "x"}, "task": "x"}}',
    "an index that is a word": '{"event": "start", "tf_config": {"task": {"type": "worker", "index": "x"}}}',
    "NaN": '{"event": "step", "step": 1, "loss": NaN}',
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_what_a_script_of_somebody_elses_says_breaks_nothing(text: str) -> None:
    first, _ = said(JOB, line(0, text) + line(0, "Killed", prefix=""))
    assert first.last_line == "Killed"
    assert str(replace(worker(0, "kitt"), said=first, phase="Running"))
    assert broken(replace(GOOD, workers=(replace(worker(0, "kitt"), said=first), worker(1, "bonnie"))))


def test_lines_without_a_pods_name_are_nobodys() -> None:
    assert said(JOB, "Error from server\n\n[pod/x] a\n\x00\n") == (Said(), Said())


def test_of_a_long_log_the_last_lines_are_kept() -> None:
    first, _ = said(JOB, "".join(line(0, f"line {i}", prefix="") for i in range(50)))
    assert (first.tail[0], first.last_line) == ("line 38", "line 49")


# --------------------------------------------------------------------------------------------------- cause


def test_the_first_that_crashed_is_the_cause() -> None:
    late = replace(worker(0, "bonnie"), why="exit code 137", exit_code=137, finished="2026-11-26T08:00:31Z")
    early = replace(worker(1, "kitt"), why="exit code 3", exit_code=3, finished="2026-11-26T08:00:05Z")
    assert cause(replace(GOOD, state="Running", workers=(late, early))) == "worker 1 on kitt: exit code 3"


def test_a_job_that_failed_without_a_reason_is_said_to() -> None:
    assert cause(replace(GOOD, state="Failed", workers=())) == "the job failed: no reason given"
    assert cause(GOOD) == ""


# ------------------------------------------------------------------------------------------- specification

OTHERS: dict[str, Callable[[Job], Job]] = {
    "script": lambda job: replace(job, script="print(2)"),
    "image": lambda job: replace(job, image="registry.lab/tf:2"),
    "workers": lambda job: replace(job, workers=3),
    "GPUs": lambda job: replace(job, gpus_per_worker=2),
    "epochs": lambda job: replace(job, epochs=4),
    "batch size": lambda job: replace(job, batch_size=32),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_number_is_another_job(other: Callable[[Job], Job]) -> None:
    assert stamp(other(JOB)) != stamp(JOB)
    assert stamp(other(JOB)) == stamp(other(JOB))


def test_a_job_without_gpus_asks_for_none() -> None:
    (container,) = tf_job(replace(JOB, gpus_per_worker=0))["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"][
        "containers"
    ]
    assert "limits" not in container["resources"]


@pytest.mark.parametrize("image", ["tf", "tf:1", "registry.lab:5000/tf", "registry.lab:5000/tf:1"])
def test_the_image_that_does_not_exist_is_of_the_same_repository(image: str) -> None:
    wrong, words = failing(replace(JOB, image=image), "proof")["an image that does not exist"]
    assert wrong.image == ("registry.lab:5000/tf" if "/" in image else "tf") + ":no-such-tag"
    assert "no-such-tag" in words
    assert wrong.namespace == "proof"
