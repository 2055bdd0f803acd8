"""What holds for all tests: Ctrl-C is one, and how nbval compares a notebook's outputs with the committed ones."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# Who is started in the background by a shell ignores Ctrl-C, and so would everything that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The text reading is the verified state and has to match. The other readings tell how it came about (who changed what,
# in how many seconds) and differ by run on purpose, as does progress on standard error.
DIFFERS_BY_RUN = ("text/html", "image/png", "application/vnd.plotly.v1+json", "stderr")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave out what differs by run when the file is a notebook."""
    notebook: Any = collector
    if hasattr(notebook, "skip_compare"):
        notebook.skip_compare = (*notebook.skip_compare, *DIFFERS_BY_RUN)
