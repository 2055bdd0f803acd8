"""Waits until every GPU has been sampled all along for a while: an exporter that has just started has no minute yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pic4ser_lib.engine import CLOCK, Clock
from pic4ser_lib.errors import StepFailed
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.progress import Progress
from pic4ser_lib.telemetry.fields import UTILISATION
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.shown import listed

PATIENCE = 240.0
"""Seconds: an exporter is ready after one minute, and the next one has to be sampled."""
_STEP, _EVERY = "telemetry.read", 2.0
_REMEDY = "Run notebook 09: it waits for fresh samples of every GPU, and says what keeps them away."


def sampled(ask: Callable[[], Telemetry], *, patience: float, clock: Clock = CLOCK) -> Telemetry:
    """What `ask` answers, once nothing is missing in it; it is asked again for `patience` seconds.

    Raises StepFailed with what is still missing then.
    """
    deadline = clock.now() + patience
    with Progress() as progress:
        tell = partial(progress.tell, CLUSTER)
        while missing := _missing(found := ask()):
            if clock.now() >= deadline:
                wanted = f"every GPU sampled for {found.lately:g} s, without a gap over {found.bound:g} s"
                raise StepFailed(node=CLUSTER, step=_STEP, wanted=wanted, seen=missing, remedy=_REMEDY)
            tell(f"{_STEP}: waits for samples: {missing}")
            clock.sleep(_EVERY)
    return found


def _missing(found: Telemetry) -> str:
    """Which GPUs were not sampled, or not all along; empty when all were."""
    silent = [gpu for gpu in found.gpus if gpu not in found.of(UTILISATION)]
    gappy = [f"{gpu} not for {seconds:.0f} s" for gpu, seconds in found.silences(UTILISATION).items()]
    return "; ".join([*([f"none of {listed(silent)}"] if silent else []), *([listed(gappy)] if gappy else [])])
