"""The figures of notebook 11, each with its verdicts and its summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pic4ser_lib.telemetry import figures, maps
from pic4ser_lib.telemetry.fields import CLOCK, MEMORY, POWER, TEMPERATURE, UTILISATION, XID, Field
from pic4ser_lib.telemetry.health import IDLE_PERCENT
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Holder
from pic4ser_lib.telemetry.shown import Shown, Verdict, listed, number, required, unknown
from pic4ser_lib.telemetry.summary import Summary

_AGREE, _APART = 0.05, 2.0
"""Two ways to know an energy agree to this share, and to so many seconds: a sample is a second old at either end."""


@dataclass(frozen=True, repr=False)
class Gpus:
    """The GPUs of a site over some minutes, as a notebook looks at them; where `seen` is None, `why` says why.

    Where it `must` hold, a figure whose verdict does not raises StepFailed.
    """

    seen: Telemetry | None
    why: str = ""
    must: bool = False

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def of(self, keep: Callable[[Holder], bool]) -> Gpus:
        """The GPUs of some pods, while those held them."""
        return self if self.seen is None else replace(self, seen=self.seen.only(keep))

    def overview(self) -> Shown:
        """All GPUs in one grid: utilisation, temperature, power and memory, as means of the range."""
        if self.seen is None:
            return unknown("overview", self.why)
        verdicts, rows = (_sampled(self.seen, UTILISATION),), _rows(self.seen, UTILISATION)
        notes = (*_begins(self.seen, UTILISATION), "Minimum, mean and maximum of the utilisation in %.")
        return self._judged(Shown("overview", verdicts, _HEAD, rows, partial(maps.grid, self.seen), notes))

    def utilisation(self) -> Shown:
        """How busy each GPU was, in percent."""
        return self._lines(UTILISATION)

    def memory(self) -> Shown:
        """The memory in use on each GPU, in GiB."""
        return self._lines(MEMORY)

    def power(self) -> Shown:
        """The power that each GPU took, in watts."""
        return self._lines(POWER)

    def temperature(self) -> Shown:
        """The temperature of each GPU, in degrees Celsius."""
        return self._lines(TEMPERATURE)

    def clock(self) -> Shown:
        """The clock of each GPU's processors, in MHz."""
        return self._lines(CLOCK)

    def energy(self) -> Shown:
        """What each job used, in kWh: power over time, compared with the GPU's own counter."""
        if self.seen is None:
            return unknown("energy", self.why)
        head = ("job", "pod", "GPU", "from (UTC)", "seconds", "kWh by power", "kWh by counter", "unknown s")
        rows = tuple(_used_rows(self.seen))
        verdicts = tuple(_energy_verdicts(self.seen))
        return self._judged(Shown("energy", verdicts, head, rows, partial(maps.energy, self.seen)))

    def health(self, *, idle_seconds: float = 600.0) -> Shown:
        """GPUs that are held and not used, slowed down, or reported an error."""
        if self.seen is None:
            return unknown("health", self.why)
        verdicts = (_sampled(self.seen, UTILISATION), *_health_verdicts(self.seen, idle_seconds))
        head, rows = ("GPU", "what", "from (UTC)", "seconds"), tuple(_events(self.seen, idle_seconds))
        return self._judged(Shown("health", verdicts, head, rows))

    def _lines(self, quantity: Field) -> Shown:
        if self.seen is None:
            return unknown(quantity.name, self.why)
        verdicts = tuple(v for v in (_sampled(self.seen, quantity), _bounded(self.seen, quantity)) if v)
        notes = (*_begins(self.seen, quantity), f"Minimum, mean and maximum in {quantity.unit}.")
        draw = partial(figures.lines, self.seen, quantity)
        return self._judged(
            Shown(quantity.name, verdicts, _HEAD, _rows(self.seen, quantity), draw, (*notes, figures.key(self.seen)))
        )

    def _judged(self, shown: Shown) -> Shown:
        if not self.must:
            return shown
        remedy = "Notebook 09 waits for fresh samples of every GPU, and says what keeps them away."
        return required(
            shown, step=f"telemetry.{shown.title}", wanted="every GPU sampled, and figures in bounds", remedy=remedy
        )

    def _table(self) -> Shown:
        if self.seen is None:
            return unknown("telemetry", self.why)
        found = self.seen.summaries(UTILISATION)
        rows = tuple((str(g), g.model or "-", g.uuid or "-", str(found[g].samples)) for g in self.seen.gpus)
        span = f"from {_clock(self.seen.start)} to {_clock(self.seen.end)} UTC, {_grain(self.seen)}"
        return Shown(
            "telemetry", (_sampled(self.seen, UTILISATION),), ("GPU", "model", "UUID", "samples"), rows,
            notes=(span, *_begins(self.seen, UTILISATION)),
        )  # fmt: skip


_HEAD = ("GPU", "min", "mean", "max", "samples", "gaps", "longest gap (s)")


def _rows(seen: Telemetry, quantity: Field) -> tuple[tuple[str, ...], ...]:
    return tuple(_row(gpu, one) for gpu, one in seen.summaries(quantity).items())


def _row(gpu: Gpu, one: Summary) -> tuple[str, ...]:
    numbers = (number(one.low), number(one.mean, ".2f"), number(one.high))
    return (
        str(gpu),
        *numbers,
        str(one.samples) if one.samples else "no samples",
        str(len(one.gaps)),
        number(one.longest_gap),
    )


def _sampled(seen: Telemetry, quantity: Field) -> Verdict:
    """Whether each GPU that ought to be was sampled, and lately without a gap longer than the bound."""
    if not seen.gpus:
        return Verdict(True, "no GPU is expected and none was sampled")
    silent = [gpu for gpu in seen.gpus if gpu not in seen.of(quantity)]
    gappy = [f"{gpu} ({seconds:.0f} s)" for gpu, seconds in seen.silences(quantity).items()]
    lately = f" over {_seconds(seen.bound)} in the last {min(seen.lately, seen.end - seen.start):g} s"
    parts = [f"{len(seen.gpus) - len(silent)} of {len(seen.gpus)} GPUs sampled"]
    parts += [f"no samples of {listed(silent)}"] if silent else []
    parts += [f"gaps{lately}: {listed(gappy)}"] if gappy else []
    parts += [f"no gap{lately}"] if seen.lately and not gappy and not silent else []
    return Verdict(not silent and not gappy, ", ".join(parts))


def _begins(seen: Telemetry, quantity: Field) -> tuple[str, ...]:
    """Where samples begin only within the range: an exporter, or its Prometheus, is younger than that."""
    first = {gpu: trace.points[0].time - trace.step / 2 for gpu, trace in seen.of(quantity).items()}
    late = [f"{gpu} at {_clock(time)}" for gpu, time in first.items() if time - seen.start > seen.bound]
    return (f"Samples begin within the range: {listed(late)} (UTC).",) if late else ()


def _bounded(seen: Telemetry, quantity: Field) -> Verdict | None:
    found = {gpu: one for gpu, one in seen.summaries(quantity).items() if one.samples}
    low, high = quantity.low, quantity.high
    if not found or low is None:
        return None
    bound = f"at least {low:g} {quantity.unit}" if high is None else f"from {low:g} to {high:g} {quantity.unit}"
    out = [
        f"{gpu} ({one.low:g} to {one.high:g})" for gpu, one in found.items()
        if one.low < low or (high is not None and one.high > high)
    ]  # fmt: skip
    text = f"outside {bound}: {listed(out)}" if out else f"every sample is {bound}"
    return Verdict(not out, text, is_finding=quantity.is_of_use)


def _energy_verdicts(seen: Telemetry) -> list[Verdict]:
    energies = seen.energies()
    known = [gpu for gpu, (by_power, _) in energies.items() if by_power.seconds]
    verdicts = [Verdict(len(known) == len(seen.gpus), f"energy known for {len(known)} of {len(seen.gpus)} GPUs")]
    compared = seen.compared()
    if not compared:
        return [*verdicts, Verdict(True, "the GPUs' own counters were not compared", is_finding=True)]
    highest = {gpu: one.high for gpu, one in seen.summaries(POWER).items()}
    apart = [
        f"{gpu} ({by_power / by_counter - 1:+.0%})" for gpu, (by_power, by_counter) in compared.items()
        if abs(by_power - by_counter) > _AGREE * by_counter + _APART * highest[gpu]
    ]  # fmt: skip
    text = f"power over time and the GPUs' own counters agree within {_AGREE:.0%} and {_seconds(_APART)}"
    return [*verdicts, Verdict(not apart, f"{text}: not for {listed(apart)}" if apart else text, is_finding=True)]


def _used_rows(seen: Telemetry) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            f"{use.holder.namespace}/{use.holder.job}", use.holder.pod, str(use.gpu), _clock(use.hold.start),
            f"{use.hold.end - use.hold.start:.0f}", f"{use.by_power.kwh:.6f}",
            f"{use.by_counter.kwh:.6f}" if use.by_counter else "-", f"{use.by_power.unknown:.0f}",
        )
        for use in seen.used()
    ]  # fmt: skip
    for gpu, (by_power, by_counter) in seen.energies().items():
        counter = f"{by_counter.kwh:.6f}" if by_counter else "-"
        span = f"{by_power.seconds:.0f}", f"{by_power.kwh:.6f}", counter, f"{by_power.unknown:.0f}"
        rows.append(("the whole range", "", str(gpu), _clock(seen.start), *span))
    return rows


def _health_verdicts(seen: Telemetry, idle_seconds: float) -> list[Verdict]:
    wasted = [
        f"{idle.gpu} (held by {idle.holder.pod if idle.holder else '?'})" for idle in seen.wasted(seconds=idle_seconds)
    ]
    under = f"under {IDLE_PERCENT:g} % for {_seconds(idle_seconds)}"
    slowed = listed(sorted({str(t.gpu) for t in seen.throttled()}))
    judged = "by the driver's reasons" if seen.knows_reasons else "by the SM clock under load"
    errors = listed([f"{xid.gpu}: {xid.code} ({xid.meaning})" for xid in seen.xids()])
    none = "no XID error was reported" if seen.of(XID) or not seen.gpus else "XID errors are not collected"
    found = (
        (not wasted, f"held and {under}: {listed(wasted)}" if wasted else f"no GPU is held by a pod and {under}"),
        (not slowed, f"throttled, {judged}: {slowed}" if slowed else f"no GPU was throttled, {judged}"),
        (not errors, f"XID errors: {errors}" if errors else none),
    )
    return [Verdict(holds, text, is_finding=True) for holds, text in found]


def _events(seen: Telemetry, idle_seconds: float) -> list[tuple[str, ...]]:
    rows = [(i.gpu, "idle in the whole range", i.start, i.end - i.start) for i in seen.idle()]
    rows += [(w.gpu, f"held by {w.holder}, not used", w.start, w.seconds) for w in seen.wasted(seconds=idle_seconds)]
    rows += [(t.gpu, f"throttled: {t.why}", t.start, t.end - t.start) for t in seen.throttled()]
    rows += [(x.gpu, f"XID {x.code}: {x.meaning}", x.since, float("nan")) for x in seen.xids()]
    return [(str(gpu), what, _clock(start), number(seconds, ".0f")) for gpu, what, start, seconds in rows]


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _grain(seen: Telemetry) -> str:
    return f"in windows of {_seconds(seen.step)}" if seen.step else "every sample"
