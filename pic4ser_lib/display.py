"""One record, three readings: text that stays the same, HTML that tells how it came about, a table on the terminal.

The text is the verified state and is what nbval compares: the same on the first run and on the tenth. Everything that
differs by run or machine (outcome, seconds, what was seen, commands, diffs) is in the HTML and on the terminal.
A display method never raises: one that does would fail the notebook's cell.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pic4ser_lib.steps import Mode, Outcome, Record

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from pic4ser_lib.site import Node, Site

LINES = 15
"""A text reading has at most so many lines."""

_WIDEST = 76
_BAD = (Outcome.FAILED, Outcome.REFUSED)

# Translucent grounds and inherited text colours read well on JupyterLab's light and dark themes alike.
_GROUND = {
    Outcome.OK: "rgba(46,160,67,.18)",
    Outcome.CHANGED: "rgba(46,160,67,.42)",
    Outcome.PLANNED: "rgba(56,139,253,.32)",
    Outcome.UNKNOWN: "rgba(139,148,158,.32)",
    Outcome.FAILED: "rgba(248,81,73,.42)",
    Outcome.REFUSED: "rgba(248,81,73,.42)",
}
_STYLE = {
    Outcome.OK: "green",
    Outcome.CHANGED: "bold green",
    Outcome.PLANNED: "cyan",
    Outcome.UNKNOWN: "dim",
    Outcome.FAILED: "bold red",
    Outcome.REFUSED: "bold red",
}
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 4px"
_PRE = "margin:2px 0;padding:4px 8px;overflow-x:auto;background-color:rgba(139,148,158,.15)"

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _never_raises(method: _Method) -> _Method:
    """A reading that cannot be made says so in its place."""

    @functools.wraps(method)
    def guarded(self: Any) -> Any:
        try:
            return method(self)
        except Exception as error:
            return f"({type(self).__name__} cannot be shown: {html.escape(type(error).__name__)})"

    return guarded  # type: ignore[return-value]


@dataclass(frozen=True, repr=False)
class Table:
    """The records of one cell. Records stand in the order of the site's nodes; each line names its nodes."""

    records: tuple[Record, ...]
    mode: Mode = Mode.APPLY

    @_never_raises
    def __repr__(self) -> str:
        return _columns(_merged(self.records, self.mode)) or "nothing is wanted of these nodes"

    @_never_raises
    def _repr_html_(self) -> str:
        rows = "".join(map(_row, self.records))
        head = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("node", "step", "outcome", "wanted", "seconds"))
        return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __rich__(self) -> RichTable | str:
        """The terminal's reading; rich looks for this method by its name."""
        try:
            return _rich_table(self.records)
        except Exception:
            return repr(self)


@dataclass(frozen=True, repr=False)
class BindingTable:
    """The machines that a notebook works on: shown before anything is touched."""

    site: Site
    members: tuple[Node, ...]
    mode: Mode = Mode.APPLY
    without: tuple[str, ...] = field(default=())

    @_never_raises
    def __repr__(self) -> str:
        return _columns([(node.name, node.role, _gpus(node.gpus)) for node in self.members]) or "no node is bound"

    @_never_raises
    def _repr_html_(self) -> str:
        title = html.escape(str(getattr(self.site, "title", "") or self.site.name))
        mode = html.escape(str(Mode(self.mode).value))
        rows = "".join(_node_row(node) for node in self.members)
        left_out = f"<p>Left out: {html.escape(', '.join(self.without))}.</p>" if self.without else ""
        stand_ins = stand_ins_html(getattr(self.site, "stand_ins", ()))
        return f"<p><b>{title}</b>, mode {mode}</p><table><tbody>{rows}</tbody></table>{left_out}{stand_ins}"


def show(thing: object) -> None:
    """In a notebook, put something above what the cell returns, or above its failure; elsewhere do nothing."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        display(thing)  # type: ignore[no-untyped-call]


def outcomes(records: Iterable[Record]) -> dict[Outcome, int]:
    """How many records ended how, in the order of Outcome; outcomes that did not occur are left out."""
    counts = dict.fromkeys(Outcome, 0)
    for record in records:
        counts[record.outcome] += 1
    return {outcome: count for outcome, count in counts.items() if count}


def record_from(data: dict[str, Any]) -> Record:
    """The record that a journal's line carries; fields that this version does not know are left aside."""
    known = {name: data[name] for name in Record.__dataclass_fields__ if name in data}
    known["outcome"] = Outcome(known["outcome"])
    return Record(**known | {"actions": tuple(known.get("actions", ())), "diffs": tuple(known.get("diffs", ()))})


def record_lines(record: Record) -> list[str]:
    """A record in plain lines, with its actions and diffs: a plan where there is no terminal."""
    head = f"{record.node}  {record.step}  {record.outcome.value}: {record.wanted}"
    return [printable(head), *(f"    {line}" for line in _details(record))]


def printable(text: str) -> str:
    """The text without what a terminal would take for a command; it may come from a machine. Line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text.expandtabs())


def stand_ins_html(stand_ins: Iterable[Any]) -> str:
    """What is not the real thing here, and what therefore is not proved."""
    items = "".join(
        f"<li>{html.escape(str(s.name))} instead of {html.escape(str(s.instead_of))}; "
        f"does not prove {html.escape(str(s.does_not_prove))}</li>"
        for s in stand_ins
    )
    if not items:
        return ""
    count = items.count("<li>")
    head = f"{count} stand-in{'s' if count > 1 else ''}: what a rehearsal here does not prove"
    return f"<details><summary>{head}</summary><ul>{items}</ul></details>"


# ---------------------------------------------------------------------------------------------- text


def _merged(records: Sequence[Record], mode: Mode) -> list[tuple[str, str, str]]:
    """One line a step and text, naming every node for which the text is the same."""
    texts = [(record, _text(record, mode)) for record in records]
    nodes: dict[tuple[str, str], list[str]] = {}
    for record, text in texts:
        named = nodes.setdefault((record.step, text), [])
        if record.node not in named:
            named.append(record.node)
    lines = [(step, text, ", ".join(nodes[step, text])) for step, text in _in_order(texts)]
    if len(lines) <= LINES:
        return lines
    return [*lines[: LINES - 1], ("...", f"and {len(lines) - LINES + 1} more", "")]


def _in_order(texts: Sequence[tuple[Record, str]]) -> list[tuple[str, str]]:
    """The lines in the order in which the nodes ran the steps, whichever node has more of them."""
    merged: list[tuple[str, str]] = []
    last: dict[str, tuple[str, str]] = {}
    for record, text in texts:
        key = (record.step, text)
        if key not in merged:
            same = [place for place, (step, _) in enumerate(merged) if step == record.step]
            before = merged.index(last[record.node]) if record.node in last else len(merged) - 1
            merged.insert((same[-1] if same else before) + 1, key)
        last[record.node] = key
    return merged


def _text(record: Record, mode: Mode) -> str:
    wanted = printable(" ".join(str(record.wanted).split()))
    if record.outcome in _BAD:
        return f"{record.outcome.value.upper()}: wanted {wanted}, saw {_short(record.seen) or 'nothing'}"
    if record.outcome is Outcome.PLANNED:
        return "planned: " + "; ".join(_short(action) for action in record.actions)
    if record.outcome is Outcome.UNKNOWN:
        return f"unknown yet: {_short(record.note or record.seen or wanted)}"
    return f"already so: {wanted}" if mode is Mode.PLAN else wanted


def _short(text: str, limit: int = 160) -> str:
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def _columns(rows: Sequence[tuple[str, str, str]]) -> str:
    first = max((len(row[0]) for row in rows), default=0)
    second = min(_WIDEST, max((len(row[1]) for row in rows), default=0))
    return "\n".join(f"{a:<{first}}  {b:<{second}}  {c}".rstrip() for a, b, c in rows)


def _gpus(count: int) -> str:
    return "no GPU" if not count else f"{count} GPU{'s' if count != 1 else ''}"


# ---------------------------------------------------------------------------------------------- HTML


def _row(record: Record) -> str:
    seconds = f"{float(record.seconds):.1f}" if record.seconds else ""
    kind = " (proof)" if record.kind == "proof" else ""
    outcome = f'<span style="padding:0 6px;background-color:{_GROUND[record.outcome]}">{record.outcome.value}</span>'
    cells = (
        html.escape(str(record.node)),
        f"<code>{html.escape(str(record.step))}</code>{kind}",
        outcome,
        html.escape(str(record.wanted)) + _how(record),
        seconds,
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _how(record: Record) -> str:
    """What was seen and done, folded away unless something failed."""
    parts = [
        *(f"<div>{name}: {html.escape(str(text))}</div>" for name, text in _remarks(record) if text),
        *(f'<pre style="{_PRE}">{html.escape(str(action))}</pre>' for action in record.actions),
        *(f'<pre style="{_PRE}">{html.escape(str(text))}</pre>' for text in record.diffs),
    ]
    if not parts:
        return ""
    opened = " open" if record.outcome in _BAD else ""
    return f"<details{opened}><summary>how</summary>{''.join(parts)}</details>"


def _remarks(record: Record) -> tuple[tuple[str, str], ...]:
    return ("failed", record.error), ("seen", record.seen), ("note", record.note)


def _node_row(node: Node) -> str:
    texts = (node.name, node.address, node.role, _gpus(node.gpus))
    return "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(str(text))}</td>' for text in texts) + "</tr>"


# ------------------------------------------------------------------------------------------ terminal


def _rich_table(records: Sequence[Record]) -> RichTable:
    from rich.markup import escape
    from rich.table import Table as RichTable

    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for name in ("node", "step", "outcome", "wanted"):
        table.add_column(name, overflow="fold")
    for record in records:
        style = _STYLE[record.outcome]
        outcome = f"[{style}]{record.outcome.value}[/]"
        wanted = "\n".join([escape(str(record.wanted)), *(f"[dim]{escape(line)}[/]" for line in _details(record))])
        table.add_row(escape(str(record.node)), escape(str(record.step)), outcome, wanted)
    return table


def _details(record: Record) -> list[str]:
    """What an operator wants to see under a record: the error, or the actions with their diffs, or what is missing."""
    if record.error:
        return [printable(str(record.error))]
    if record.outcome is Outcome.UNKNOWN:
        return [printable(str(record.note or record.seen))]
    lines = [f"- {action}" for action in record.actions]
    return [printable(line) for text in (*lines, *record.diffs) for line in str(text).splitlines()]
