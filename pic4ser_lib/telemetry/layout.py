"""How every figure is laid out: title and legend on top, grey axes that read on light and dark pages, times in UTC."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pic4ser_lib.telemetry.fields import Field
from pic4ser_lib.telemetry.records import Telemetry
from pic4ser_lib.telemetry.style import FAINT, GREY

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

WIDTH, MARGIN_TOP, MARGIN_BOTTOM = 960, 90, 60


def laid_out(figure: Figure, title: str, height: float) -> Figure:
    figure.update_layout(
        title={"text": title, "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12}},
        height=round(height),
        width=WIDTH,
        margin={"l": 70, "r": 20, "t": MARGIN_TOP, "b": MARGIN_BOTTOM},
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        legend={"orientation": "h", "x": 0, "y": 1 - 34 / height, "yref": "container", "yanchor": "top"},
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(linecolor=GREY, ticks="outside", tickcolor=FAINT)
    figure.update_yaxes(linecolor=GREY, ticks="outside", tickcolor=FAINT)
    return figure


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


def limits(seen: Telemetry, quantity: Field, *, room: float = 1.18) -> tuple[float, float]:
    """Zero is always in the picture, and all of a percentage; above the lines there is room for a job's name."""
    highest = max((p.high for t in seen.of(quantity).values() for p in t.points), default=1.0)
    highest = 100.0 if quantity.unit == "%" else max(highest, 1e-9)
    return 0, highest * room
