"""Training as notebook 12 calls it: what is refused before anything is submitted, and what a result says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pic4ser_lib import site, training
from pic4ser_lib.errors import SiteError
from pic4ser_lib.operations.training_job import Job
from pic4ser_lib.operations.training_job.judging import Judgement
from pic4ser_lib.telemetry.fields import ENERGY, POWER, UTILISATION
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Point, Trace
from pic4ser_lib.training.judging import of_gpus, shown_of

ROOT = Path(__file__).parents[2]
JOB = Job("multi-worker", "registry.lab/tf:1", "print(1)")
KITT, BONNIE = Gpu("kitt", 0), Gpu("bonnie", 1)


@pytest.fixture
def nodes() -> Any:
    return SimpleNamespace(site=site.load(ROOT / "parameters/pic4ser"))


# ------------------------------------------------------------------------------------------------- describing


def test_a_job_has_the_sites_image_and_the_script_that_comes_with_the_library(nodes: Any) -> None:
    made = training.job(nodes, image="registry.lab/tf:1", workers=2)
    assert (made.workers, made.image) == (2, "registry.lab/tf:1")
    assert "MultiWorkerMirroredStrategy" in made.script


def test_a_script_of_ones_own_is_taken_from_where_one_stands(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "own.py").write_text("print('mine')")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert training.job(nodes, script="own.py", image="i").script == "print('mine')"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no worker": ({"workers": 0}, "workers: 0; a whole number, at least 1"),
    "a text, as papermill -r gives it": ({"epochs": "3"}, "epochs: '3'"),
    "half a batch": ({"batch_size": 1.5}, "batch_size: 1.5"),
    "yes": ({"workers": True}, "workers: True"),
    "GPUs below zero": ({"gpus_per_worker": -1}, "gpus_per_worker: -1; a whole number, at least 0"),
    "more workers than nodes": ({"workers": 3, "gpus_per_worker": 0}, "workers: 3; at most 2"),
    "more GPUs than two nodes have": ({"gpus_per_worker": 2}, "workers: 2; at most 1"),
    "no script": ({"script": "nowhere.py"}, "script: nowhere.py; a file"),
}


@pytest.mark.parametrize(("given", "text"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_before_anything_is_submitted(nodes: Any, given: dict[str, Any], text: str) -> None:
    with pytest.raises(SiteError) as caught:
        training.job(nodes, **{"image": "i", **given})
    assert text in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once(nodes: Any) -> None:
    with pytest.raises(SiteError) as caught:
        training.job(nodes, script="nowhere.py", epochs=0, batch_size=0, image="i")
    assert len(caught.value.problems) == 3


def test_control_planes_that_take_no_pods_train_nothing(nodes: Any) -> None:
    closed = SimpleNamespace(site=nodes.site.model_copy(update={"pods_on_control_planes": False}))
    with pytest.raises(SiteError, match="at most 0"):
        training.job(closed, image="i")


# ---------------------------------------------------------------------------------------------------- judging


def held(**busy: float) -> Telemetry:
    """Two pods that held a GPU each for 10 s; `busy` is the utilisation of each that was sampled."""
    gpus = {"kitt": KITT, "bonnie": BONNIE}
    points = {gpus[name]: tuple(Point(float(t), v, v, v) for t in range(10)) for name, v in busy.items()}
    watts = {gpu: tuple(Point(p.time, 100.0, 100.0, 100.0) for p in of) for gpu, of in points.items()}
    traces = {
        UTILISATION: {gpu: Trace(gpu, UTILISATION, of) for gpu, of in points.items()},
        POWER: {gpu: Trace(gpu, POWER, of) for gpu, of in watts.items()},
        ENERGY: {},
    }
    pods = {KITT: "multi-worker-worker-1", BONNIE: "multi-worker-worker-0"}
    holds = tuple(Hold(0.0, 9.0, gpu, Holder("default", pods[gpu])) for gpu in sorted(points))
    return Telemetry(0.0, 10.0, 5.0, tuple(sorted(points)), traces=traces, holds=holds)


BUSY: dict[str, tuple[Telemetry, bool, list[bool | None]]] = {
    "both were busy": (held(kitt=90, bonnie=80), True, [True, True]),
    "one did nothing": (held(kitt=90, bonnie=0), True, [False, True]),
    "one was not sampled": (held(kitt=90), True, [False, False]),
    "one was not sampled, long ago": (held(kitt=90), False, [False, False]),
    "nothing was sampled though it just ran": (held(), True, [False, False]),
    "nothing is left of a job of long ago": (held(), False, [None, None]),
}


@pytest.mark.parametrize(("found", "is_fresh", "kept"), BUSY.values(), ids=BUSY)
def test_the_gpus_of_a_job_are_judged_by_their_samples(
    found: Telemetry, is_fresh: bool, kept: list[bool | None]
) -> None:
    assert [one.is_kept for one in of_gpus(JOB, found, is_fresh=is_fresh)] == kept


def test_energy_is_told_by_pod() -> None:
    _, energy = of_gpus(JOB, held(kitt=90, bonnie=80), is_fresh=True)
    assert energy.evidence.startswith("0.000500 kWh: multi-worker-worker-")


def test_what_prometheus_forgot_is_told_and_fails_nothing() -> None:
    gone = tuple(of_gpus(JOB, held(), is_fresh=False))
    shown = shown_of(JOB, (Judgement("the job succeeded", True, "yes"), *gone), {})
    assert shown.broken == ()
    assert repr(shown).splitlines() == [
        "multi-worker  the job succeeded",
        "multi-worker  cannot be told any more: each GPU was busy while a pod of the job held it",
        "multi-worker  cannot be told any more: the energy that it used is known",
        "multi-worker  proved: 1 of 3 promises were kept, 2 cannot be told",
    ]
    assert "prometheus_storage" in shown.rows[1][2]


def test_a_result_reads_the_same_whatever_the_evidence() -> None:
    first, tenth = (
        shown_of(JOB, (Judgement("the loss fell", True, evidence),), {}) for evidence in ("from 2 to 1", "from 3 to 2")
    )
    assert repr(first) == repr(tenth) == "multi-worker  the loss fell\nmulti-worker  proved: 1 of 1 promises were kept"


def test_a_broken_promise_stands_in_the_result() -> None:
    shown = shown_of(JOB, (Judgement("the loss fell", False, "from 1 to 2"),), {})
    assert shown.broken == ("the loss fell", "proved: 0 of 1 promises were kept")
