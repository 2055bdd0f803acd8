"""A look: a step that only finds out. It has no actions; what it finds wrong is refused, with what to do about it.

Several looks make one (`Looks`), so that a node's findings are told all at once instead of one a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.steps import Action, Question, Raw, Refused, Shell, Step


@dataclass(frozen=True)
class Finding:
    """Something that is in the way: what was seen, and what to do."""

    seen: str
    remedy: str


class Look(Step):
    """A step without actions. `note` of what was parsed, if there is one, is told without failing anything."""

    def findings(self, seen: Any) -> Sequence[Finding]:
        """What is in the way; nothing when all is well."""
        raise NotImplementedError

    def actions(self, seen: Any) -> list[Action]:
        """None, ever. Raises Refused with all findings."""
        if found := self.findings(seen):
            raise Refused(self.wanted, "; ".join(f.seen for f in found), " ".join(f.remedy for f in found))
        return []


@dataclass(frozen=True)
class Sights:
    """What several looks saw, in their order."""

    seen: tuple[Any, ...]

    @property
    def note(self) -> str:
        """All notes."""
        return "; ".join(note for note in (getattr(seen, "note", "") for seen in self.seen) if note)

    def __str__(self) -> str:
        return "; ".join(map(str, self.seen))


@dataclass(frozen=True)
class Looks(Look):
    """Several looks as one step."""

    name: str
    wanted: str
    looks: tuple[Look, ...]

    def probe(self) -> tuple[Question, ...]:
        """All their questions."""
        return tuple(question for look in self.looks for question in _questions(look))

    def parse(self, raw: tuple[Raw, ...]) -> Sights:
        """Each look gets its own answers."""
        rest, seen = list(raw), []
        for look in self.looks:
            many = isinstance(look.probe(), tuple)
            own = tuple(rest[: len(_questions(look))])
            del rest[: len(own)]
            seen.append(look.parse(own if many else own[0]))
        return Sights(tuple(seen))

    def findings(self, seen: Sights) -> list[Finding]:
        """All their findings."""
        return [finding for look, sight in zip(self.looks, seen.seen, strict=True) for finding in look.findings(sight)]


def values(raw: str) -> dict[str, str]:
    """Lines of `key: value`; the last of a key counts."""
    return {key: value for key, _, value in (line.partition(": ") for line in raw.splitlines())}


def shell(*lines: str) -> Shell:
    """A snippet of several lines."""
    return Shell("\n".join(lines))


def _questions(look: Look) -> tuple[Question, ...]:
    asked = look.probe()
    return asked if isinstance(asked, tuple) else (asked,)
