"""What a notebook holds: the machines of a site in one hand, and steps to run on them.

A notebook reads like this:

    nodes = bind(site, node, mode)
    nodes.run(swap.off(), swap.removed_from_fstab())     on each node, side by side
    nodes.first.run(...)                                 on the first control plane
    nodes.cluster.run(...)                               once, through the API
    nodes.verify()                                       ask everything again
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pic4ser_lib.bound import Bound
from pic4ser_lib.display import BindingTable, Table
from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.ports import CLUSTER
from pic4ser_lib.progress import Progress
from pic4ser_lib.site import Node, Site, load
from pic4ser_lib.steps import Forward, Mode, Outcome, Proof, Record, Step

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
    return Nodes(Bound.of(loaded, wanted), chosen, without=left_out)


@dataclass(frozen=True)
class Nodes:
    """Some nodes of a site, as one notebook works on them."""

    bound: Bound = field(repr=False)
    members: tuple[Node, ...]
    serial: bool = False
    without: tuple[str, ...] = ()

    @property
    def site(self) -> Site:
        """The site's description."""
        return self.bound.site

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
        return ClusterScope(self.bound)

    def run(self, *wanted: Wanted) -> Table:
        """Bring the wanted states about on every node (or plan, or verify: the notebook's mode).

        Nodes work side by side; one that fails does not stop the others. Raises the node's error, or GroupFailed
        with all results when there is more than one node.
        """
        jobs = {node.name: steps for node in self.members if (steps := _for(node, wanted))}
        self.bound.remember(jobs)
        return self.bound.run(jobs, serial=self.serial)

    def verify(self) -> Table:
        """Ask again for every state this notebook wants, on every node and in the cluster; change nothing."""
        return self.bound.verify()

    def _only(self, keep: Callable[[Node], bool]) -> Nodes:
        return replace(self, members=tuple(filter(keep, self.members)))

    def _table(self) -> BindingTable:
        return BindingTable(self.site, self.members, self.bound.mode, self.without)

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


@dataclass(frozen=True)
class ClusterScope:
    """Steps and proofs that concern the cluster and not one node."""

    bound: Bound

    def run(self, *steps: Step) -> Table:
        """Bring the wanted states about, in order. Raises the first error."""
        self.bound.remember({CLUSTER: list(steps)})
        return self.bound.run({CLUSTER: list(steps)})

    def prove(self, proof: Proof, *, stands_on: Step) -> Table:
        """Show that it works by doing it, when something was changed in this notebook or a proof was asked for.

        Otherwise only `stands_on`, the state that the proof depends on, is read again. What a proof creates is
        removed again whatever happens, and is not counted as a change. Raises StepFailed.
        """
        self.bound.remember({CLUSTER: [stands_on]})
        table = self.bound.run({CLUSTER: [stands_on]})
        if self.bound.mode is not Mode.APPLY or not self.bound.must_prove:
            note = "not repeated: nothing was changed in this notebook"
            state = table.records[0]
            record = Record(CLUSTER, proof.name, proof.wanted, state.outcome, seen=state.seen, kind="proof", note=note)
            return self.bound.keep_all((record,))
        return self.bound.keep_all((self._proved(proof),))

    def open(self, forward: Forward) -> Table:
        """Bring a service of the cluster to a port of this machine for a while; the cell itself ends at once.

        It ends by itself, with the kernel, or when the same one is opened again. In mode plan nothing is opened.
        Raises ClusterError, or DeadlinePassed when the service does not answer.
        """
        from pic4ser_lib.cluster import Cluster

        if self.bound.mode is Mode.PLAN:
            note = "opened when the notebook is run"
            return self.bound.keep_all(
                (Record(CLUSTER, forward.name, forward.wanted, Outcome.UNKNOWN, kind="proof", note=note),)
            )
        if former := self.bound.opened.pop(forward.name, None):
            former.close()
        cluster = Cluster(self.bound.ways.kubeconfig, patience=self.bound.site.patience)
        made = self.bound.opened[forward.name] = cluster.forward(forward)
        seen = f"{made.url} until {time.strftime('%H:%M', time.localtime(made.until))}"
        return self.bound.keep_all((Record(CLUSTER, forward.name, forward.wanted, Outcome.OK, seen, kind="proof"),))

    def _proved(self, proof: Proof) -> Record:
        cluster, started = self.bound.ways.cluster(), time.monotonic()
        assert cluster is not None, "stands_on has just been read from it"
        with Progress() as progress:
            told = partial(progress.tell, CLUSTER)
            evidence = cluster.prove(proof, tell=told)
        seconds = time.monotonic() - started
        return Record(CLUSTER, proof.name, proof.wanted, Outcome.OK, seen=evidence, seconds=seconds, kind="proof")


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
