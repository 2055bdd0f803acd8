"""Figures that show every GPU at once: a heat map in place of too many lines, the overview grid, energy by job."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pic4ser_lib.telemetry.fields import MEMORY, POWER, TEMPERATURE, UTILISATION, Field
from pic4ser_lib.telemetry.layout import MARGIN_BOTTOM, MARGIN_TOP, laid_out, limits, moment
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Trace
from pic4ser_lib.telemetry.style import FAINT, PALETTE, SCALE, look_of
from pic4ser_lib.telemetry.summary import Summary

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_NAMED = len(PALETTE)
"""Of more GPUs than this the legend names one of each colour: the first of each node look alike, and so on."""
_AWAY = 12
"""How far an axis' title keeps from its labels, which may be wider than Plotly believes."""


def heat(seen: Telemetry, quantity: Field) -> Figure:
    """A row for each GPU and a column for each moment; where nothing was sampled nothing is drawn."""
    from plotly.graph_objects import Figure, Heatmap

    step = max((seen.end - seen.start) / 300, seen.step, 1.0)
    count = math.ceil((seen.end - seen.start) / step)
    names = [str(gpu) for gpu in seen.gpus]
    found = seen.of(quantity)
    rows = [_binned(found.get(gpu), seen.start, step, count) for gpu in seen.gpus]
    times = [moment(seen.start + (i + 0.5) * step) for i in range(count)]
    low, high = limits(seen, quantity, room=1.0)
    bar = {"title": {"text": quantity.unit}, "thickness": 14}
    hover = "%{y}<br>%{x|%H:%M:%S} UTC<br>%{z:.4g} " + quantity.unit + "<extra></extra>"
    figure = Figure(
        Heatmap(
            x=times,
            y=names,
            z=rows,
            zmin=low,
            zmax=high,
            colorscale=SCALE,
            colorbar=bar,
            hoverongaps=False,
            hovertemplate=hover,
        )
    )
    figure.update_xaxes(title_text="time (UTC)", range=[moment(seen.start), moment(seen.end)], gridcolor=FAINT)
    figure.update_yaxes(
        autorange="reversed", title_text="node and GPU", title_standoff=_AWAY, dtick=1, showgrid=False, automargin=True
    )
    height = max(220, 13 * len(names)) + MARGIN_TOP + MARGIN_BOTTOM
    figure.update_yaxes(tickfont={"size": 9 if len(names) > 24 else 11})
    return laid_out(figure, f"{quantity.title} ({quantity.unit}); empty: no samples", height)


def grid(seen: Telemetry) -> Figure:
    """Every GPU of every node in one square each: how busy it was, how warm, how much power and memory it took."""
    from plotly.graph_objects import Figure, Heatmap

    nodes = sorted({gpu.node for gpu in seen.gpus})
    columns = list(dict.fromkeys(sorted((gpu.index, gpu.instance, gpu.short) for gpu in seen.gpus)))
    names = [short for _, _, short in columns]
    known = {(gpu.node, gpu.short): gpu for gpu in seen.gpus}
    cells = [[known.get((node, name)) for name in names] for node in nodes]
    busy = seen.summaries(UTILISATION)
    values = [[_busy(busy, gpu) for gpu in row] for row in cells]
    are_flat = len(nodes) > 12 and len(names) <= 2
    texts = [[_cell(seen, gpu, parts=2 if len(names) > 4 else 4, are_flat=are_flat) for gpu in row] for row in cells]
    bar = {"title": {"text": "mean utilisation (%)", "side": "right"}, "thickness": 14}
    figure = Figure(
        Heatmap(
            x=names,
            y=nodes,
            z=values,
            zmin=0,
            zmax=100,
            colorscale=SCALE,
            colorbar=bar,
            hoverongaps=False,
            text=texts,
            textfont={"size": 11},
            texttemplate="%{text}",
            xgap=3,
            ygap=3,
            hovertemplate="%{y} %{x}<br>%{text}<extra></extra>",
        )
    )
    for row, node in enumerate(nodes):
        for column, gpu in enumerate(cells[row]):
            if gpu is not None and values[row][column] is None:
                figure.add_annotation(
                    x=names[column], y=node, text="no samples" if are_flat else "no<br>samples", showarrow=False
                )
    figure.update_yaxes(
        autorange="reversed", title_text="node", title_standoff=_AWAY, showgrid=False, type="category", automargin=True
    )
    figure.update_xaxes(title_text="GPU of the node", showgrid=False, type="category", side="bottom")
    height = len(nodes) * (24 if are_flat else 44 if len(names) > 4 else 64) + 40 + MARGIN_TOP + MARGIN_BOTTOM
    figure = laid_out(figure, "All GPUs: mean of the range", max(240, height))
    figure.update_layout(margin_t=50)
    return figure


def energy(seen: Telemetry) -> Figure:
    """Energy of each job, in the colours of the GPUs that used it; what nobody held is a bar of its own."""
    from plotly.graph_objects import Bar, Figure

    used: dict[str, dict[Gpu, float]] = {}
    for use in seen.used():
        of = used.setdefault(f"{use.holder.namespace}/{use.holder.job}", {})
        of[use.gpu] = of.get(use.gpu, 0.0) + use.by_power.kwh
    held = {gpu: sum(of.get(gpu, 0.0) for of in used.values()) for gpu in seen.gpus}
    free = {gpu: max(0.0, total.kwh - held[gpu]) for gpu, (total, _) in seen.energies().items()}
    bars = {**used, "held by nobody": free}
    highest = max((sum(of.values()) for of in bars.values()), default=0.0)
    unit, scale = ("kWh", 1.0) if highest >= 0.1 else ("Wh", 1000.0)
    are_few = len(seen.coloured) <= _NAMED
    firsts = {gpu.short: gpu for gpu in reversed(seen.gpus)}
    figure = Figure()
    for gpu in seen.gpus:
        figure.add_trace(
            Bar(
                y=list(bars),
                x=[of.get(gpu, 0.0) * scale for of in bars.values()],
                name=str(gpu) if are_few else gpu.short,
                legendgroup=str(gpu) if are_few else gpu.short,
                showlegend=are_few or gpu == firsts[gpu.short],
                orientation="h",
                marker_color=look_of(gpu, seen.coloured).colour,
                marker_pattern_shape="" if look_of(gpu, seen.coloured).dash == "solid" else "/",
                marker_line={"width": 1, "color": FAINT},
                hovertemplate="%{y}<br>" + str(gpu) + ": %{x:.4g} " + unit + "<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.35, showlegend=True, legend_traceorder="normal")
    figure.update_xaxes(title_text=f"energy ({unit})", gridcolor=FAINT, zeroline=False, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", title_text="job", title_standoff=_AWAY, automargin=True)
    return laid_out(figure, "GPU energy of each job", 46 * len(bars) + 60 + MARGIN_TOP + MARGIN_BOTTOM)


def _binned(trace: Trace | None, start: float, step: float, count: int) -> list[float | None]:
    sums: list[tuple[float, int]] = [(0.0, 0)] * count
    for point in trace.points if trace else ():
        place = min(count - 1, max(0, int((point.time - start) / step)))
        total, number = sums[place]
        sums[place] = (total + point.value, number + 1)
    return [total / number if number else None for total, number in sums]


def _busy(summaries: dict[Gpu, Summary], gpu: Gpu | None) -> float | None:
    if gpu is None or not summaries[gpu].samples:
        return None
    mean: float = summaries[gpu].mean
    return mean


def _cell(seen: Telemetry, gpu: Gpu | None, *, parts: int, are_flat: bool) -> str:
    """Means of the range, in a colour that can be read on the cell's own."""
    if gpu is None or not seen.summaries(UTILISATION)[gpu].samples:
        return ""
    forms = ((UTILISATION, "{:.0f} %"), (TEMPERATURE, "{:.0f} °C"), (POWER, "{:.0f} W"), (MEMORY, "{:.1f} GiB"))
    found = [(form, seen.summaries(quantity)[gpu]) for quantity, form in forms[:parts]]
    texts = [form.format(one.mean) for form, one in found if one.samples]
    colour = "white" if seen.summaries(UTILISATION)[gpu].mean < 50 else "black"
    between = " · " if parts > 2 else "<br>"
    lines = [" · ".join(texts)] if are_flat else [between.join(texts[:2]), between.join(texts[2:])]
    return f'<span style="color:{colour}">{"<br>".join(filter(None, lines))}</span>'
