"""One colour a GPU in every figure, told apart without colour too; layout that reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pic4ser_lib.telemetry.series import Gpu

# Okabe and Ito's colours for all kinds of colour vision, without the two that vanish on white or on black.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DASHES = ("solid", "dot", "dash", "longdash", "dashdot", "longdashdot")
SCALE = "Cividis"
"""The scale of heat maps: it rises in brightness, so it reads without colour and for every kind of colour vision."""

GREY, FAINT = "rgba(128,128,128,.9)", "rgba(128,128,128,.25)"
SPAN, SILENT = "rgba(128,128,128,.16)", "rgba(213,94,0,.16)"


@dataclass(frozen=True)
class Look:
    """How a GPU's line is drawn."""

    colour: str
    dash: str


def look_of(gpu: Gpu, gpus: Sequence[Gpu]) -> Look:
    """The same for the same GPU wherever the same `gpus` are drawn.

    Few GPUs each have a colour of their own. Of many, the first of each node look alike, the second, and so on: their
    figures have one panel a node.
    """
    if len(gpus) <= len(PALETTE):
        place = list(gpus).index(gpu)
    else:
        place = [one for one in gpus if one.node == gpu.node].index(gpu)
    return Look(PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)])
