"""A figure as PNG, by kaleido with the machine's own Chromium; none where there is no Chromium."""

from __future__ import annotations

import atexit
import functools
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def png(figure: Figure) -> bytes | None:
    """The figure on white, with dark text; None without a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return None
    import plotly.graph_objects as go
    from kaleido import calc_fig_sync  # type: ignore[import-untyped]

    _serving(browser)
    drawn = go.Figure(figure)
    drawn.update_layout(paper_bgcolor="white", plot_bgcolor="white", font_color="#24292f")
    made: Any = calc_fig_sync(drawn, opts={"format": "png", "scale": 1})
    return bytes(made)


@functools.cache
def _serving(browser: str) -> None:
    """One browser for all figures of a process (3 s to start, 0.2 s a figure); it ends with the process."""
    import kaleido

    kaleido.start_sync_server(path=browser, n=1, silence_warnings=True)
    atexit.register(kaleido.stop_sync_server, silence_warnings=True)
