"""What is read from a real Prometheus, against series whose every sample is known: sums to the last digit."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from samples import CLOCK, ENERGY, FB, POWER, REASONS, START, TEMP, UTIL, XID, Known, Started, known

from pic4ser_lib.errors import ClusterError
from pic4ser_lib.telemetry import fields, planning
from pic4ser_lib.telemetry.prometheus import Prometheus
from pic4ser_lib.telemetry.reading import asked
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Holder

LENGTH = 600
KITT, BONNIE = Gpu("kitt", 0), Gpu("bonnie", 0)
# The exporter of kitt is an old one (Hostname), that of bonnie a new one (hostname); both have a GPU 0.
OLD = {"Hostname": "kitt", "gpu": "0", "UUID": "GPU-k", "modelName": "A", "instance": "10.0.0.1:9400"}
NEW = {"hostname": "bonnie", "gpu": "0", "UUID": "GPU-b", "modelName": "B", "instance": "10.0.0.2:9400"}
EXPORTER = {"pod": "dcgm-exporter-x", "namespace": "nvidia-exporter", "container": "exporter"}
JOB = {"exported_pod": "train-worker-0", "exported_namespace": "default", "exported_container": "tensorflow"}
# Seconds at which kitt was not sampled: a short gap of 5 s, and one of 41 s in which its exporter restarted.
LOST = {*range(101, 105), *range(301, 341)}


def watts(t: int) -> Decimal:
    return Decimal("61.7") + Decimal(t % 97) / Decimal(8) + (Decimal("0.1") if t % 3 else 0)


def kitt() -> list[Known]:
    """Restarted at 301: from then on another instance, whose energy counter begins at zero."""
    seen = [t for t in range(1, LENGTH + 1) if t not in LOST]
    before, after = [t for t in seen if t < 301], [t for t in seen if t > 340]
    first, second = {**OLD, **EXPORTER}, {**OLD, **EXPORTER, "instance": "10.0.0.9:9400"}
    made = []
    for times, labels in ((before, first), (after, second)):
        made += [
            known(POWER, [(t, watts(t)) for t in times], **labels),
            known(UTIL, [(t, 0) for t in times], **labels),
            known(XID, [(t, 31 if 380 <= t < 400 else 0) for t in times], **labels),
        ]
    made.append(known(ENERGY, [(t, 5_000_000 + 61_000 * t) for t in before], **first))
    made.append(known(ENERGY, [(t, 61_000 * (t - 340)) for t in after], **second))
    return made


def bonnie() -> list[Known]:
    """Held by a training job from 201 to 400, which makes series of their own."""
    made = []
    for times, labels in (
        (range(1, 201), EXPORTER), (range(201, 401), {**EXPORTER, **JOB}), (range(401, LENGTH + 1), EXPORTER)
    ):  # fmt: skip
        is_held = "exported_pod" in labels
        made += [
            known(UTIL, [(t, 60 + t % 40 if is_held else 0) for t in times], **NEW, **labels),
            known(POWER, [(t, 200 + t % 7 if is_held else 50) for t in times], **NEW, **labels),
            known(FB, [(t, 2048 if is_held else 3) for t in times], **NEW, **labels),
            known(TEMP, [(t, 71 if is_held else 40) for t in times], **NEW, **labels),
            known(CLOCK, [(t, 1410 if is_held else 210) for t in times], **NEW, **labels),
            known(REASONS, [(t, 0x40 if 250 <= t < 260 else 0) for t in times], **NEW, **labels),
        ]
    return made


@pytest.fixture(scope="module")
def prometheus(prometheus_with: Started) -> Prometheus:
    return prometheus_with([*kitt(), *bonnie()])


@pytest.fixture(scope="module")
def seen(prometheus: Prometheus) -> Telemetry:
    missing = Gpu("rover", 0)
    return asked(prometheus, seconds=LENGTH, end=START + LENGTH, expected=[KITT, BONNIE, missing])


def exact_mean(values: list[Decimal]) -> float:
    return float(sum(map(Fraction, values), Fraction(0)) / len(values))


def test_two_nodes_with_a_gpu_0_each_are_two_gpus(seen: Telemetry) -> None:
    assert list(seen.of(fields.UTILISATION)) == [BONNIE, KITT]
    assert [(g.uuid, g.model) for g in seen.gpus] == [("GPU-b", "B"), ("GPU-k", "A"), ("", "")]


def test_a_gpu_that_was_not_sampled_has_a_summary_without_numbers(seen: Telemetry) -> None:
    empty = seen.summaries(fields.POWER)[Gpu("rover", 0)]
    assert empty.samples == 0
    assert math.isnan(empty.mean)


def test_every_sample_is_there_once_with_its_own_time(seen: Telemetry) -> None:
    points = seen.of(fields.POWER)[KITT].points
    assert [(p.time, p.value) for p in points] == [
        (START + t, float(watts(t))) for t in range(1, LENGTH + 1) if t not in LOST
    ]


def test_a_summary_is_right_to_the_last_digit(seen: Telemetry) -> None:
    values = [watts(t) for t in range(1, LENGTH + 1) if t not in LOST]
    found = seen.summaries(fields.POWER)[KITT]
    assert (found.low, found.high, found.samples) == (float(min(values)), float(max(values)), len(values))
    assert found.mean == pytest.approx(exact_mean(values), rel=1e-15)


def test_a_restart_of_the_exporter_is_one_gap_and_no_second_gpu(seen: Telemetry) -> None:
    found = seen.summaries(fields.POWER)[KITT]
    assert [(g.start - START, g.end - START) for g in found.gaps] == [(300, 341)]
    assert seen.summaries(fields.POWER)[BONNIE].gaps == ()


def test_a_gap_of_just_the_bound_is_none_and_a_smaller_bound_sees_it(prometheus: Prometheus) -> None:
    finer = asked(prometheus, seconds=LENGTH, end=START + LENGTH, longest_gap=4.9)
    assert [g.start - START for g in finer.summaries(fields.POWER)[KITT].gaps] == [100, 300]


@pytest.mark.parametrize(("end", "silent"), [(345, {KITT: 41}), (600, {}), (300, {})])
def test_a_restart_counts_as_long_as_it_is_recent(prometheus: Prometheus, end: int, silent: dict[Gpu, float]) -> None:
    found = asked(prometheus, seconds=200, end=START + end, lately=60)
    assert found.silences(fields.POWER) == silent


def test_power_and_counter_are_compared_without_the_restart(seen: Telemetry) -> None:
    by_power, by_counter = seen.compared()[KITT]
    assert by_counter == 61.0 * (599 - 41)
    assert by_power == seen.energies()[KITT][0].joules


def test_samples_that_stop_are_a_gap_up_to_the_end(prometheus: Prometheus) -> None:
    later = asked(prometheus, seconds=LENGTH, end=START + LENGTH + 90)
    assert [(g.start - START, g.seconds) for g in later.summaries(fields.UTILISATION)[BONNIE].gaps] == [(600, 90)]


def test_energy_by_power_leaves_gaps_out_and_says_how_long_they_are(seen: Telemetry) -> None:
    times = [t for t in range(1, LENGTH + 1) if t not in LOST]
    pairs = [(a, b) for a, b in itertools.pairwise(times) if b - a <= 5]
    joules = sum((Fraction(watts(a)) + Fraction(watts(b))) / 2 * (b - a) for a, b in pairs)
    by_power, _ = seen.energies()[KITT]
    assert by_power.joules == pytest.approx(float(joules), rel=1e-15)
    assert (by_power.seconds, by_power.unknown) == (599 - 41, 41)


def test_a_counter_that_begins_again_at_zero_loses_nothing(seen: Telemetry) -> None:
    _, by_counter = seen.energies()[KITT]
    assert by_counter is not None
    assert by_counter.joules == 61.0 * 299 + 61.0 * 260


def test_the_holder_of_a_gpu_is_the_job_and_not_the_exporter(seen: Telemetry) -> None:
    (hold,) = seen.holds
    assert (hold.gpu, hold.holder, hold.holder.job) == (BONNIE, Holder("default", "train-worker-0"), "train")
    assert (hold.start - START, hold.end - START) == (201, 400)


def test_a_jobs_energy_is_that_of_its_own_seconds(seen: Telemetry) -> None:
    (use,) = seen.used()
    joules = sum(Fraction(200 + a % 7 + 200 + (a + 1) % 7, 2) for a in range(201, 400))
    assert use.by_power.joules == float(joules)
    assert use.by_power.kwh == float(joules) / 3_600_000
    assert use.by_counter is None


def test_a_jobs_telemetry_has_its_samples_only(seen: Telemetry) -> None:
    own = seen.only(lambda holder: holder.job == "train")
    found = own.summaries(fields.UTILISATION)
    assert list(found) == [BONNIE]
    assert (found[BONNIE].samples, found[BONNIE].low) == (200, 60)
    assert found[BONNIE].mean == exact_mean([Decimal(60 + t % 40) for t in range(201, 401)])


def test_memory_is_in_gibibytes(seen: Telemetry) -> None:
    assert seen.summaries(fields.MEMORY)[BONNIE].high == 2.0


def test_an_idle_gpu_is_one_that_was_never_busy(seen: Telemetry) -> None:
    assert [idle.gpu for idle in seen.idle()] == [KITT]


def test_throttling_is_said_with_its_reason_and_time(seen: Telemetry) -> None:
    assert [(t.gpu, t.why, t.start - START, t.end - START) for t in seen.throttled()] == [
        (BONNIE, "heat (hardware)", 250, 259)
    ]


def test_an_xid_error_is_said_once_with_what_it_means(seen: Telemetry) -> None:
    (xid,) = seen.xids()
    assert (xid.gpu, xid.code, xid.since - START) == (KITT, 31, 380)
    assert "memory" in xid.meaning


# --------------------------------------------------------------------------------------------- long ranges


@pytest.fixture
def windows(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    """The same range read in windows of 10 s, in pieces, as a range of days would be."""
    monkeypatch.setattr(planning, "RAW_SAMPLES", 100)
    monkeypatch.setattr(planning, "WINDOWS", 60)
    monkeypatch.setattr(planning, "WINDOW_SAMPLES", 3000)
    return asked(prometheus, seconds=LENGTH, end=START + LENGTH, lately=5)


def test_what_was_lately_is_a_window_at_least(windows: Telemetry) -> None:
    assert windows.lately == 10
    assert windows.silences(fields.POWER) == {}


def test_windows_lose_no_sample(windows: Telemetry, seen: Telemetry) -> None:
    assert windows.step == 10
    for gpu, found in windows.summaries(fields.POWER).items():
        exact = seen.summaries(fields.POWER)[gpu]
        assert (found.samples, found.low, found.high) == (exact.samples, exact.low, exact.high)
        assert found.mean == pytest.approx(exact.mean, rel=1e-13)


def test_windows_without_samples_are_a_gap(windows: Telemetry) -> None:
    assert [(g.start - START, g.end - START) for g in windows.summaries(fields.POWER)[KITT].gaps] == [(300, 340)]


def test_energy_of_windows_is_that_of_their_samples(windows: Telemetry) -> None:
    by_power, by_counter = windows.energies()[BONNIE]
    assert by_power.joules == pytest.approx(50.0 * 400 + sum(200 + t % 7 for t in range(201, 401)), rel=1e-12)
    assert by_counter is None


def test_a_hold_in_windows_is_right_to_a_window(windows: Telemetry) -> None:
    (hold,) = windows.holds
    assert (hold.start - START, hold.end - START) == (205, 395)


# ---------------------------------------------------------------------------------------------- refusals


def test_a_query_that_prometheus_refuses_is_an_error_with_its_words(prometheus: Prometheus) -> None:
    with pytest.raises(ClusterError, match="exceeded maximum resolution of 11,000"):
        prometheus.over("vector(1)", start=START, end=START + planning.POINTS_LIMIT, step=0.5)


def test_a_server_that_is_away_is_an_error_with_a_remedy() -> None:
    from pic4ser_lib.telemetry.prometheus import direct

    with pytest.raises(ClusterError, match="Notebook 08"):
        direct("http://127.0.0.1:9").now()
