"""Lines over time: a panel for each node, a line for each GPU.

Missing samples break a line and are shaded, never drawn as zero; jobs are shaded spans with their name on top.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pic4ser_lib.telemetry import maps
from pic4ser_lib.telemetry.fields import Field
from pic4ser_lib.telemetry.layout import MARGIN_BOTTOM, MARGIN_TOP, laid_out, limits, moment
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.series import Gpu, Point, Trace
from pic4ser_lib.telemetry.shown import listed
from pic4ser_lib.telemetry.style import FAINT, PALETTE, SILENT, SPAN, look_of
from pic4ser_lib.telemetry.summary import gaps

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PANELS = 16
"""More nodes than this are drawn as a heat map."""
_DRAWN = 600
_SHADE_FROM = 0.004
_SAME_SPAN = 1.5  # seconds; a job that changes its GPU within these has not been away


def lines(seen: Telemetry, quantity: Field) -> Figure:
    """A line for each GPU in a panel for each node; a heat map when there are more than PANELS nodes."""
    nodes = sorted({gpu.node for gpu in seen.gpus})
    if len(nodes) > PANELS:
        return maps.heat(seen, quantity)
    columns = 1 if len(nodes) <= 4 else 2
    rows = max(1, math.ceil(len(nodes) / columns))
    panel = 170 if rows > 2 else 230
    gap = 46 / max(1, rows * panel)
    figure = _panels(nodes, rows, columns, gap)
    for place, node in enumerate(nodes):
        row, column = divmod(place, columns)
        _draw_node(figure, seen, quantity, node, row + 1, column + 1)
    title = f"{quantity.title} ({quantity.unit})"
    laid_out(figure, title, rows * panel + (rows - 1) * 46 + MARGIN_TOP + MARGIN_BOTTOM)
    figure.update_xaxes(range=[moment(seen.start), moment(seen.end)], gridcolor=FAINT, zeroline=False)
    for column in range(1, columns + 1):
        last = rows if (rows - 1) * columns + column <= len(nodes) else rows - 1
        figure.update_xaxes(title_text="time (UTC)", showticklabels=True, row=last, col=column)
    low, high = limits(seen, quantity)
    figure.update_yaxes(range=[low, high], gridcolor=FAINT, zeroline=False, title_text=quantity.unit)
    return figure


def key(seen: Telemetry) -> str:
    """What the colours behind the lines mean."""
    is_heat = len({gpu.node for gpu in seen.gpus}) > PANELS
    return "Empty: no samples." if is_heat else "Grey: a job holds GPUs of the node. Orange: no samples."


# ----------------------------------------------------------------------------------------------- lines


def _panels(nodes: Sequence[str], rows: int, columns: int, gap: float) -> Figure:
    from plotly.subplots import make_subplots

    figure: Figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=[*nodes],
        vertical_spacing=min(gap, 0.9 / max(1, rows - 1)) if rows > 1 else 0,
        horizontal_spacing=0.06,
    )
    figure.update_annotations(font_size=13)
    figure.update_annotations(x=0, xanchor="left") if columns == 1 else None
    return figure


def _draw_node(figure: Figure, seen: Telemetry, quantity: Field, node: str, row: int, column: int) -> None:
    from plotly.graph_objects import Scatter

    gpus = [gpu for gpu in seen.gpus if gpu.node == node]
    found = seen.of(quantity)
    are_few = len(seen.coloured) <= len(PALETTE)
    for gpu in gpus:
        look = look_of(gpu, seen.coloured)
        name = str(gpu) if are_few else gpu.short
        trace = found.get(gpu)
        times, values = _drawn(trace, seen) if trace else ([], [])
        figure.add_trace(
            Scatter(
                x=times,
                y=values,
                name=name,
                mode="lines",
                legendgroup=name,
                showlegend=are_few or (row, column) == (1, 1) or not _is_first(gpu, seen, node),
                line={"color": look.colour, "dash": look.dash, "width": 1.8},
                connectgaps=False,
                hovertemplate=f"{gpu}<br>%{{x|%H:%M:%S}} UTC<br>%{{y:.4g}} {quantity.unit}<extra></extra>",
            ),
            row=row,
            col=column,
        )
    _shade(figure, _jobs(seen, node), seen, SPAN, row, column)
    _shade(figure, _silent(seen, quantity, gpus), seen, SILENT, row, column)


def _is_first(gpu: Gpu, seen: Telemetry, node: str) -> bool:
    """Whether an earlier panel already put a GPU of this number into the legend."""
    return any(other.short == gpu.short and other.node < node for other in seen.gpus)


def _jobs(seen: Telemetry, node: str) -> Iterator[tuple[float, float, str]]:
    """From when to when each job had any GPU of a node; a job that came back has a span for each time."""
    open_spans: dict[tuple[str, str], tuple[float, float]] = {}
    for hold in (hold for hold in seen.holds if hold.gpu.node == node):
        job = hold.holder.namespace, hold.holder.job
        start, end = open_spans.get(job, (hold.start, hold.end))
        if hold.start - end > _SAME_SPAN:
            yield start, end, job[1]
            start = hold.start
        open_spans[job] = start, max(end, hold.end)
    yield from ((start, end, job) for (_, job), (start, end) in open_spans.items())


def _silent(seen: Telemetry, quantity: Field, gpus: Sequence[Gpu]) -> Iterator[tuple[float, float, str]]:
    """From when to when a GPU was not sampled, and which: all of them, or the ones that are named."""
    found = seen.of(quantity)
    spans: dict[tuple[float, float], list[Gpu]] = {}
    for gpu in gpus:
        if gpu not in found:
            spans.setdefault((seen.start, seen.end), []).append(gpu)
            continue
        first = found[gpu].points[0].time - seen.step / 2
        if first - seen.start > max(seen.bound, 0.02 * (seen.end - seen.start)):
            spans.setdefault((seen.start, first), []).append(gpu)
        for gap in gaps(found[gpu], end=seen.end, bound=seen.bound):
            spans.setdefault((gap.start, gap.end), []).append(gpu)
    for (start, end), missing in spans.items():
        who = "" if len(missing) == len(gpus) else f" of {listed([gpu.short for gpu in missing])}"
        yield start, end, f"no samples{who}"


def _shade(
    figure: Figure, spans: Iterable[tuple[float, float, str]], seen: Telemetry, colour: str, row: int, column: int
) -> None:
    """Rectangles behind the lines; a label where there is room for one."""
    whole = seen.end - seen.start
    for start, end, text in spans:
        if (end - start) / whole < _SHADE_FROM:
            end = start + _SHADE_FROM * whole
        left, right = max(start, seen.start), min(end, seen.end)
        is_part = colour == SILENT and " of " in text  # others of this panel were sampled: only a strip
        figure.add_shape(
            type="rect",
            x0=moment(left),
            x1=moment(right),
            y0=0,
            y1=0.12 if is_part else 1,
            yref="y domain",
            fillcolor=colour,
            line_width=0,
            layer="below",
            row=row,
            col=column,
        )
        if _has_room(text, (right - left) / whole) or colour == SPAN:
            is_job = colour == SPAN
            figure.add_annotation(
                x=moment(left),
                y=1 if is_job else 0,
                yref="y domain",
                text=_fitting(text, (right - left) / whole),
                showarrow=False,
                xanchor="left",
                yanchor="top" if is_job else "bottom",
                font_size=11,
                row=row,
                col=column,
            )


def _has_room(text: str, share: float) -> bool:
    return len(text) <= share * 130


def _fitting(text: str, share: float) -> str:
    """The text or its beginning; nothing where not even that has room."""
    room = int(share * 130)
    if len(text) <= room:
        return text
    return f"{text[: room - 1]}…" if room >= 5 else ""


def _drawn(trace: Trace, seen: Telemetry) -> tuple[list[Any], list[float | None]]:
    """Times and values with a break at every gap; many points become the lowest and highest of each bucket."""
    points = _thinned(trace.points, seen)
    breaks = {gap.start: gap for gap in gaps(trace, end=seen.end, bound=seen.bound)}
    times: list[Any] = []
    values: list[float | None] = []
    for point in points:
        times.append(moment(point.time))
        values.append(point.value)
        if gap := breaks.get(point.time + trace.step / 2):
            times.append(moment((gap.start + gap.end) / 2))
            values.append(None)
    return times, values


def _thinned(points: Sequence[Point], seen: Telemetry) -> list[Point]:
    if len(points) <= _DRAWN * 2:
        return list(points)
    width = (seen.end - seen.start) / _DRAWN
    kept: list[Point] = []
    for _, group in itertools.groupby(points, key=lambda p: int((p.time - seen.start) / width)):
        bucket = list(group)
        ends = {bucket[0], bucket[-1]}  # a gap begins at the last sample before it
        kept += sorted({min(bucket, key=lambda p: p.value), max(bucket, key=lambda p: p.value)} | ends)
    return kept


# ---------------------------------------------------------------------------------------------- layout
