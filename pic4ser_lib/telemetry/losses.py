"""The loss of training jobs, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pic4ser_lib.telemetry.layout import MARGIN_BOTTOM, MARGIN_TOP, laid_out
from pic4ser_lib.telemetry.style import DASHES, FAINT, PALETTE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def losses(jobs: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """A line for each job: pairs of step and loss."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for place, (name, pairs) in enumerate(jobs.items()):
        line = {"color": PALETTE[place % len(PALETTE)], "dash": DASHES[place % len(DASHES)], "width": 1.8}
        steps, values = [step for step, _ in pairs], [loss for _, loss in pairs]
        hover = f"{name}<br>step %{{x}}: loss %{{y:.4f}}<extra></extra>"
        figure.add_trace(
            Scatter(x=steps, y=values, name=name, mode="lines+markers", line=line, hovertemplate=hover, showlegend=True)
        )
    figure.update_xaxes(title_text="step", gridcolor=FAINT, zeroline=False, rangemode="tozero")
    figure.update_yaxes(title_text="loss", gridcolor=FAINT, zeroline=False, rangemode="tozero")
    return laid_out(figure, "Loss by step", 260 + MARGIN_TOP + MARGIN_BOTTOM)
