"""The whole runbook without anybody watching: papermill, one process a notebook, in the order of their numbers.

A notebook whose metadata says `pic4ser.scope: node` runs once per node, side by side; all others run once. A notebook
is done when its journal says so. To go on after a stop is to run the same notebooks again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pic4ser_lib.consent import CONSENT, SOCKET
from pic4ser_lib.house import house_of
from pic4ser_lib.runbook.batch import Launch, Standing, State, Tell, go
from pic4ser_lib.runbook.notebook import Notebook
from pic4ser_lib.site import Site
from pic4ser_lib.steps import Mode

Ready = Callable[[str], str]


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `standings` has every notebook process in order, also those that were not started.

    `left_out` maps each node that failed to the reason; `stopped` says why nothing more could follow.
    """

    run_id: str
    site: str
    mode: Mode
    folder: Path
    seconds: float
    standings: tuple[Standing, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""
    interrupted: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether every notebook recorded that it is done, on every node."""
        return bool(self.standings) and not self.left_out and all(x.state is State.DONE for x in self.standings)

    @property
    def failed(self) -> tuple[Standing, ...]:
        """The notebooks that failed."""
        return tuple(standing for standing in self.standings if standing.state is State.FAILED)


def run(
    site: Site,
    *,
    notebooks: Sequence[Notebook],
    mode: Mode,
    out: Path,
    node: str = "*",
    prove: bool = False,
    jobs: int = 0,
    ask: Path | None = None,
    run_id: str = "",
    tell: Tell = lambda standings: None,
    ready: Ready = lambda notebook: "",
) -> RunResult:
    """Run notebooks against a site and leave their traces in a new folder under `out`.

    `node` narrows the steps on nodes to one ("*": all); `jobs` is how many notebooks may run side by side (0: two a
    core, at least four: they mostly wait for their nodes); `ask` is the socket that answers for passwords. `ready` may
    wait before a notebook for what that needs; if it says why that will not come, the run ends there.
    In apply, a node that fails is left out of what follows (a notebook of the whole cluster runs again without it),
    and any other failure ends the run; plan and verify look at everything, and leave out only what cannot be reached.
    Nothing goes on without the first control plane. Raises SiteError before
    anything is started. Ctrl-C, SIGTERM and SIGHUP stop between two actions: the result says what is done.
    """
    site.select(node)  # raises for a name that is none
    run_id, at_once = run_id or new_run_id(), jobs or max(4, 2 * (os.cpu_count() or 1))
    folder = (out / run_id).resolve()
    environment = _environment(run_id, mode, folder, prove=prove, ask=ask)
    walk = _Walk(site, mode, folder, house_of(site.path), node, at_once, environment, tell, ready)
    for name in ("journal", "notebooks"):
        (folder / name).mkdir(parents=True)
    started = time.monotonic()
    with _signals_interrupt():
        state = _walked(walk, notebooks)
    return RunResult(run_id, site.name, mode, folder, time.monotonic() - started, tuple(state.standings),
                     state.left_out, state.stopped, state.interrupted)  # fmt: skip


def new_run_id() -> str:
    """A name for a run that sorts by time and is unique: 20261124T101500-3f9a2c."""
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"


def runs_of(site: Site) -> Path:
    """Where a site's runs are kept: runs/<site>/ beside parameters/."""
    return house_of(site.path) / "runs" / site.name


# ------------------------------------------------------------------------------------------ the way through


@dataclass(frozen=True)
class _Walk:
    site: Site
    mode: Mode
    folder: Path
    house: Path
    node: str
    at_once: int
    environment: dict[str, str]
    tell: Tell
    ready: Ready


@dataclass
class _State:
    """What is known on the way: everything that ran, who is left out and why, and why nothing more runs."""

    standings: list[Standing] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    interrupted: bool = False


def _walked(walk: _Walk, notebooks: Sequence[Notebook]) -> _State:
    state = _State()
    for position, notebook in enumerate(notebooks):
        launches = _launches(walk, notebook)
        if not (state.stopped or state.interrupted):
            _await(walk, state, notebook)
        if state.stopped or state.interrupted:
            state.standings += map(Standing, launches)
            continue
        later = [Standing(launch) for book in notebooks[position + 1 :] for launch in _launches(walk, book)]
        state.standings += _passed(walk, state, launches, later)
    walk.tell(state.standings)
    return state


def _await(walk: _Walk, state: _State, notebook: Notebook) -> None:
    try:
        state.stopped = walk.ready(notebook.name)
    except KeyboardInterrupt:
        state.interrupted = True


def _passed(walk: _Walk, state: _State, launches: Sequence[Launch], later: Sequence[Standing]) -> list[Standing]:
    """One notebook, on all its nodes; once more without the nodes at which a notebook of the whole cluster failed."""
    out = [Standing(x, State.LEFT_OUT) for x in launches if x.node in state.left_out]
    todo = [launch for launch in launches if launch.node not in state.left_out]
    while True:
        environment = {**walk.environment, "PIC4SER_WITHOUT": ",".join(state.left_out)}
        tell = _telling(walk.tell, [*state.standings, *out], later)
        ended = go(todo, at_once=walk.at_once, environment=environment, folder=walk.house, tell=tell)
        state.interrupted = any(x.state in (State.STOPPED, State.WAITING, State.RUNNING) for x in ended)
        blamed = {node: why for x in ended for node, why in _blamed(walk, x).items() if node not in state.left_out}
        state.left_out |= blamed
        state.stopped = "" if state.interrupted else _why_stop(walk, ended, blamed)
        of_the_cluster = bool(todo) and not todo[0].node
        if state.stopped or state.interrupted or not (blamed and of_the_cluster):
            return [*out, *ended]


def _telling(tell: Tell, before: Sequence[Standing], after: Sequence[Standing]) -> Tell:
    return lambda now: tell([*before, *now, *after])


def _launches(walk: _Walk, notebook: Notebook) -> list[Launch]:
    chosen = [node.name for node in walk.site.select(walk.node)] if notebook.per_node else [""]
    return [_launch(walk, notebook, name) for name in chosen]


def _launch(walk: _Walk, notebook: Notebook, node: str) -> Launch:
    name = f"{notebook.name}-{node}" if node else notebook.name
    parameters = (
        ("site", _as_seen_from(walk.house, walk.site.path)),
        ("node", node or walk.node),
        ("mode", walk.mode.value),
    )
    return Launch(
        notebook.name, node, notebook.path.resolve(),
        walk.folder / "notebooks" / f"{name}.ipynb", walk.folder / "journal" / f"{name}.jsonl", parameters,
    )  # fmt: skip


def _as_seen_from(house: Path, path: Path) -> str:
    """A short path where there is one: an executed notebook should read the same on every machine."""
    path = path.resolve()
    return str(path.relative_to(house)) if path.is_relative_to(house) else str(path)


def _blamed(walk: _Walk, standing: Standing) -> dict[str, str]:
    """The nodes that a failure leaves out of what follows, each with the reason.

    Every error that concerns a node has the node's name at the beginning of a line: `kitt: swap.off: wanted ...`.
    """
    if standing.state is not State.FAILED:
        return {}
    names = [standing.launch.node] if standing.launch.node else [node.name for node in walk.site.nodes]
    reasons = {name: _reason(name, standing.error) for name in names}
    if standing.launch.node:
        reasons = {name: reason or standing.error for name, reason in reasons.items()}
    counts = walk.mode is Mode.APPLY
    return {name: f"{standing.launch.notebook}: {reason}" for name, reason in reasons.items()
            if reason and (counts or _UNREACHABLE in reason)}  # fmt: skip


_UNREACHABLE = "not reachable over SSH"
_LOST = " If it is gone for good, docs/lost_control_plane.md says what can be done."


def _reason(node: str, error: str) -> str:
    """The first line of an error that begins with the node's name, if there is one."""
    lines = (line.strip() for line in error.splitlines())
    return next((line for line in lines if line.startswith((f"{node}: ", f"{node} ("))), "")


def _why_stop(walk: _Walk, ended: Sequence[Standing], blamed: Mapping[str, str]) -> str:
    """Why nothing of the runbook can follow; empty if something can."""
    first, failed = walk.site.first.name, [x for x in ended if x.state is State.FAILED]
    if first in blamed:
        lost = _LOST if _UNREACHABLE in blamed[first] else ""
        return f"{first} is the first control plane: nothing can go on without it.{lost}"
    if blamed and walk.node in blamed:
        return f"{walk.node} was the only node of this run."
    if failed and not blamed and walk.mode is Mode.APPLY:
        return f"{failed[0].launch.notebook} concerns the whole cluster: what follows stands on it."
    return ""


def _environment(run_id: str, mode: Mode, folder: Path, *, prove: bool, ask: Path | None) -> dict[str, str]:
    ours = {
        "PIC4SER_RUN_ID": run_id,
        "PIC4SER_MODE": mode.value,
        "PIC4SER_RUN_DIR": str(folder),
        "PIC4SER_PROVE": "1" if prove else "",
        SOCKET: str(ask) if ask else "",
        CONSENT: run_id,  # whoever calls `run` has asked, where the site wants it
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel python3 is this environment's, whatever the user has installed
    }
    return {**os.environ, **ours}


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal (SIGHUP) stop a run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
