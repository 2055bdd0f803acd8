"""What the library raises on purpose: a tree of errors with fields, each of which reads as one sentence.

    PicError                 everything raised on purpose
      SiteError              the site's folder is wrong: all problems at once, before anything is touched
      HostError              something about one node
        Unreachable          no SSH connection
        CommandFailed        a command ended badly
      ClusterError           the API server refused or failed
      StepFailed             wanted is still not seen after the actions
        StepRefused          must not be done blindly
      DeadlinePassed         waited long enough
      GroupFailed            some of several nodes failed; carries all results
      SiteBusy               somebody else changes this site now
      ConsentMissing         nobody is there who could be asked
      JournalFailed          the record of a run cannot be written (raised by journal/)
      ArtifactError          the rehearsal lab could not build or check an artifact
      LabError               the rehearsal lab itself

They travel between processes (papermill kernels, worker pools), so each can be pickled; none is frozen, because
a context manager must be able to set the traceback of an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any


def _rebuilt(kind: type[PicError], state: dict[str, Any]) -> PicError:
    return kind(**state)


@dataclass(eq=False, kw_only=True)
class PicError(Exception):
    """The root: catch it to catch everything this library raises on purpose."""

    remedy: str = ""

    def sentence(self) -> str:
        """Who, what was wanted and what was seen; the remedy is appended by `str()`."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.sentence()} {self.remedy}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a notebook shows the sentence; the journal has the rest."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a site's folder: where, what stands there, what is allowed."""

    file: str
    key: str
    value: str
    allowed: str
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        value = f" {self.value};" if self.value else ""
        return f"{where}:{key}{value} {self.allowed}"


@dataclass(eq=False, kw_only=True)
class SiteError(PicError):
    """The site's folder cannot be used; `problems` holds every reason, found before anything was touched."""

    path: str
    problems: tuple[Problem, ...] = ()

    def sentence(self) -> str:
        """One line a problem."""
        count = len(self.problems)
        head = f"{self.path}: {count} problem{'s' if count != 1 else ''}, nothing was touched."
        return "\n  ".join([head, *map(str, self.problems)])


@dataclass(eq=False, kw_only=True)
class HostError(PicError):
    """Something about one node."""

    node: str
    seen: str = ""

    def sentence(self) -> str:
        """The node and what was seen there."""
        return f"{self.node}: {self.seen}"


@dataclass(eq=False, kw_only=True)
class Unreachable(HostError):
    """No SSH connection that we trust came about."""

    address: str = ""

    def sentence(self) -> str:
        """The node, its address, and why."""
        return f"{self.node} ({self.address}): not reachable over SSH: {self.seen}."


@dataclass(eq=False, kw_only=True)
class CommandFailed(HostError):
    """A command on a node ended with an exit code that is not 0 (secrets masked)."""

    command: str = ""
    exit: int = 0
    stderr_tail: str = ""
    step: str = ""

    def sentence(self) -> str:
        """The step that wanted it, the command, its exit code and the end of what it said."""
        tail = f" It said: {self.stderr_tail.strip()}" if self.stderr_tail.strip() else ""
        step = f"{self.step}: " if self.step else ""
        return f"{self.node}: {step}`{self.command}` ended with {self.exit}.{tail}"


@dataclass(eq=False, kw_only=True)
class ClusterError(PicError):
    """The API server refused a request, or cannot be reached."""

    status: int = 0
    reason: str = ""
    object: str = ""

    def sentence(self) -> str:
        """The object, the HTTP status and the server's reason."""
        status = f" (status {self.status})" if self.status else ""
        return f"cluster: {self.object or 'API server'}: {self.reason}{status}."


@dataclass(eq=False, kw_only=True)
class StepFailed(PicError):
    """A step's wanted state was not seen, before or after its actions."""

    node: str
    step: str
    wanted: str
    seen: str

    def sentence(self) -> str:
        """Node, step, wanted, seen."""
        return f"{self.node}: {self.step}: wanted {self.wanted}, saw {self.seen.rstrip('.')}."


@dataclass(eq=False, kw_only=True)
class StepRefused(StepFailed):
    """A step met a state in which its actions must not be done blindly."""


@dataclass(eq=False, kw_only=True)
class DeadlinePassed(PicError):
    """Something that was waited for did not come about in time."""

    waiting_for: str
    seconds: float
    last_seen: str = ""

    def sentence(self) -> str:
        """What was waited for, how long, and the last state."""
        return f"waited {self.seconds:.0f} s for {self.waiting_for}; last seen: {self.last_seen or 'nothing'}."


@dataclass(eq=False, kw_only=True)
class GroupFailed(PicError):
    """Some of several nodes failed; the others finished. `results` maps a node to its error or its result."""

    results: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, BaseException]:
        """Node to error, for those that failed."""
        return {node: r for node, r in self.results.items() if isinstance(r, BaseException)}

    @property
    def succeeded(self) -> dict[str, Any]:
        """Node to result, for those that finished."""
        return {node: r for node, r in self.results.items() if not isinstance(r, BaseException)}

    def sentence(self) -> str:
        """How many failed, which, and why; which are done."""
        names = ", ".join(self.failed)
        done = ", ".join(self.succeeded) or "none"
        reasons = _lines(str(error) for error in self.failed.values())
        return f"{len(self.failed)} of {len(self.results)} nodes failed: {names}; done: {done}.{reasons}"


@dataclass(eq=False, kw_only=True)
class SiteBusy(PicError):
    """Another run changes this site now."""

    site: str
    who: str = ""
    since: str = ""

    def sentence(self) -> str:
        """Who runs, since when."""
        return f"{self.site}: {self.who or 'somebody'} has been changing this site since {self.since or 'just now'}."


@dataclass(eq=False, kw_only=True)
class ConsentMissing(PicError):
    """A password or a yes is needed and nobody is there who could be asked."""

    needed: str

    def sentence(self) -> str:
        """What is needed."""
        return f"Nobody could be asked for {self.needed}."


@dataclass(eq=False, kw_only=True)
class ArtifactError(PicError):
    """An artifact of the rehearsal lab could not be built, or is not what its pin says."""

    artifact: str
    wanted: str
    seen: str

    def sentence(self) -> str:
        """Artifact, wanted, seen."""
        return f"{self.artifact}: wanted {self.wanted}, saw {self.seen.rstrip('.')}."


@dataclass(eq=False, kw_only=True)
class LabError(PicError):
    """The rehearsal lab cannot be started, reached or taken down."""

    what: str
    seen: str = ""

    def sentence(self) -> str:
        """What was being done, and what was seen."""
        return f"lab: {self.what}: {self.seen.rstrip('.')}."


def _lines(parts: Sequence[str] | Any) -> str:
    return "".join(f"\n  {part}" for part in parts)
