"""What the workers of a job have said: their machine-readable lines, and the last of the others."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pic4ser_lib.operations.kubectl import ADMIN
from pic4ser_lib.operations.training_job.specification import Job, selector
from pic4ser_lib.steps import Shell

_TAIL = 12
_PREFIX = re.compile(r"^\[pod/([^/]+)/[^\]]+\] ?(.*)$")
_NUMBER = (int, float)
_FIELDS: dict[str, dict[str, Any]] = {
    "start": {"tf_config": dict},
    "step": {"epoch": int, "step": int, "loss": _NUMBER},
    "epoch": {"epoch": int, "examples_per_second": _NUMBER},
    "end": {"weights_sha256": str},
}
# All lines that are meant for us, and the last ones of each worker that are not.
_ASK = """
test -e ADMIN || exit 0
kubectl --kubeconfig ADMIN -n NAMESPACE logs -l SELECTOR --prefix --tail=-1 --max-log-requests=100 --ignore-errors \\
  2>/dev/null | awk '$2 == "pic4ser" { print; next }
    { n[$1]++; line[$1, n[$1] % TAIL] = $0 }
    END { for (pod in n) for (i = n[pod] + 1; i <= n[pod] + TAIL; i++)
            if ((pod, i % TAIL) in line) print line[pod, i % TAIL] }' || true
"""


@dataclass(frozen=True)
class Said:
    """What one worker has said. `losses` are pairs of step and loss, `rates` examples a second of each epoch."""

    tf_config: Mapping[str, Any] | None = None
    losses: tuple[tuple[int, float], ...] = ()
    rates: tuple[float, ...] = ()
    epoch: int = 0
    weights: str = ""
    tail: tuple[str, ...] = field(default=(), repr=False)

    @property
    def last_line(self) -> str:
        """The last thing that it said for people."""
        return next((line.strip() for line in reversed(self.tail) if line.strip()), "")


def asked(job: Job) -> Shell:
    """The question, for the first control plane."""
    words = {"ADMIN": ADMIN, "NAMESPACE": shlex.quote(job.namespace), "SELECTOR": shlex.quote(selector(job))}
    script = _ASK.replace("TAIL", str(_TAIL))
    for word, value in words.items():
        script = script.replace(word, value)
    return Shell(script)


def said(job: Job, raw: str) -> tuple[Said, ...]:
    """What each worker has said, by its index; empty where it has not begun."""
    found = {job.pod(index): Said() for index in range(job.workers)}
    for line in raw.splitlines():
        match = _PREFIX.match(line)
        if match and match[1] in found:
            found[match[1]] = _with(found[match[1]], match[2])
    return tuple(found.values())


def _with(known: Said, line: str) -> Said:
    event = _event(line)
    match event.get("event"):
        case "start":
            return replace(known, tf_config=event["tf_config"])
        case "step":
            return replace(known, losses=(*known.losses, (event["step"], event["loss"])), epoch=event["epoch"])
        case "epoch":
            return replace(known, rates=(*known.rates, event["examples_per_second"]), epoch=event["epoch"])
        case "end":
            return replace(known, weights=event["weights_sha256"])
        case _:
            return replace(known, tail=(*known.tail, line)[-_TAIL:])


def _event(line: str) -> dict[str, Any]:
    """The event of a line; none where a script of somebody else's says something else."""
    if not line.startswith("pic4ser {"):
        return {}
    try:
        event = json.loads(line.removeprefix("pic4ser "))
    except ValueError:
        return {}
    if not isinstance(event, dict):
        return {}
    needed = _FIELDS.get(str(event.get("event")), {})
    return event if all(isinstance(event.get(key), kind) for key, kind in needed.items()) else {}
