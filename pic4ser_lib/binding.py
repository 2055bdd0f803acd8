"""What a notebook holds: the machines of a site in one hand, and steps to run on them.

A notebook reads like this:

    nodes = bind(site, node, mode)
    nodes.run(swap.off(), swap.removed_from_fstab())     on each node, side by side
    nodes.first.run(...)                                 on the first control plane
    nodes.cluster.run(...)                               once, through the API
    nodes.verify()                                       ask everything again
"""

from __future__ import annotations

import contextlib
import difflib
import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pic4ser_lib import engine
from pic4ser_lib.display import BindingTable, Table
from pic4ser_lib.errors import GroupFailed, PicError, Problem, SiteError
from pic4ser_lib.journal import Journal, register_secret
from pic4ser_lib.ports import CLUSTER, Ways, state_folder
from pic4ser_lib.progress import Progress
from pic4ser_lib.site import Node, Site, load
from pic4ser_lib.steps import Forward, Mode, Outcome, Proof, Record, Step

if TYPE_CHECKING:
    from pic4ser_lib.cluster import Forwarded
    from pic4ser_lib.host import SiteLock

Wanted = Step | Callable[[Node], Step | None]
"""A step, or a function of the node that returns its step (None: nothing is wanted of this node)."""


def bind(site: str = "parameters/lab", node: str = "*", mode: str = "apply") -> Nodes:
    """Read the site's folder, pick the nodes, and touch nothing yet.

    `node` is one name or "*"; `mode` is plan, apply or verify (the environment's PIC4SER_MODE goes before it).
    Raises SiteError with every problem of the folder, or of these three values, at once.
    """
    wanted = _mode(os.environ.get("PIC4SER_MODE") or mode)
    loaded = load(site)
    without = set(filter(None, os.environ.get("PIC4SER_WITHOUT", "").split(",")))
    chosen = tuple(n for n in loaded.select(node) if n.name not in without)
    left_out = tuple(n.name for n in loaded.nodes if n.name in without)
    return Nodes(_Kernel.of(loaded, wanted), chosen, without=left_out)


@dataclass(frozen=True)
class Nodes:
    """Some nodes of a site, as one notebook works on them."""

    kernel: _Kernel = field(repr=False)
    members: tuple[Node, ...]
    serial: bool = False
    without: tuple[str, ...] = ()

    @property
    def site(self) -> Site:
        """The site's description."""
        return self.kernel.site

    @property
    def first(self) -> Nodes:
        """The first control plane alone."""
        return self._only(lambda node: node.name == self.site.first.name)

    @property
    def others(self) -> Nodes:
        """All but the first control plane."""
        return self._only(lambda node: node.name != self.site.first.name)

    @property
    def control_planes(self) -> Nodes:
        """The control planes, first one first."""
        return self._only(lambda node: node.role == "control-plane")

    @property
    def workers(self) -> Nodes:
        """The workers."""
        return self._only(lambda node: node.role == "worker")

    @property
    def with_gpus(self) -> Nodes:
        """The nodes that have GPUs, as the site says."""
        return self._only(lambda node: node.gpus > 0)

    @property
    def one_by_one(self) -> Nodes:
        """The same nodes, one after another instead of side by side."""
        return replace(self, serial=True)

    @property
    def cluster(self) -> ClusterScope:
        """The cluster as a whole, through its API."""
        return ClusterScope(self.kernel)

    def run(self, *wanted: Wanted) -> Table:
        """Bring the wanted states about on every node (or plan, or verify: the notebook's mode).

        Nodes work side by side; one that fails does not stop the others. Raises the node's error, or GroupFailed
        with all results when there is more than one node.
        """
        jobs = {node.name: steps for node in self.members if (steps := _for(node, wanted))}
        self.kernel.remember(jobs)
        return self.kernel.run(jobs, serial=self.serial)

    def verify(self) -> Table:
        """Ask again for every state this notebook wants, on every node and in the cluster; change nothing."""
        return self.kernel.verify()

    def _only(self, keep: Callable[[Node], bool]) -> Nodes:
        return replace(self, members=tuple(filter(keep, self.members)))

    def _table(self) -> BindingTable:
        return BindingTable(self.site, self.members, self.kernel.mode, self.without)

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


@dataclass(frozen=True)
class ClusterScope:
    """Steps and proofs that concern the cluster and not one node."""

    kernel: _Kernel

    def run(self, *steps: Step) -> Table:
        """Bring the wanted states about, in order. Raises the first error."""
        self.kernel.remember({CLUSTER: list(steps)})
        return self.kernel.run({CLUSTER: list(steps)})

    def prove(self, proof: Proof, *, stands_on: Step) -> Table:
        """Show that it works by doing it, when something was changed in this notebook or a proof was asked for.

        Otherwise only `stands_on`, the state that the proof depends on, is read again. What a proof creates is
        removed again whatever happens, and is not counted as a change. Raises StepFailed.
        """
        self.kernel.remember({CLUSTER: [stands_on]})
        table = self.kernel.run({CLUSTER: [stands_on]})
        if self.kernel.mode is not Mode.APPLY or not self.kernel.must_prove:
            note = "not repeated: nothing was changed in this notebook"
            state = table.records[0]
            record = Record(CLUSTER, proof.name, proof.wanted, state.outcome, seen=state.seen, kind="proof", note=note)
            return self.kernel.keep_all((record,))
        return self.kernel.keep_all((self._proved(proof),))

    def open(self, forward: Forward) -> Table:
        """Bring a service of the cluster to a port of this machine for a while; the cell itself ends at once.

        It ends by itself, with the kernel, or when the same one is opened again. In mode plan nothing is opened.
        Raises ClusterError, or DeadlinePassed when the service does not answer.
        """
        from pic4ser_lib.cluster import Cluster

        if self.kernel.mode is Mode.PLAN:
            note = "opened when the notebook is run"
            return self.kernel.keep_all(
                (Record(CLUSTER, forward.name, forward.wanted, Outcome.UNKNOWN, kind="proof", note=note),)
            )
        if former := self.kernel.opened.pop(forward.name, None):
            former.close()
        made = self.kernel.opened[forward.name] = Cluster(self.kernel.ways.kubeconfig).forward(forward)
        seen = f"{made.url} until {time.strftime('%H:%M', time.localtime(made.until))}"
        return self.kernel.keep_all((Record(CLUSTER, forward.name, forward.wanted, Outcome.OK, seen, kind="proof"),))

    def _proved(self, proof: Proof) -> Record:
        cluster, started = self.kernel.ways.cluster(), time.monotonic()
        assert cluster is not None, "stands_on has just been read from it"
        with Progress() as progress:
            evidence = cluster.prove(proof, tell=partial(progress.tell, CLUSTER))
        seconds = time.monotonic() - started
        return Record(CLUSTER, proof.name, proof.wanted, Outcome.OK, seen=evidence, seconds=seconds, kind="proof")


# --------------------------------------------------------------------------------------- one notebook's kernel


@dataclass
class _Kernel:
    """What all groups of one notebook share: connections, mode, journal, and what it wanted so far."""

    site: Site
    mode: Mode
    ways: Ways
    journal: Journal
    run_id: str
    wanted: list[tuple[str, Step]] = field(default_factory=list)
    changed: bool = False
    lock: SiteLock | None = None
    opened: dict[str, Forwarded] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site, mode: Mode) -> _Kernel:
        """Open nothing yet but the journal."""
        from pic4ser_lib.host import Host

        given: list[str] = []
        hosts = {node.name: Host(node, password=_password_of(node, given)) for node in site.nodes}
        ways = Ways(site, hosts, state_folder(site.name) / "kubeconfig")
        run_id = os.environ.get("PIC4SER_RUN_ID") or uuid.uuid4().hex
        return cls(site, mode, ways, Journal(_journal_path(site, run_id)), run_id)

    @property
    def must_prove(self) -> bool:
        """Whether proofs are due: something was changed here, or they were asked for."""
        return self.changed or os.environ.get("PIC4SER_PROVE") == "1"

    def remember(self, jobs: dict[str, list[Step]]) -> None:
        """Keep what is wanted, for `verify`; a cell that is run again is not remembered twice."""
        for name, steps in jobs.items():
            self.wanted.extend((name, step) for step in steps if (name, step) not in self.wanted)

    def run(self, jobs: dict[str, list[Step]], *, mode: Mode | None = None, serial: bool = False) -> Table:
        """Run each node's steps, side by side, and return one table; raise what failed, after showing the rest."""
        from pic4ser_lib.host import in_parallel

        mode = mode or self.mode
        self._ask_passwords(jobs)
        self._take_lock(mode)
        with Progress() as progress:
            tasks: dict[str, Callable[[], engine.Ran]] = {
                name: partial(self._run_on, name, steps, mode, progress) for name, steps in jobs.items()
            }
            results = in_parallel(tasks, cap=1 if serial else 10)
        ran = {name: r for name, r in results.items() if isinstance(r, engine.Ran)}
        self.changed = self.changed or any(r.changed for r in ran.values())
        table = Table(self._in_order(record for r in ran.values() for record in r.records), mode)
        _raise_failures(results, table)
        return table

    def verify(self) -> Table:
        """Every remembered step again, without acting; ends the notebook's journal."""
        jobs: dict[str, list[Step]] = {}
        for name, step in self.wanted:
            jobs.setdefault(name, []).append(step)
        table = self.run(jobs, mode=Mode.PLAN if self.mode is Mode.PLAN else Mode.VERIFY)
        self.journal.write({"event": "end", "ok": True})
        return table

    def keep_all(self, records: tuple[Record, ...]) -> Table:
        """Write records to the journal and return them as a table."""
        for record in records:
            self._keep(record)
        return Table(records, self.mode)

    def _run_on(self, name: str, steps: Sequence[Step], mode: Mode, progress: Progress) -> engine.Ran:
        tell = partial(progress.tell, name)
        with contextlib.ExitStack() as stack:
            stack.callback(progress.done, name)
            session = None
            if name != CLUSTER:
                tell("connects")
                try:
                    session = stack.enter_context(self.ways.hosts[name].session())
                except PicError as error:
                    self._keep(unreached := _unreached(name, error))
                    return engine.Ran((unreached,), error)
            return engine.run(self.ways.port(name, session), steps, mode, tell=tell, keep=self._keep)

    def _in_order(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """The steps in the order in which the notebook wanted them, whichever node has them first."""
        order = {name: number for number, name in enumerate(dict.fromkeys(step.name for _, step in self.wanted))}
        return tuple(sorted(records, key=lambda record: order.get(record.step, -1)))

    def _ask_passwords(self, jobs: dict[str, list[Step]]) -> None:
        """Before the threads start: JupyterLab's reader answers only the thread that runs the cell."""
        for node in self.site.nodes:
            if node.ssh.password_sudo and (node.name in jobs or node is self.site.first):
                self.ways.hosts[node.name].know_password()

    def _keep(self, record: Record) -> None:
        while self.ways.learned:
            register_secret(self.ways.learned.pop())
        self.journal.write({"event": "record", **record.as_dict()})

    def _take_lock(self, mode: Mode) -> None:
        """Modes that change hold the site's lock until the kernel ends; a run's kernels share their parent's."""
        if self.lock is not None and self.lock.lost:
            self.lock = None  # the line broke: whoever came since is asked again
        if mode is not Mode.APPLY or self.lock is not None:
            return
        from pic4ser_lib.host import SiteLock

        first = self.ways.hosts[self.site.first.name]
        lock = SiteLock(first, run_id=self.run_id, who=_who(), site=self.site.name)
        lock.__enter__()
        self.lock = lock


def _password_of(node: Node, given: list[str]) -> Callable[[], str]:
    """How a node's sudo password is asked for; an empty answer repeats the last one in `given`."""
    from pic4ser_lib.consent import ask_password

    def ask() -> str:
        password = ask_password(node.name, repeatable=bool(given)) or (given[-1] if given else "")
        register_secret(password)
        given.append(password)
        return password

    return ask


def _unreached(name: str, error: PicError) -> Record:
    return Record(name, "ssh", "the node answers over SSH and lets us become root", Outcome.FAILED, error=str(error))


def _for(node: Node, wanted: Sequence[Wanted]) -> list[Step]:
    steps = [one if isinstance(one, Step) else one(node) for one in wanted]
    return [step for step in steps if step is not None]


def _mode(text: str) -> Mode:
    if text in set(Mode):
        return Mode(text)
    near = difflib.get_close_matches(text, list(Mode), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    problem = Problem("the notebook's parameters", "mode", repr(text), f"one of plan, apply, verify{hint}")
    raise SiteError(path="mode", problems=(problem,))


def _raise_failures(results: dict[str, Any], table: Table) -> None:
    errors = {name: r.error if isinstance(r, engine.Ran) else r for name, r in results.items()}
    failed: dict[str, BaseException] = {name: e for name, e in errors.items() if isinstance(e, BaseException)}
    if not failed:
        return
    if table.records:
        _show(table)
    if len(results) == 1:
        raise next(iter(failed.values()))
    raise GroupFailed(results={name: failed.get(name, results[name]) for name in results})


def _show(table: Table) -> None:
    """In a notebook, what was done before the failure stands above it."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        display(table)  # type: ignore[no-untyped-call]


def _journal_path(site: Site, run_id: str) -> Path:
    given = os.environ.get("PIC4SER_JOURNAL")
    if given:
        return Path(given)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    folder = site.path.parent.parent / "runs" / site.name / f"{stamp}-{run_id[:6]}" / "journal"
    return folder / f"kernel-{os.getpid()}.jsonl"


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
