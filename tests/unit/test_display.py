"""One record, three readings: what stays the same, what may differ, and what a machine's text must not do."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pic4ser_lib.display import LINES, BindingTable, Table, record_from, record_lines
from pic4ser_lib.site import Node
from pic4ser_lib.steps import Mode, Outcome, Record

OFF = Record("bonnie", "swap.off", "no swap is active", Outcome.CHANGED, seen="swap on /dev/sda3", seconds=1.2,
             actions=("run: swapoff -a",))  # fmt: skip
FSTAB = Record("bonnie", "swap.removed_from_fstab", "no line of /etc/fstab brings swap back", Outcome.OK)


def on(node: str, *records: Record) -> tuple[Record, ...]:
    return tuple(replace(record, node=node) for record in records)


def test_nodes_with_the_same_text_share_a_line_in_fixed_columns() -> None:
    table = Table((*on("bonnie", OFF, FSTAB), *on("kitt", OFF, FSTAB)))
    assert repr(table) == (
        "swap.off                 no swap is active                       bonnie, kitt\n"
        "swap.removed_from_fstab  no line of /etc/fstab brings swap back  bonnie, kitt"
    )


def test_the_first_run_and_the_tenth_read_the_same() -> None:
    first = Table((OFF,), Mode.APPLY)
    tenth = Table((replace(OFF, outcome=Outcome.OK, seen="nothing", seconds=9.9, actions=()),), Mode.VERIFY)
    assert repr(first) == repr(tenth)


def test_a_proof_that_was_repeated_reads_like_one_that_was_not() -> None:
    proof = Record("cluster", "network", "pods reach each other", Outcome.OK, kind="proof", seen="6 of 6", seconds=8)
    assert repr(Table((proof,))) == repr(Table((replace(proof, seen="", note="not repeated", seconds=0),)))


def test_steps_stand_in_the_order_they_ran_also_when_one_node_has_more_of_them() -> None:
    first, second, third = (Record("bonnie", name, name, Outcome.OK) for name in ("a", "b", "c"))
    table = Table((*on("bonnie", first, third), *on("kitt", first, second, third)))
    assert [line.split()[0] for line in repr(table).splitlines()] == ["a", "b", "c"]


def test_nodes_that_want_different_things_have_neighbouring_lines() -> None:
    mine, yours = replace(OFF, wanted="2 GPUs"), replace(OFF, wanted="1 GPU", node="kitt")
    table = Table((mine, FSTAB, yours, replace(FSTAB, node="kitt")))
    assert [line.split()[0] for line in repr(table).splitlines()] == [OFF.step, OFF.step, FSTAB.step]


def test_text_never_exceeds_fifteen_lines() -> None:
    lines = repr(Table(tuple(replace(OFF, step=f"step{n}") for n in range(40)))).splitlines()
    assert len(lines) == LINES
    assert "and 26 more" in lines[-1]


def test_a_plan_names_its_actions_and_what_cannot_be_known_yet() -> None:
    planned = replace(OFF, outcome=Outcome.PLANNED)
    unknown = replace(FSTAB, outcome=Outcome.UNKNOWN, note="needs containerd")
    text = repr(Table((planned, unknown), Mode.PLAN))
    assert "planned: run: swapoff -a" in text
    assert "unknown yet: needs containerd" in text


def test_a_failure_says_what_was_wanted_and_seen() -> None:
    failed = replace(OFF, outcome=Outcome.FAILED, seen="/swap.img is active")
    assert "FAILED: wanted no swap is active, saw /swap.img is active" in repr(Table((failed,)))


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


EVIL = "<script>alert('x')</script>\x1b[2J<img src=x onerror=y>"


def test_html_escapes_everything_that_came_from_a_machine() -> None:
    record = Record(EVIL, EVIL, EVIL, Outcome.FAILED, EVIL, (EVIL,), (EVIL,), 1.0, EVIL, "step", EVIL)
    tags = Tags(Table((record,))._repr_html_())
    assert not tags.open
    assert tags.seen <= {
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "span",
        "details",
        "summary",
        "div",
        "pre",
    }
    assert tags.attributes <= {"style", "open"}


def test_html_sets_no_text_colour_and_loads_nothing() -> None:
    page = Table((replace(OFF, diffs=("-a\n+b",)), FSTAB))._repr_html_()
    assert not re.search(r"(?<!background-)color:|https?:|src=|url\(", page)


def test_text_and_terminal_lines_carry_no_control_characters() -> None:
    record = replace(OFF, outcome=Outcome.PLANNED, wanted=EVIL, actions=(EVIL,), diffs=(EVIL,))
    assert "\x1b" not in repr(Table((record,), Mode.PLAN)) + "\n".join(record_lines(record))


@pytest.mark.parametrize("broken", [(None,), ("text",), (replace(OFF, outcome="odd", actions=None),)])  # type: ignore[arg-type]
def test_no_reading_ever_raises(broken: tuple[Record, ...]) -> None:
    table = Table(broken)
    assert [repr(table), table._repr_html_(), str(table.__rich__())]


def test_the_terminal_shows_outcome_and_actions_and_leaves_brackets_alone() -> None:
    from rich.console import Console

    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(Table((replace(OFF, wanted="[bold]no swap[/] is active"),)))
    assert "changed" in capture.get()
    assert "[bold]no swap[/] is active" in capture.get()


NODES = (
    Node(name="bonnie", address="192.0.2.11", role="control-plane", gpus=2),
    Node(name="rover", address="192.0.2.13", role="worker"),
)


class Den:
    name, title, stand_ins = "den", "The <den>", ()


def test_the_binding_has_addresses_in_html_only() -> None:
    table = BindingTable(Den(), NODES)  # type: ignore[arg-type]
    assert repr(table) == "bonnie  control-plane  2 GPUs\nrover   worker         no GPU"
    assert "192.0.2.11" in table._repr_html_()
    assert "The &lt;den&gt;" in table._repr_html_()


def test_the_binding_reads_the_same_in_every_mode() -> None:
    assert repr(BindingTable(Den(), NODES, Mode.PLAN)) == repr(BindingTable(Den(), NODES, Mode.VERIFY))  # type: ignore[arg-type]


def test_a_record_survives_the_journal() -> None:
    assert record_from({"event": "record", "chain": "x", **OFF.as_dict()}) == OFF
