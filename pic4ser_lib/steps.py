"""What a step is: a wanted state, how to ask for it, and the pure decision what to do about it.

    probe()        what to ask, as data: a shell snippet on a node, or an API read
    parse(raw)     what the answer means, as a small frozen dataclass
    actions(seen)  what to do: [] means already so

Everything here is data and pure functions. `engine` runs steps; `host` and `cluster` carry questions and actions.
What a plan prints is the very action that apply executes.
"""

from __future__ import annotations

import difflib
import enum
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# ---------------------------------------------------------------------------------------------- questions


@dataclass(frozen=True)
class Shell:
    """A snippet for bash that reads and changes nothing, run as root; its standard output is the answer.

    It must end with exit code 0 (write `|| true` where a miss is an answer): a snippet that fails raises, so a
    broken question is never taken for an empty answer. `on` names another node than the one the step runs on.
    """

    script: str
    on: str = ""


@dataclass(frozen=True)
class Read:
    """A read of the Kubernetes API. With `name`: the object as a dict, or None when there is none.

    Without `name`: the list of objects (in all namespaces when `namespace` is empty), filtered by the label
    selector `labels`. A kind that the server does not know answers like an empty one.
    """

    api_version: str
    kind: str
    name: str = ""
    namespace: str = ""
    labels: str = ""


@dataclass(frozen=True)
class OwnKubeconfig:
    """What the operator's own kubeconfig of this site says: a dict, or None when there is none.

    Keys: `server`, `tls_server_name`, `mode` (octal text), `certificate_sha256` (of the client certificate, DER).
    """


@dataclass(frozen=True)
class ProxyGet:
    """A GET that the API server passes on to a service of the cluster (its service proxy).

    The answer is the JSON object that the service gave, whatever its HTTP status; None as long as there is no such
    service, or no ready pod behind it. `port` is a port's name or number; `query` is pairs of names and values.
    """

    namespace: str
    service: str
    port: str | int
    path: str
    query: tuple[tuple[str, str], ...] = ()


Question = Shell | Read | OwnKubeconfig | ProxyGet
Raw = Any
"""A str for a Shell, a dict, None or list for the others; a tuple of these where `probe` returns a tuple."""

# ------------------------------------------------------------------------------------------------ actions


@dataclass(frozen=True)
class Secret:
    """A reference to a value that is made when it is needed and never printed.

    `made_by` is a command that prints the value, run as root on node `on` at the moment an action needs it.
    """

    name: str
    made_by: str
    on: str

    def __str__(self) -> str:
        return f"<{self.name}, made on {self.on}>"


Content = str | tuple[str | Secret, ...]
"""Text, or text with secrets between its parts."""


@dataclass(frozen=True)
class Run:
    """A command for bash, run as root. A secret travels only in `stdin`, never in `command`.

    `before` is what was there of the thing that `stdin` describes (a release's values), for the diff; None: no diff.
    """

    command: str
    stdin: Content = ""
    on: str = ""
    timeout: float = 600.0
    before: str | None = None


@dataclass(frozen=True)
class WriteFile:
    """A whole file, put in place atomically. `before` is what was read there (None: no such file), for the diff."""

    path: str
    content: Content
    before: str | None = None
    mode: int = 0o644


@dataclass(frozen=True)
class RemoveFile:
    """A file taken away (a copy is kept on the node). `before` is what was read there."""

    path: str
    before: str = ""


@dataclass(frozen=True)
class Restart:
    """systemctl daemon-reload and restart of a unit; `why` says what made it necessary."""

    unit: str
    why: str = ""


@dataclass(frozen=True)
class Apply:
    """Objects for a server-side apply, in this order."""

    objects: tuple[dict[str, Any], ...]
    force: bool = False


@dataclass(frozen=True)
class Patch:
    """A strategic merge patch (JSON merge patch for custom resources) of one object."""

    api_version: str
    kind: str
    name: str
    body: dict[str, Any]
    namespace: str = ""


@dataclass(frozen=True)
class Delete:
    """One object removed, with what depends on it."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""


@dataclass(frozen=True)
class KeepKubeconfig:
    """The operator's own kubeconfig (0600) made from a node's admin.conf, pointed at `server`.

    The server's certificate is checked against `tls_server_name`, the endpoint's name, because `server` is the
    address of one control plane.
    """

    content: tuple[Secret]
    server: str
    tls_server_name: str


Action = Run | WriteFile | RemoveFile | Restart | Apply | Patch | Delete | KeepKubeconfig

# ------------------------------------------------------------------------------------------------ answers


@dataclass(frozen=True)
class Later:
    """The step cannot know yet: `needs` names the earlier step (or thing) that has to be there first."""

    needs: str
    why: str = ""


@dataclass(frozen=True)
class Settling:
    """Nothing to do but wait: all actions have been issued, and `missing` says what has not come about yet."""

    missing: str


Decision = Sequence[Action] | Later | Settling


class Refused(Exception):
    """Raised by `actions`: what was seen forbids acting blindly."""

    def __init__(self, wanted: str, seen: str, remedy: str) -> None:
        super().__init__(wanted, seen, remedy)
        self.wanted, self.seen, self.remedy = wanted, seen, remedy


class Step:
    """Base of all steps: a name, a wanted state as a present-tense sentence, and three questions.

    Concrete steps are frozen dataclasses. `settles_within` (seconds) is how long the wanted state may take to come
    about by itself after the actions; 0 means it must be there at once. Who waits asks `probe` again and again; a step
    whose probe is dear may name a cheaper question for that (`meanwhile`, `missing`). The verdict is the probe's.
    """

    name: str
    wanted: str
    settles_within: float = 0.0

    def probe(self) -> Question | tuple[Question, ...]:
        """What to ask."""
        raise NotImplementedError

    def parse(self, raw: Raw) -> Any:
        """What the answer means: a small frozen dataclass."""
        raise NotImplementedError

    def actions(self, seen: Any) -> Decision:
        """What to do about it: a list of actions ([]: already so), or Later, or Settling. Raises Refused."""
        raise NotImplementedError

    def meanwhile(self) -> tuple[Question, ...]:
        """What to ask while something settles, before `probe` is asked again; nothing: only `probe`."""
        return ()

    def missing(self, raw: tuple[Raw, ...]) -> str:
        """What the answers to `meanwhile` lack still; empty when it is time to ask `probe`."""
        return ""


@dataclass(frozen=True)
class Proof:
    """Pods that show that something works; created only in namespace pic4ser-proof and always removed again.

    `objects` are applied first (servers, services); then each pod of `pods` must succeed within `within` seconds,
    and its log must hold the line that `expects` maps its name to.
    """

    name: str
    wanted: str
    pods: tuple[dict[str, Any], ...]
    expects: dict[str, str]
    objects: tuple[dict[str, Any], ...] = ()
    within: float = 120.0


@dataclass(frozen=True)
class Forward:
    """A service of the cluster brought to a port of the operator's own machine, for a while.

    `check` is a path that has to answer with HTTP 200 before the forward counts as open. `local_port` is taken if it
    is free, else another one. The forward ends by itself after `seconds`, and with the process that opened it.
    """

    name: str
    wanted: str
    namespace: str
    service: str
    port: str | int
    local_port: int
    check: str = "/"
    seconds: float = 1800.0


# ------------------------------------------------------------------------------------------------ records


class Outcome(enum.StrEnum):
    """How a step ended on a node."""

    OK = "ok"
    CHANGED = "changed"
    PLANNED = "planned"
    UNKNOWN = "unknown"
    FAILED = "failed"
    REFUSED = "refused"


class Mode(enum.StrEnum):
    """What a run may do: only look ahead, change and prove, or only prove."""

    PLAN = "plan"
    APPLY = "apply"
    VERIFY = "verify"


@dataclass(frozen=True)
class Record:
    """What happened with one step on one node. `node` is "cluster" for a step of the cluster."""

    node: str
    step: str
    wanted: str
    outcome: Outcome
    seen: str = ""
    actions: tuple[str, ...] = ()
    diffs: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    kind: str = "step"
    note: str = field(default="")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {**asdict(self), "outcome": self.outcome.value, "actions": list(self.actions), "diffs": list(self.diffs)}


# ------------------------------------------------------------------------------- an action's readings


def describe(action: Action) -> str:
    """One line that says what an action does; secrets appear as references."""
    match action:
        case Run(command=command, on=on):
            return f"run on {on}: {command}" if on else f"run: {command}"
        case WriteFile(path=path, before=None):
            return f"write new file {path}"
        case WriteFile(path=path):
            return f"write {path}"
        case RemoveFile(path=path):
            return f"remove {path}"
        case Restart(unit=unit, why=why):
            return f"restart {unit}" + (f" ({why})" if why else "")
        case Apply(objects=objects):
            return "apply " + ", ".join(map(object_name, objects))
        case Patch(kind=kind, name=name, body=body):
            return f"patch {kind} {name}: {json.dumps(body, sort_keys=True)}"
        case Delete(kind=kind, name=name):
            return f"delete {kind} {name}"
        case KeepKubeconfig(server=server):
            return f"keep the operator's kubeconfig (0600) for {server}"


def diff(action: Action) -> str:
    """A unified diff of the file that an action writes or removes, or of what a command is given; else empty."""
    match action:
        case Run(before=str() as before, stdin=stdin):
            return _unified("standard input", before, printable(stdin))
        case WriteFile(path=path, before=before, content=content):
            return _unified(path, before or "", printable(content))
        case RemoveFile(path=path, before=before):
            return _unified(path, before, "")
        case _:
            return ""


def printable(content: Content) -> str:
    """The text with each secret shown as its reference."""
    return content if isinstance(content, str) else "".join(map(str, content))


def secrets_of(action: Action) -> tuple[Secret, ...]:
    """The secrets an action needs, in the order of their first use."""
    content: Content = getattr(action, "content", "") or getattr(action, "stdin", "")
    parts = () if isinstance(content, str) else content
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, Secret)))


def object_name(obj: dict[str, Any]) -> str:
    """How an API object is called in sentences: `DaemonSet kube-flannel/kube-flannel-ds`."""
    meta = obj.get("metadata", {})
    namespace = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj.get('kind', 'object')} {namespace}{meta.get('name', '?')}"


def _unified(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} (now)", f"{path} (wanted)", lineterm=""
    )
    return "\n".join(lines)
