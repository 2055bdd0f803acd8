"""Telemetry as a cell shows it: verdicts against stated bounds as text, the figure and its numbers as HTML and PNG."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pic4ser_lib.display import show
from pic4ser_lib.errors import StepFailed
from pic4ser_lib.ports import CLUSTER

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Verdict:
    """A sentence with a stated bound that holds, or what was seen instead.

    A finding is about how the GPUs are used (somebody's program, heat, a GPU that is held and idle): it is told, and
    does not say that what the runbook installs fails.
    """

    holds: bool
    text: str
    is_finding: bool = False

    def __str__(self) -> str:
        return self.text if self.holds else f"NOT SO: {self.text}"


@dataclass(frozen=True, repr=False)
class Shown:
    """What a cell of notebook 11 or 12 returns. A reading that cannot be made says so; it never fails the cell.

    Verdicts that do not hold do, where `required` is asked.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    draw: Callable[[], Figure] | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """What was seen in place of each verdict that has to hold and does not."""
        return tuple(one.text for one in self.verdicts if not one.holds and not one.is_finding)

    def __repr__(self) -> str:
        return "\n".join(f"{self.title}  {verdict}" for verdict in self.verdicts) or self.title

    def __rich__(self) -> str:
        """The terminal's reading."""
        return repr(self)

    def _repr_html_(self) -> str:
        parts = [self._guarded(self._figure_html), self._verdicts_html(), self._guarded(self._table_html)]
        return "".join([*parts, *(f"<p>{html.escape(note)}</p>" for note in self.notes)])

    def _repr_png_(self) -> bytes | None:
        if self.draw is None:
            return None
        from pic4ser_lib.telemetry.picture import png

        try:
            return png(self.draw())
        except Exception:
            return None  # the HTML has the figure; a browser that does not start must not fail the cell

    def _figure_html(self) -> str:
        from pic4ser_lib.telemetry.page import page_part

        return page_part(self.draw()) if self.draw else ""

    def _table_html(self) -> str:
        from pic4ser_lib.telemetry.page import table

        return table(list(self.head), [list(row) for row in self.rows]) if self.rows else ""

    def _verdicts_html(self) -> str:
        items = "".join(f"<li>{'' if v.holds else '<b>NOT SO</b>: '}{html.escape(v.text)}</li>" for v in self.verdicts)
        return f"<ul>{items}</ul>"

    def _guarded(self, make: Callable[[], str]) -> str:
        try:
            return make()
        except Exception as error:
            return f"<p>({html.escape(self.title)} cannot be drawn: {html.escape(type(error).__name__)})</p>"


def unknown(title: str, why: str) -> Shown:
    """What is shown of something that cannot be seen, and why."""
    return Shown(title, (Verdict(True, f"unknown: {why}"),))


def required(shown: Shown, *, step: str, wanted: str, remedy: str, evidence: str = "") -> Shown:
    """The same, if all its verdicts hold. Otherwise it is put above the failure: raises StepFailed."""
    if not shown.broken:
        return shown
    show(shown)
    seen = evidence or "; ".join(shown.broken)
    raise StepFailed(node=CLUSTER, step=step, wanted=wanted, seen=seen, remedy=remedy)


def number(value: float, form: str = ".1f") -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value != value else format(value, form)


def listed(names: Sequence[Any], limit: int = 4) -> str:
    """Some names in a sentence, the rest counted."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")
