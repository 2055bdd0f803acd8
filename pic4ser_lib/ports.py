"""Where a step's questions and actions go: to its node, to another node, to the API server, to the operator's files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pic4ser_lib.errors import DeadlinePassed
from pic4ser_lib.steps import (
    Action,
    Apply,
    Delete,
    KeepKubeconfig,
    Later,
    OwnKubeconfig,
    Patch,
    ProxyGet,
    Question,
    Raw,
    Read,
    Restart,
    Run,
    Secret,
    Shell,
)

if TYPE_CHECKING:
    from pic4ser_lib.cluster import Cluster
    from pic4ser_lib.host import Host, Session
    from pic4ser_lib.site import Site

CLUSTER = "cluster"
_ROLLED = frozenset({"containerd", "kubelet"})
_READY_AGAIN_WITHIN = 180.0
_ANSWERED_WITHIN = 60.0

# The node asks about itself with its own credentials: its Ready condition, and when its kubelet last renewed its lease.
_READY = """
test -e /etc/kubernetes/kubelet.conf || exit 0
export KUBECONFIG=/etc/kubernetes/kubelet.conf
name=$(hostname)
kubectl get node "$name" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status} ' 2>/dev/null || true
renewed=$(kubectl -n kube-node-lease get lease "$name" -o jsonpath='{.spec.renewTime}' 2>/dev/null || true)
if [ -n "$renewed" ]; then date -d "$renewed" +%s.%N; else echo 0; fi
"""


@dataclass
class Ways:
    """All ways out of one notebook's kernel: a host per node, and the cluster once it can be reached."""

    site: Site
    hosts: dict[str, Host]
    kubeconfig: Path
    learned: list[str] = field(default_factory=list, repr=False)

    def cluster(self) -> Cluster | None:
        """The API server, or None as long as the operator has no kubeconfig for this site."""
        from pic4ser_lib.cluster import Cluster

        return Cluster(self.kubeconfig, patience=self.site.patience) if self.kubeconfig.exists() else None

    def port(self, name: str, session: Session | None = None) -> SitePort:
        """The port of a node with an open session, or of the cluster (without one)."""
        return SitePort(self, name, session)


@dataclass
class SitePort:
    """One node's port (or the cluster's, which asks the first control plane when a shell is needed)."""

    ways: Ways
    name: str
    session: Session | None

    @property
    def node(self) -> str:
        """The name that records carry."""
        return self.name

    def ask(self, questions: Sequence[Question]) -> list[Raw]:
        """All answers in order; the questions for one place travel together, places in the order of their first.

        Who asks for a pod's state before its log so sees a log that is no older than the state.
        """
        answers: dict[int, Raw] = {}
        for place in dict.fromkeys(self._place(q) for q in questions):
            numbers = [i for i, q in enumerate(questions) if self._place(q) == place]
            answers.update(zip(numbers, self._ask_at(place, [questions[i] for i in numbers]), strict=True))
        return [answers[i] for i in range(len(questions))]

    def act(self, action: Action) -> None:
        """Do one action where it belongs."""
        match action:
            case Apply() | Patch() | Delete():
                self._reach_cluster().act(action)
            case KeepKubeconfig(content=content, server=server, tls_server_name=tls_server_name):
                from pic4ser_lib.cluster import keep_kubeconfig

                keep_kubeconfig(self.ways.kubeconfig, self._reveal(content[0]), server, tls_server_name)
            case Restart(unit=unit) if unit.removesuffix(".service") in _ROLLED:
                with self._rolling(unit):
                    self._act_at(self._home(), action)
            case Run(on=on) if on:
                self._act_at(on, action)
            case _:
                self._act_at(self._home(), action)

    def _patient(self, seconds: float) -> float:
        return seconds * self.ways.site.patience

    def _home(self) -> str:
        return self.ways.site.first.name if self.name == CLUSTER else self.name

    def _place(self, question: Question) -> str:
        match question:
            case Shell(on=on):
                return on or self._home()
            case Read() | ProxyGet():
                return "API"
            case OwnKubeconfig():
                return "own"

    def _ask_at(self, place: str, questions: list[Any]) -> list[Raw]:
        if place == "own":
            from pic4ser_lib.cluster import own_kubeconfig

            return [own_kubeconfig(self.ways.kubeconfig) for _ in questions]
        if place == "API":
            cluster = self.ways.cluster()
            if cluster is None:
                return [Later("the cluster", "notebook 02 makes it") for _ in questions]
            return list(cluster.ask(questions))
        with self._session_at(place) as session:
            scripts = [question.script for question in questions]
            return list(session.ask(scripts, timeout=self._patient(_ANSWERED_WITHIN)))

    def _act_at(self, place: str, action: Action) -> None:
        if isinstance(action, Run):
            action = replace(action, timeout=self._patient(action.timeout))
        with self._session_at(place) as session:
            session.act(action, reveal=self._reveal)

    @contextlib.contextmanager
    def _session_at(self, place: str) -> Iterator[Session]:
        if self.session is not None and place == self.name:
            yield self.session
            return
        with self.ways.hosts[place].session() as session:
            yield session

    def _reveal(self, secret: Secret) -> str:
        with self._session_at(secret.on) as session:
            value = session.capture(secret.made_by, timeout=self._patient(_ANSWERED_WITHIN))
        self.ways.learned.append(value)
        return value

    def _reach_cluster(self) -> Cluster:
        cluster = self.ways.cluster()
        if cluster is None:
            raise DeadlinePassed(waiting_for="the cluster", seconds=0, remedy="Run notebook 02 first.")
        return cluster

    @contextlib.contextmanager
    def _rolling(self, unit: str) -> Iterator[None]:
        """One node at a time, and Ready again before the next, for nodes that were Ready.

        The lock is a file of the operator's: the kernels of one run are separate processes on this machine, and
        the site's lock keeps other operators out.
        """
        with (self.ways.kubeconfig.parent / "rolling.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._readiness()
            yield
            if before.ready:
                self._wait_ready(unit, before.renewed)

    def _wait_ready(self, unit: str, renewed: float) -> None:
        within = self._patient(_READY_AGAIN_WITHIN)
        deadline = time.monotonic() + within
        while not ((now := self._readiness()).ready and now.renewed > renewed):
            if time.monotonic() > deadline:
                raise DeadlinePassed(
                    waiting_for=f"{self.name} to be Ready after the restart of {unit}",
                    seconds=within,
                    last_seen="Ready, but its kubelet is silent" if now.ready else "not Ready",
                    remedy=f"Look at journalctl -u {unit} on {self.name}; the other nodes were not touched.",
                )
            time.sleep(1.0)

    def _readiness(self) -> _Readiness:
        with self._session_at(self._home()) as session:
            words = session.ask([_READY], timeout=self._patient(_ANSWERED_WITHIN))[0].split()
        return _Readiness(words[0] == "True", float(words[1])) if len(words) == 2 else _Readiness(False, 0.0)


@dataclass(frozen=True)
class _Readiness:
    ready: bool
    renewed: float


def state_folder(site_name: str) -> Path:
    """Where the operator's own files of a site live (kubeconfig, locks): private, outside the repository."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    folder = base / "pic4ser" / site_name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
