"""The telemetry of a range: traces, holds, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from pic4ser_lib.telemetry import energy, health
from pic4ser_lib.telemetry.fields import CLOCK, ENERGY, POWER, REASONS, UTILISATION, XID, Field
from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Trace
from pic4ser_lib.telemetry.summary import Summary, gaps, summary


@dataclass(frozen=True)
class Telemetry:
    """What was sampled of some GPUs from `start` to `end`.

    `step` is the length of a window in seconds (0: every sample is here); `bound` is the longest gap that is none.
    `gpus` are all that were sampled or expected, in order. In the last `lately` seconds each of them is due all along:
    an older gap is told and not judged, because an exporter that restarted is none that is broken. 0: no part is.
    """

    start: float
    end: float
    bound: float
    gpus: tuple[Gpu, ...]
    expected: tuple[Gpu, ...] = ()
    step: float = 0.0
    traces: dict[Field, dict[Gpu, Trace]] = field(default_factory=dict, repr=False)
    holds: tuple[Hold, ...] = field(default=(), repr=False)
    lately: float = 0.0
    wider: tuple[Gpu, ...] = field(default=(), repr=False)

    @property
    def coloured(self) -> tuple[Gpu, ...]:
        """The GPUs among which each has its colour: also those that `on` and `only` have left out."""
        return self.wider or self.gpus

    def of(self, quantity: Field) -> dict[Gpu, Trace]:
        """The traces of a field, by GPU; GPUs without samples are left out."""
        return {gpu: trace for gpu, trace in self.traces.get(quantity, {}).items() if trace.points}

    def summaries(self, quantity: Field) -> dict[Gpu, Summary]:
        """The five numbers of each GPU, also of one that was not sampled."""
        found = self.traces.get(quantity, {})
        empty = {gpu: Trace(gpu, quantity, ()) for gpu in self.gpus}
        return {g: summary(t, end=self.end, bound=self.bound) for g, t in {**empty, **found}.items()}

    def silences(self, quantity: Field) -> dict[Gpu, float]:
        """The longest gap of each GPU that had one in the part that is judged, in seconds."""
        found, start = self.of(quantity), max(self.start, self.end - self.lately)
        longest = {
            gpu: max((gap.seconds for gap in gaps(found[gpu], end=self.end, bound=self.bound, start=start)), default=0)
            for gpu in self.gpus
            if gpu in found and self.lately
        }
        return {gpu: seconds for gpu, seconds in longest.items() if seconds}

    def on(self, nodes: Collection[str]) -> Telemetry:
        """The GPUs of some nodes."""
        gpus = tuple(gpu for gpu in self.gpus if gpu.node in nodes)
        traces = {q: {g: t for g, t in found.items() if g in gpus} for q, found in self.traces.items()}
        holds = tuple(hold for hold in self.holds if hold.gpu in gpus)
        return replace(self, gpus=gpus, traces=traces, holds=holds, wider=self.coloured)

    def only(self, keep: Callable[[Holder], bool]) -> Telemetry:
        """The GPUs of some pods, each only while such a pod held it: the telemetry of a job."""
        kept = tuple(hold for hold in self.holds if keep(hold.holder))
        spans = {gpu: [h for h in kept if h.gpu == gpu] for gpu in sorted({h.gpu for h in kept})}
        cut = {
            quantity: {gpu: _cut(found[gpu], parts) for gpu, parts in spans.items() if gpu in found}
            for quantity, found in self.traces.items()
        }
        start = min((h.start for h in kept), default=self.start)
        end = max((h.end for h in kept), default=self.end)
        gpus = tuple(gpu for gpu in self.gpus if gpu in spans)
        return replace(
            self,
            start=start,
            end=end,
            gpus=gpus,
            expected=gpus,
            traces=cut,
            holds=kept,
            lately=0.0,
            wider=self.coloured,
        )

    def used(self) -> tuple[energy.Use, ...]:
        """The energy of each hold."""
        return energy.uses(self.holds, self.of(POWER), self.of(ENERGY), bound=self.bound)

    def energies(self) -> dict[Gpu, tuple[energy.Energy, energy.Energy | None]]:
        """The energy of each GPU over the range, by power and by its counter."""
        power, counter = self.of(POWER), self.of(ENERGY)
        return {
            gpu: (
                energy.integrated(trace, bound=self.bound),
                energy.counted(counter[gpu]) if gpu in counter else None,
            )
            for gpu, trace in power.items()
        }

    def compared(self) -> dict[Gpu, tuple[float, float]]:
        """Joules by power and by the GPU's own counter, over the time that both of them know."""
        power, counter = self.of(POWER), self.of(ENERGY)
        both = {g: energy.compared(power[g], counter[g], bound=self.bound) for g in power if g in counter}
        return {gpu: joules for gpu, joules in both.items() if joules[1]}

    def idle(self) -> tuple[health.Idle, ...]:
        """GPUs that did nothing in the whole range."""
        return health.idle_all_along(self.of(UTILISATION))

    def wasted(self, *, seconds: float) -> tuple[health.Idle, ...]:
        """GPUs that were held by a pod for at least `seconds` and did nothing."""
        return health.held_and_idle(self.of(UTILISATION), self.holds, seconds=seconds)

    @property
    def knows_reasons(self) -> bool:
        """Whether the exporter collects why a clock is low."""
        return bool(self.of(REASONS))

    def throttled(self) -> tuple[health.Throttled, ...]:
        """When and why GPUs were slowed down; without reasons, judged by the clock under load."""
        if self.knows_reasons:
            return health.throttled(self.of(REASONS))
        return health.slow_under_load(self.of(UTILISATION), self.of(CLOCK))

    def xids(self) -> tuple[health.Xid, ...]:
        """Errors that the driver reported."""
        return health.xids(self.of(XID))


def _cut(trace: Trace, holds: list[Hold]) -> Trace:
    points = [p for hold in holds for p in trace.within(hold.start, hold.end).points]
    return replace(trace, points=tuple(sorted(set(points))))
