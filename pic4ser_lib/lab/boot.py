"""Brings the lab's machines up, side by side: the mirror and every node that does not run yet.

The host's settings are kept before the first of them starts; traffic from node to node is proved after the last.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import (
    capacity,
    dilation,
    gpus,
    hoststate,
    identity,
    machines,
    mirror,
    network,
    nfs,
    qemu,
    sitefolder,
    state,
)
from pic4ser_lib.lab.nodes import GUEST_CPUS, MIRROR, VIRTUAL, LabNode, Machine, NodeSpec, until
from pic4ser_lib.progress import Progress

if TYPE_CHECKING:
    from pic4ser_lib.lab.artifacts import Artifacts
    from pic4ser_lib.site.schema import Dilation

STAGE = "cluster"  # what the machines need to boot, and the first notebooks


def boot(
    home: Path,
    nodes: Sequence[NodeSpec],
    made: Artifacts,
    seen: Mapping[str, Machine],
    progress: Progress,
    *,
    every: Sequence[NodeSpec],
) -> None:
    """All machines at once; what runs already is left alone. Raises LabError or DeadlinePassed.

    `every` are the nodes of all sites that this lab plays, these among them.
    """
    from pic4ser_lib.lab import cache

    before = hoststate.save_once(home / "hoststate.json")
    network.ensure()
    serves = mirror.of(made, cache.root(), home)
    _know(home, every)
    wanted = _wanted(home, nodes, made, _guests(home, nodes, made, seen, progress))
    stopping, bridged = threading.Event(), threading.Event()
    with ThreadPoolExecutor(max_workers=8) as pool, _told_when_it_ends_early(stopping):
        serving = pool.submit(_served, serves, made, seen.get(MIRROR), progress, bridged)
        starts = [_Start(machine, seen.get(machine.spec.container), progress, stopping, bridged) for machine in wanted]
        changed = [work.result() for work in (serving, *map(pool.submit, starts))]
    progress.done("mirror")
    # Podman switched the host's ip_forward on for its bridge. Nodes on one bridge need no router.
    hoststate.restore(before, under="net/ipv4")
    proved = home / "proved"
    if any(changed) or not proved.exists():
        progress.tell("lab", "up: prove traffic from node to node")
        proved.unlink(missing_ok=True)
        network.prove(nodes, ask=_asked(wanted))
        proved.touch()
        progress.done("lab")


def complete(home: Path, made: Artifacts) -> None:
    """Every site that this lab plays has what differs by machine; the sums of archives that are not made yet lack."""
    started, emulated = state.running(home), machines.emulated()
    for site in map(Path, started.sites if started else ()):
        if not (site / "cluster.yaml").is_file():
            continue  # its folder was deleted since
        nodes = sitefolder.nodes_of(site)
        slow = emulated and machines.virtual(nodes)
        slower = dilation.known(home) if slow and slow == nodes else None
        sitefolder.write_local(
            site,
            key=home / "id_ed25519",
            known_hosts=home / "known_hosts",
            fingerprint=made.apt_fingerprint,
            interface=network.bridge(),
            archives=made.sums,
            online=started.online if started else False,
            patience=dilation.patience(slower) if slow else 1,
            dilation=slower,
        )


def _served(
    serves: mirror.Mirror, made: Artifacts, seen: Machine | None, progress: Progress, bridged: threading.Event
) -> bool:
    try:
        changed = serves.ensure(seen, tell=lambda line: progress.tell("mirror", line))
    finally:
        bridged.set()  # without a mirror nobody should go on waiting for it
    serves.serve(STAGE, made, tell=lambda line: progress.tell("mirror", line))
    return changed


def _guests(
    home: Path, nodes: Sequence[NodeSpec], made: Artifacts, seen: Mapping[str, Machine], progress: Progress
) -> machines.Virtual | None:
    """How virtual machines run here, said before the first of them starts; None in a lab without any."""
    guests = machines.virtual(nodes)
    if not guests or not made.vm_images:
        return None
    if not any(node.container not in seen or not seen[node.container].alive for node in guests):
        return machines.Virtual(made.vm_images, qemu.Accelerator(qemu.EMULATED, "running"))
    progress.tell("lab", "up: try whether KVM boots a guest here")
    how = qemu.accelerator(next(iter(made.vm_images.values())))
    each = f"{capacity.guest_bytes(emulated=how.emulated) / 1e9:.1f} GB of memory each"
    took = (
        "SSH answers after about a minute, notebooks take about ten times as long" if how.emulated else "at full speed"
    )
    progress.tell("lab", f"up: {len(guests)} of the nodes virtual, {each}, {how.why}: {took}")
    # Containers have the host's clock: a cluster of both kinds would soon not agree on what time it is.
    if not how.emulated or guests != tuple(nodes):
        return machines.Virtual(made.vm_images, how)
    slower = dilation.known(home) or _slower(home, guests, made.vm_images, progress)
    progress.tell("lab", f"up: their time passes {slower.times} times as slowly as here")
    return machines.Virtual(made.vm_images, how, slower)


def _slower(home: Path, guests: Sequence[NodeSpec], images: Mapping[str, Path], progress: Progress) -> Dilation:
    """The slower time of these emulated machines from now on, which are the first of the lab."""
    progress.tell("lab", "up: see how quick emulation is here")
    release, processors, cores = guests[0].release, len(guests) * GUEST_CPUS, dilation.cores()
    seconds = qemu.emulated_boot_seconds(images[release], at_once=min(processors, cores))
    return dilation.begun(home, dilation.fitting(processors, cores, release=release, boot_seconds=seconds))


def _asked(wanted: Sequence[LabNode]) -> Callable[..., str]:
    """As `podman exec NODE bash -c SCRIPT`, on whichever kind of node."""
    by_name = {machine.spec.container: machine for machine in wanted}

    def asked(*words: str, timeout: float) -> str:
        return by_name[words[1]].run(words[-1], timeout=timeout)

    return asked


def _know(home: Path, nodes: Iterable[NodeSpec]) -> None:
    keys = sorted((node.address, _host_key(home, node)[1]) for node in nodes)
    known = state.known_hosts(keys)
    if not (home / "known_hosts").exists() or (home / "known_hosts").read_text() != known:
        state.write(home / "known_hosts", known, mode=0o644)


def _host_key(home: Path, node: NodeSpec) -> tuple[str, str]:
    return state.key(home / "nodes" / f"{node.name}.key", comment=node.name)


def _wanted(home: Path, nodes: Sequence[NodeSpec], made: Artifacts, guests: machines.Virtual | None) -> list[LabNode]:
    from pic4ser_lib.lab import cache, rootfs

    _, user_key = state.key(home / "id_ed25519", comment="pic4ser-lab")
    release = Path("/lib/modules", os.uname().release)
    modules = rootfs.modules_folder(cache.root()) or release
    return [
        machines.node(
            node,
            image=made.node_image,
            folder=home / "nodes" / node.name,
            lab=str(home),
            plain=identity.plain(
                node,
                nodes,
                user_key=user_key,
                apt_key=made.apt_key.read_text(),
                host_key=_host_key(home, node),
                more=_hardware(node, made.stand_ins),
                network=machines.network_of(node),
            ),
            modules=modules,
            guests=guests,
        )
        for node in nodes
    ]


def _hardware(node: NodeSpec, stand_ins: Path | None) -> tuple[identity.File, ...]:
    # A kernel of its own speaks NFS itself.
    shared = nfs.files(node, program=stand_ins / "nfs") if stand_ins and node.kind != VIRTUAL else ()
    return (*gpus.files(node), *shared)


@dataclass(frozen=True)
class _Start:
    """Brings one node up, in a thread of its own; calling it says whether anything had to be done."""

    machine: LabNode
    seen: Machine | None
    progress: Progress
    stopping: threading.Event
    bridged: threading.Event

    def __call__(self) -> bool:
        name, prepared = self.machine.spec.name, self.machine.prepared(self.seen)
        if self.seen is not None and prepared and self.seen.config != self.machine.config:
            remedy = "pic4ser lab down, then this again: nodes start anew."
            seen = "this node was made from older pins, or of another release of Debian"
            raise LabError(what=f"start {name}", seen=seen, remedy=remedy)
        if self.machine.spec.kind == VIRTUAL:
            self.bridged.wait()  # podman makes the bridge for its first container, the mirror
        if self.seen is not None and prepared and self.seen.alive:
            self.machine.connect()
            self._wait()  # an up that was stopped may have left it booting
            return False
        self.progress.tell(name, "boot: start" if prepared else "boot: create and start")
        if not prepared:
            self.machine.create()
        self.machine.start()
        self._wait()
        self.machine.run("systemctl is-system-running --wait || true", timeout=self.machine.boot_seconds)
        self.progress.done(name)
        return True

    def _wait(self) -> None:
        until(self._silent, waiting_for=f"sshd on {self.machine.spec.name}", seconds=self.machine.boot_seconds)

    def _silent(self) -> str:
        if self.stopping.is_set():
            raise LabError(what=f"start {self.machine.spec.name}", seen="the command was stopped")
        return _silent(self.machine.address)


@contextmanager
def _told_when_it_ends_early(stopping: threading.Event) -> Iterator[None]:
    # Ctrl-C reaches this thread only; the others must not go on waiting for nodes.
    try:
        yield
    except BaseException:
        stopping.set()
        raise


def _silent(address: str) -> str:
    try:
        with socket.create_connection((address, 22), timeout=1.0) as connection:
            connection.settimeout(2.0)
            return "" if connection.recv(4) == b"SSH-" else "port 22 answers without SSH's greeting"
    except OSError as error:
        return f"port 22: {error}"
