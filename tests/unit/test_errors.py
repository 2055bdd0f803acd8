"""Errors are part of the interface: sentences, and they travel between processes."""

from __future__ import annotations

import pickle

import pytest

from pic4ser_lib import errors
from pic4ser_lib.journal import JournalFailed

EXAMPLES: list[errors.PicError] = [
    errors.SiteError(path="parameters/x", problems=(errors.Problem("cluster.yaml", "a.b", "no", "a string", 3),)),
    errors.HostError(node="kitt", seen="no bash"),
    errors.Unreachable(node="kitt", address="192.0.2.2:22", seen="the host key changed", remedy="Compare it."),
    errors.CommandFailed(node="kitt", command="apt-get update", exit=100, stderr_tail="no space left"),
    errors.ClusterError(status=409, reason="Conflict", object="Node kitt"),
    errors.StepFailed(
        node="kitt", step="swap.off", wanted="no swap is active", seen="/swap.img", remedy="swapon --show"
    ),
    errors.StepRefused(node="kitt", step="kubeadm.joined", wanted="x", seen="y", remedy="z"),
    errors.DeadlinePassed(waiting_for="kitt Ready", seconds=30.0, last_seen="no network plugin"),
    errors.GroupFailed(results={"kitt": errors.HostError(node="kitt", seen="gone"), "bonnie": "done"}),
    errors.SiteBusy(site="lab", who="eva@desk", since="10:02"),
    errors.ConsentMissing(needed="the sudo password of kitt"),
    errors.ArtifactError(artifact="etcd", wanted="sha256 aa", seen="sha256 bb", remedy="Run it again."),
    errors.LabError(what="lab up", seen="2 GB of memory"),
    JournalFailed(path="runs/lab/journal.jsonl", seen="No space left on device"),
]


def _all_kinds(kind: type[errors.PicError]) -> set[type[errors.PicError]]:
    return {kind} | {deeper for sub in kind.__subclasses__() for deeper in _all_kinds(sub)}


def test_every_kind_of_error_has_an_example_here() -> None:
    assert {type(e) for e in EXAMPLES} == _all_kinds(errors.PicError) - {errors.PicError}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_survives_pickling_with_its_sentence(error: errors.PicError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))


def test_a_step_that_failed_reads_as_one_sentence_and_what_to_do() -> None:
    error = errors.StepFailed(
        node="kitt", step="swap.off", wanted="no swap is active", seen="/swap.img (2 GB).",
        remedy="Run swapon --show on kitt.",
    )  # fmt: skip
    assert str(error) == ("kitt: swap.off: wanted no swap is active, saw /swap.img (2 GB). Run swapon --show on kitt.")


def test_a_group_says_who_failed_and_who_is_done() -> None:
    text = str(errors.GroupFailed(results={"kitt": errors.HostError(node="kitt", seen="gone"), "bonnie": 1, "w1": 2}))
    assert text.startswith("1 of 3 nodes failed: kitt; done: bonnie, w1.")
    assert "kitt: gone" in text


def test_a_notebook_shows_the_sentence_and_no_traceback() -> None:
    assert errors.SiteBusy(site="lab", who="eva", since="10:02")._render_traceback_() == [
        "SiteBusy: lab: eva has been changing this site since 10:02."
    ]
