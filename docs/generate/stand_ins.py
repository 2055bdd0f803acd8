"""What the rehearsal lab does not prove: its stand-ins, from the lab's own site."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generate.markdown import page, plain
from pic4ser_lib.site.schema import StandIn

_INTRODUCTION = """\
The rehearsal runs the real kubeadm, containerd, flannel, helm, Prometheus and training operator.
What needs hardware, or could not be had where the lab was made, is a stand-in.
A rehearsal that passes proves nothing about what stands here; every report of a run names these too."""


def stand_ins(listed: Sequence[StandIn]) -> str:
    """The whole page."""
    return page("What the lab does not prove", _INTRODUCTION, *map(_entry, listed))


def _entry(each: StandIn) -> str:
    title = plain(f"{each.name[:1].upper()}{each.name[1:]}")
    lines = f": Instead of {plain(each.instead_of)}.\n: Does not prove {plain(each.does_not_prove)}."
    return f"{title}\n{lines}"
