"""What a cell of notebook 11 says: the same on the first run and the tenth, and a failure when it is not so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from pic4ser_lib.engine import Clock
from pic4ser_lib.errors import StepFailed
from pic4ser_lib.telemetry.fields import ENERGY, POWER, TEMPERATURE, UTILISATION, XID, Field
from pic4ser_lib.telemetry.figures import lines
from pic4ser_lib.telemetry.layout import moment
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Point, Trace
from pic4ser_lib.telemetry.style import SPAN
from pic4ser_lib.telemetry.views import Gpus
from pic4ser_lib.telemetry.waiting import sampled

START, END, LATELY = 1000, 1900, 60.0
KITT, BONNIE = Gpu("kitt", 0), Gpu("bonnie", 0)
WHOLE = range(START, END + 1)
LAST_MINUTE = range(END - 60, END + 1)
RESTARTED = (*range(START, 1300), *range(1360, END + 1))
Times = Iterable[int]


def trace(gpu: Gpu, quantity: Field, times: Times, value: float) -> Trace:
    """A steady figure; a counter rises by `value` a second."""
    rising = quantity.is_counter
    values = [(float(t), value * (t - START) if rising else value) for t in times]
    return Trace(gpu, quantity, tuple(Point(t, v, v, v) for t, v in values))


def seen(times: Times = WHOLE, of: dict[Gpu, Times] | None = None, **figures: float) -> Telemetry:
    quantities = {"utilisation": UTILISATION, "power": POWER, "temperature": TEMPERATURE, "energy": ENERGY, "xid": XID}
    values = {"utilisation": 50.0, "power": 100.0, "temperature": 60.0, "energy": 100.0, "xid": 0.0} | figures
    spans = of if of is not None else {BONNIE: times, KITT: times}
    traces = {
        quantity: {gpu: trace(gpu, quantity, span, values[name]) for gpu, span in spans.items()}
        for name, quantity in quantities.items()
    }
    gpus = (BONNIE, KITT)
    return Telemetry(START, END, 5.0, gpus, gpus, traces=traces, lately=LATELY)


def cells(found: Telemetry) -> list[str]:
    gpus = Gpus(found, must=True)
    views = (gpus.overview, gpus.utilisation, gpus.power, gpus.temperature, gpus.energy, gpus.health)
    return [repr(view()) for view in views]


@pytest.mark.parametrize("times", [LAST_MINUTE, RESTARTED], ids=["began a minute ago", "restarted since"])
def test_the_first_run_and_the_tenth_read_the_same(times: Times) -> None:
    assert cells(seen(times)) == cells(seen())


def test_a_good_result_is_told_with_its_bounds() -> None:
    assert repr(Gpus(seen(), must=True).utilisation()) == (
        "utilisation  2 of 2 GPUs sampled, no gap over 5 s in the last 60 s\n"
        "utilisation  every sample is from 0 to 100 %"
    )


def test_where_samples_begin_is_told_beside_the_figure_and_gaps_are_counted_there() -> None:
    young = Gpus(seen(LAST_MINUTE)).utilisation()
    assert young.notes[0] == "Samples begin within the range: bonnie GPU 0 at 00:30:40, kitt GPU 0 at 00:30:40 (UTC)."
    restarted = Gpus(seen(RESTARTED)).utilisation()
    assert [row[-2:] for row in restarted.rows] == [("1", "61.0"), ("1", "61.0")]


SILENT: dict[str, tuple[Telemetry, str]] = {
    "one GPU is silent": (seen(of={BONNIE: WHOLE}), "1 of 2 GPUs sampled, no samples of kitt GPU 0"),
    "all are": (seen(of={}), "0 of 2 GPUs sampled, no samples of bonnie GPU 0, kitt GPU 0"),
    "one has stopped": (
        seen(of={BONNIE: WHOLE, KITT: range(START, END - 20)}),
        "2 of 2 GPUs sampled, gaps over 5 s in the last 60 s: kitt GPU 0 (21 s)",
    ),
    "one began just now": (seen(of={BONNIE: WHOLE, KITT: range(END - 10, END)}), "kitt GPU 0 (50 s)"),
    "one stopped long ago": (seen(of={BONNIE: WHOLE, KITT: range(START, START + 60)}), "kitt GPU 0 (60 s)"),
}


@pytest.mark.parametrize(("found", "text"), SILENT.values(), ids=SILENT)
def test_a_gpu_that_is_not_sampled_fails_every_cell_and_is_named(found: Telemetry, text: str) -> None:
    for view in (Gpus(found, must=True).overview, Gpus(found, must=True).power, Gpus(found, must=True).health):
        with pytest.raises(StepFailed) as caught:
            view()
        assert text in caught.value.seen
        assert "Notebook 09" in caught.value.remedy


def test_in_mode_plan_what_is_not_so_is_told_and_nothing_fails() -> None:
    assert repr(Gpus(seen(of={})).overview()).startswith("overview  NOT SO: 0 of 2 GPUs sampled")


def test_a_figure_that_cannot_be_is_a_failure() -> None:
    with pytest.raises(StepFailed, match="outside from 0 to 100 %"):
        Gpus(seen(utilisation=250.0), must=True).utilisation()


def test_heat_and_errors_of_programs_are_told_and_fail_nothing() -> None:
    hot = Gpus(seen(temperature=95.0, xid=31), must=True)
    assert "NOT SO: outside from 0 to 87 °C: bonnie GPU 0 (95 to 95)" in repr(hot.temperature())
    assert "NOT SO: XID errors: bonnie GPU 0: 31" in repr(hot.health())


def test_errors_that_nobody_collects_are_not_said_to_be_none() -> None:
    found = seen()
    blind = replace(found, traces={q: t for q, t in found.traces.items() if q is not XID})
    assert "XID errors are not collected" in repr(Gpus(blind).health())


def test_a_site_without_gpus_has_nothing_to_miss() -> None:
    nothing = Telemetry(START, END, 5.0, (), lately=LATELY)
    assert repr(Gpus(nothing, must=True).overview()) == "overview  no GPU is expected and none was sampled"


def test_of_a_job_the_figures_are_judged_whenever_it_ran() -> None:
    hold = Hold(1100.0, 1400.0, KITT, Holder("default", "train-worker-0"))
    job = Gpus(replace(seen(RESTARTED), holds=(hold,)), must=True).of(lambda holder: holder.job == "train")
    assert repr(job.utilisation()).splitlines()[0] == "utilisation  1 of 1 GPUs sampled"


def test_a_gpu_keeps_its_colour_where_others_are_left_out() -> None:
    hold = Hold(1100.0, 1400.0, KITT, Holder("default", "train-worker-0"))
    job = replace(seen(), holds=(hold,)).only(lambda holder: holder.job == "train")
    of_job, of_all = (lines(one, UTILISATION).data for one in (job, seen()))
    colours = {line.name: line.line.color for line in of_all}
    assert [(line.name, line.line.color) for line in of_job] == [("kitt GPU 0", colours["kitt GPU 0"])]
    assert len(set(colours.values())) == 2


def test_a_job_that_came_back_has_a_span_for_each_time() -> None:
    worker = Holder("default", "job-worker-0")
    holds = tuple(Hold(start, end, KITT, worker) for start, end in ((1100, 1200), (1201, 1250), (1400, 1500)))
    figure = lines(replace(seen(), holds=holds), UTILISATION)
    grey = [shape for shape in figure.layout.shapes if shape.fillcolor == SPAN]
    wanted = [(moment(start), moment(end)) for start, end in ((1100, 1250), (1400, 1500))]
    assert [(shape.x0, shape.x1) for shape in grey] == wanted


@pytest.mark.parametrize(("counter", "holds"), [(100.0, True), (104.0, True), (120.0, False)])
def test_two_ways_to_know_the_energy_are_compared_where_both_know(counter: float, holds: bool) -> None:
    """A counter goes on through a gap; the power in it is not known."""
    shown = Gpus(seen(RESTARTED, energy=counter), must=True).energy()
    assert shown.verdicts[1].holds is holds
    assert seen(RESTARTED, energy=counter).compared()[KITT] == (
        pytest.approx((900 - 61) * 100),
        pytest.approx((900 - 61) * counter),
    )


def test_why_there_is_nothing_to_see_is_said_in_every_figure() -> None:
    gpus = Gpus(None, "it needs Prometheus, which notebook 08 installs")
    assert repr(gpus.power()) == "power  unknown: it needs Prometheus, which notebook 08 installs"
    assert repr(gpus.health()).startswith("health  unknown")


# ------------------------------------------------------------------------------------------------- waiting


@dataclass
class Passing:
    """Time that passes when somebody sleeps, and a Prometheus that knows more with it."""

    now: float = 0.0
    asked: int = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self) -> Telemetry:
        self.asked += 1
        return seen(of={BONNIE: WHOLE, KITT: range(END - 40 - int(self.now), END + 1)})


def test_a_minute_that_is_not_full_yet_is_waited_for() -> None:
    world = Passing()
    found = sampled(world.answer, patience=60, clock=Clock(lambda: world.now, world.sleep))
    assert not found.silences(UTILISATION)
    assert 14 <= world.now <= 20


def test_without_patience_it_is_asked_once_and_what_is_missing_is_told() -> None:
    world = Passing()
    with pytest.raises(StepFailed, match="kitt GPU 0 not for 20 s") as caught:
        sampled(world.answer, patience=0, clock=Clock(lambda: world.now, world.sleep))
    assert world.asked == 1
    assert "notebook 09" in caught.value.remedy


def test_a_gpu_that_never_comes_is_not_waited_for_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    world = Passing()
    with pytest.raises(StepFailed, match="none of bonnie GPU 0, kitt GPU 0"):
        sampled(lambda: seen(of={}), patience=60, clock=Clock(lambda: world.now, world.sleep))
    assert world.now == 60
    assert "waits for samples: none of bonnie GPU 0" in capsys.readouterr().err
