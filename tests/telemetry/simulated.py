"""Telemetry of GPUs that do not exist, for looking at the figures: `python tests/telemetry/simulated.py FOLDER`.

Writes a light and a dark page of all figures for 1, 16 and 64 GPUs, and for 40 nodes of one GPU.
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from pic4ser_lib.telemetry.fields import CLOCK, ENERGY, MEMORY, POWER, TEMPERATURE, UTILISATION, XID, Field
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Hold, Holder, Point, Trace
from pic4ser_lib.telemetry.views import Gpus

START, SECONDS = 1_790_000_000, 900


def telemetry(nodes: int, each: int) -> Telemetry:
    """Two jobs one after the other on most GPUs; the last GPU is silent, the first has a gap."""
    dice = random.Random(nodes * 100 + each)
    names = ["bonnie", "kitt", "rover"][:nodes] if nodes <= 3 else [f"node{i:02}" for i in range(1, nodes + 1)]
    gpus = [Gpu(name, i, uuid=f"GPU-{name}-{i}", model="NVIDIA A100") for name in names for i in range(each)]
    traces: dict[Field, dict[Gpu, Trace]] = {
        f: {} for f in (UTILISATION, MEMORY, POWER, TEMPERATURE, CLOCK, ENERGY, XID)
    }
    holds = []
    for number, gpu in enumerate(gpus):
        if number == len(gpus) - 1 > 0:
            continue
        spans = [(120, 420, "resnet-worker-0"), (480, 840, "translate-worker-1")][: 1 + number % 2]
        holds += [Hold(START + a, START + b, gpu, Holder("default", pod)) for a, b, pod in spans]
        lost = range(500, 560) if number == 0 else range(0)
        for field, points in _points(spans, dice, lost).items():
            traces[field][gpu] = Trace(gpu, field, tuple(points))
    return Telemetry(START, START + SECONDS, 5.0, tuple(gpus), tuple(gpus), 0.0, traces, tuple(holds))


def _points(spans: list[tuple[int, int, str]], dice: random.Random, lost: range) -> dict[Field, list[Point]]:
    found: dict[Field, list[Point]] = {f: [] for f in (UTILISATION, MEMORY, POWER, TEMPERATURE, CLOCK, ENERGY, XID)}
    warmth, joules, tune = 35.0, 1000.0, dice.uniform(0.7, 1.0)
    for t in range(SECONDS):
        is_held = any(a <= t <= b for a, b, _ in spans)
        util = min(100.0, max(0.0, 96 * tune + 8 * math.sin(t / 9) + dice.gauss(0, 3))) if is_held else 0.0
        watts = 52 + 3.1 * util + dice.gauss(0, 2)
        warmth += (35 + watts / 7.5 - warmth) / 60
        joules += watts
        values = (util, 31.5 * tune if is_held else 0.4, watts, warmth, 1410 if is_held else 210, joules, 0)
        for field, value in zip(found, values, strict=True):
            if t not in lost:
                found[field].append(Point(float(START + t), value, value, value))
    return found


def page(gpus: Gpus, *, is_dark: bool) -> str:
    colours = "background:#111;color:#ddd" if is_dark else "background:#fff;color:#222"
    views = (
        gpus.overview(), gpus.utilisation(), gpus.memory(), gpus.power(), gpus.temperature(), gpus.clock(),
        gpus.energy(), gpus.health(),
    )  # fmt: skip
    parts = "<hr>".join(view._repr_html_() for view in views)
    return f'<!doctype html><meta charset="utf-8"><body style="{colours};font-family:sans-serif">{parts}</body>'


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for nodes, each in ((1, 1), (3, 2), (4, 4), (8, 8), (40, 1)):
        shown = Gpus(telemetry(nodes, each))
        for is_dark in (False, True):
            name = f"{nodes}x{each}{'-dark' if is_dark else ''}.html"
            (folder / name).write_text(page(shown, is_dark=is_dark))
