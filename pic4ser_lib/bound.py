"""What all groups of one notebook share: connections, mode, journal, the site's lock, and what it wanted so far."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pic4ser_lib import engine
from pic4ser_lib.consent import agreed, confirm
from pic4ser_lib.display import Table, show
from pic4ser_lib.errors import ConsentMissing, GroupFailed, PicError, SiteBusy
from pic4ser_lib.journal import Journal, register_secret
from pic4ser_lib.ports import CLUSTER, Ways, state_folder
from pic4ser_lib.progress import Progress
from pic4ser_lib.site import Node, Site
from pic4ser_lib.steps import Mode, Outcome, Record, Step

if TYPE_CHECKING:
    from pic4ser_lib.cluster import Forwarded
    from pic4ser_lib.host import SiteLock

Keep = Callable[[Record], None]
_WOULD_CHANGE = (Outcome.PLANNED, Outcome.UNKNOWN)
_LOCK_IDLE = 10.0
_numbers = itertools.count(1)  # one journal for each time this process binds
_THIS_PROCESS = uuid.uuid4().hex  # a cell that binds again is the same run, and not kept out by itself


@dataclass
class Bound:
    """One notebook's work on one site, from `bind` to the end of its process."""

    site: Site
    mode: Mode
    ways: Ways
    journal: Journal
    run_id: str
    wanted: list[tuple[str, Step]] = field(default_factory=list)
    agreed: bool = True
    changed: bool = False
    lock: SiteLock | None = None
    taken: int = 0
    cell: threading.RLock = field(default_factory=threading.RLock, repr=False)
    opened: dict[str, Forwarded] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site, mode: Mode) -> Bound:
        """Open nothing yet but the journal."""
        from pic4ser_lib.host import Host

        given: list[str] = []
        hosts = {node.name: Host(node, password=_password_of(node, given)) for node in site.nodes}
        ways = Ways(site, hosts, state_folder(site.name) / "kubeconfig")
        run_id = os.environ.get("PIC4SER_RUN_ID") or _THIS_PROCESS
        journal = Journal(_journal_path(site, run_id))
        return cls(site, mode, ways, journal, run_id, agreed=agreed(run_id) or not site.confirm)

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
        mode = mode or self.mode
        self._ask_passwords(jobs)
        if mode is Mode.APPLY and not self.agreed:
            self._ask_consent(jobs)
        with self._locked(mode):
            results = self._side_by_side(jobs, mode, self._keep, cap=1 if serial else 10)
        ran = {name: r for name, r in results.items() if isinstance(r, engine.Ran)}
        self.changed = self.changed or any(r.changed for r in ran.values())
        table = Table(self._in_order(record for r in ran.values() for record in r.records), mode)
        _raise_failures(results, table)
        return table

    def verify(self) -> Table:
        """Every remembered step again, without acting; ends the notebook's journal."""
        # In the site's order, whichever node was the first one that something was wanted of.
        order = (*(node.name for node in self.site.nodes), CLUSTER)
        jobs = {name: steps for name in order if (steps := [step for on, step in self.wanted if on == name])}
        table = self.run(jobs, mode=Mode.PLAN if self.mode is Mode.PLAN else Mode.VERIFY)
        self.journal.write({"event": "end", "ok": True})
        self.let_go()
        return table

    def keep_all(self, records: tuple[Record, ...]) -> Table:
        """Write records to the journal and return them as a table."""
        for record in records:
            self._keep(record)
        return Table(records, self.mode)

    def _side_by_side(self, jobs: dict[str, list[Step]], mode: Mode, keep: Keep, *, cap: int = 10) -> dict[str, Any]:
        """Each node's engine.Ran, or what it raised."""
        from pic4ser_lib.host import in_parallel

        with Progress() as progress:
            tasks = {name: partial(self._run_on, name, steps, mode, progress, keep) for name, steps in jobs.items()}
            return in_parallel(dict(tasks), cap=cap)

    def _ask_consent(self, jobs: dict[str, list[Step]]) -> None:
        """Show what this cell would change and ask, if it would change anything. Raises ConsentMissing."""
        planned = self._side_by_side(jobs, Mode.PLAN, lambda record: None)
        ran = [r for r in planned.values() if isinstance(r, engine.Ran)]
        todo = self._in_order(record for r in ran for record in r.records if record.outcome in _WOULD_CHANGE)
        if not todo:
            return
        show(Table(todo, Mode.PLAN))
        nodes = ", ".join(dict.fromkeys(record.node for record in todo))
        answer = confirm(f"Do this to {self.site.title} ({nodes})?")
        if answer == "no":
            raise ConsentMissing(needed="your yes", remedy="Nothing was changed. Run the cell again to be asked again.")
        self.agreed = answer == "all"

    def _run_on(self, name: str, steps: Sequence[Step], mode: Mode, progress: Progress, keep: Keep) -> engine.Ran:
        tell = partial(progress.tell, name)
        with contextlib.ExitStack() as stack:
            stack.callback(progress.done, name)
            session = None
            if name != CLUSTER:
                tell("connects")
                try:
                    session = stack.enter_context(self.ways.hosts[name].session())
                except PicError as error:
                    keep(unreached := _unreached(name, error))
                    return engine.Ran((unreached,), error)
            clock = replace(engine.CLOCK, patience=self.site.patience)
            return engine.run(self.ways.port(name, session), steps, mode, tell=tell, keep=keep, clock=clock)

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

    @contextlib.contextmanager
    def _locked(self, mode: Mode) -> Iterator[None]:
        """A cell that may change something holds the site's lock, and lets go when no other follows within 10 s.

        So the next notebook, another kernel in JupyterLab, need not wait for this one to be shut down; and the cells
        of one notebook share one lock. The kernels of a run come under their parent's.
        """
        if mode is not Mode.APPLY:
            yield
            return
        with self.cell:
            self._take_lock()
            try:
                yield
            finally:
                timer = threading.Timer(_LOCK_IDLE, self.let_go, (self.taken,))
                timer.daemon = True
                timer.start()

    def _take_lock(self) -> None:
        from pic4ser_lib.host import SiteLock

        self.taken += 1
        if self.lock is not None and self.lock.lost:
            self.lock = None  # the line broke: whoever came since is asked again
        first, patience = self.ways.hosts[self.site.first.name], time.monotonic() + _LOCK_IDLE + 5
        while self.lock is None:
            try:
                self.lock = SiteLock(first, run_id=self.run_id, who=_who(), site=self.site.name).__enter__()
            except SiteBusy as busy:
                # Perhaps the notebook that this person left a moment ago; anybody else is not waited for.
                if busy.who != _who() or time.monotonic() > patience:
                    raise
                print("waits for another notebook of yours to let go of this site", file=sys.stderr, flush=True)
                time.sleep(1.0)

    def let_go(self, taken: int = 0) -> None:
        """Give the site's lock back; with `taken`, only if no cell has used it since."""
        with self.cell:
            if self.lock is not None and taken in (0, self.taken):
                self.lock.__exit__(None, None, None)
                self.lock = None


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


def _raise_failures(results: dict[str, Any], table: Table) -> None:
    errors = {name: r.error if isinstance(r, engine.Ran) else r for name, r in results.items()}
    failed: dict[str, BaseException] = {name: e for name, e in errors.items() if isinstance(e, BaseException)}
    if not failed:
        return
    if table.records:
        show(table)
    if len(results) == 1:
        raise next(iter(failed.values()))
    raise GroupFailed(results={name: failed.get(name, results[name]) for name in results})


def _journal_path(site: Site, run_id: str) -> Path:
    given = os.environ.get("PIC4SER_JOURNAL")
    if given:
        return Path(given)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    folder = site.path.parent.parent / "runs" / site.name / f"{stamp}-{run_id[:6]}" / "journal"
    return folder / f"kernel-{os.getpid()}-{next(_numbers)}.jsonl"


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
