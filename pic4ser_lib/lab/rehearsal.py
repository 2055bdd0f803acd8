"""The lab as a whole: up, down, status, shell. Its door: cli.py calls these and nothing else of lab/.

`up` may be called in any state and ends in the same one; `down` may be called in any state and leaves nothing but the
cache, the lab's SSH keys, and the host as it was.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import LabError, PicError
from pic4ser_lib.lab import boot, builder, capacity, hoststate, leftovers, machines, network, sitefolder, stages, state
from pic4ser_lib.lab.like import like
from pic4ser_lib.lab.nodes import MIRROR, MIRROR_ADDRESS, USER, Machine, NodeSpec
from pic4ser_lib.progress import Progress

if TYPE_CHECKING:
    from pic4ser_lib.lab.artifacts import Artifacts

__all__ = ["Member", "Status", "down", "like", "missing", "shell", "status", "up", "wait"]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """One machine of the lab as it is now. `state` is running, off or missing."""

    name: str
    address: str
    state: str
    memory_bytes: int = 0


@dataclass(frozen=True)
class Status:
    """The lab as it is now; `since` is "" when none was started. `stages`: a stage's name and how far it is."""

    nodes: tuple[Member, ...]
    mirror: Member
    network: bool
    since: str = ""
    sites: tuple[str, ...] = ()
    stages: tuple[tuple[str, str], ...] = ()
    online: bool = False

    @property
    def up(self) -> bool:
        """Whether every machine runs."""
        return self.network and bool(self.nodes) and all(m.state == "running" for m in (*self.nodes, self.mirror))


def up(
    site: str | Path = sitefolder.DEFAULT, *, tell: Tell, charts: Path | None = None, online: bool = False
) -> Status:
    """Every node of the site boots as a plain machine, or runs on as it is; the site's folder is completed.

    A lab that runs already is joined, as long as its nodes are others, or the very same: see `joined`.
    What the notebooks from 05 on need is built and served by a process of its own: see `wait`. `charts` is a folder of
    upstream charts, served in place of the stand-ins. `online`: upstream's charts and images are fetched first, here on
    the host, since nodes never have a way out. Only when asked: an offline rehearsal is the same everywhere.
    Raises LabError, DeadlinePassed, or ArtifactError when something cannot be built or fetched.
    """
    folder = sitefolder.found(site)
    nodes = sitefolder.nodes_of(folder)
    home = state.folder()
    guests = machines.virtual(nodes)
    capacity.require(capacity.seen(home, guests=bool(guests)), new_nodes=0)
    with state.locked("lab up"), Progress(write=tell) as progress:
        seen = machines.seen(home)
        since = _one_lab(home, seen)
        every = joined(since, nodes)
        _same_origin(since, online=online)
        new = [node for node in nodes if node.container not in seen or not seen[node.container].alive]
        new_guests = len(machines.virtual(new))
        capacity.require(capacity.seen(home), new_nodes=len(new) - new_guests, new_guests=new_guests)
        charts = _fetched(home, progress) if online else charts
        made = _built(progress, online=online, guests=machines.releases(every))
        sites = tuple(sorted({*(since.sites if since else ()), str(folder)}))
        state.keep(home, state.Running(sites, since.since if since else state.now(), every, online))
        boot.boot(home, nodes, made, seen, progress, every=every)
        boot.complete(home, made)
        builder.ensure(home, charts=charts, online=online)
    return status()


def down(*, tell: Tell) -> list[str]:
    """Nothing of the lab is left but its cache and keys, and the host's settings are as before.

    Returns what was found on the host that `down` could not or must not put back; [] when it is as it was.
    """
    with state.locked("lab down"), Progress(write=tell) as progress:
        seen = machines.seen(state.folder())
        homes = sorted({state.folder(), *(Path(c.lab) for c in seen.values() if c.lab)})
        progress.tell("lab", "down: stop building")
        for home in homes:
            builder.stop(home)
        for home in homes:
            if started := state.running(home):
                for site in started.sites:
                    sitefolder.remove_local(Path(site))
        if seen:
            progress.tell("lab", f"down: remove {len(seen)} machines")
        machines.remove(seen.values())
        return network.remove() + [line for home in homes for line in _cleared(home, progress)]


def status() -> Status:
    """The lab as it is now; only reads, and sends nothing to a lab address."""
    seen = machines.seen(state.folder())
    started = state.running(_home_of(seen))
    nodes = started.nodes if started else ()
    return Status(
        nodes=tuple(_member(node.name, node.address, seen.get(node.container)) for node in nodes),
        mirror=_member("mirror", MIRROR_ADDRESS, seen.get(MIRROR)),
        network=bool(seen) and network.carries(),
        since=started.since if started else "",
        sites=started.sites if started else (),
        stages=builder.told(_home_of(seen)) if started else (),
        online=started.online if started else False,
    )


def missing(site: Path) -> tuple[str, ...]:
    """What of this site's machines and the lab's own does not run now; () for a site that no lab was told of."""
    now = status()
    if str(site) not in now.sites:
        return ()
    names = {now.mirror.name, *(node.name for node in sitefolder.nodes_of(site))}
    off = [each.name for each in (*now.nodes, now.mirror) if each.name in names and each.state != "running"]
    return tuple(off) if now.network else (*off, "its network")


def wait(notebook: str, *, tell: Tell) -> None:
    """Returns when the mirror serves what this notebook needs. Raises LabError when that cannot be built."""
    builder.wait(_home_of(machines.seen(state.folder())), stages.needed_by(notebook), tell=tell)


def shell(node: str, command: Sequence[str] = ()) -> None:
    """Becomes an SSH session on the node (of `command`, if given). Raises LabError when the node does not run."""
    home = _home_of(machines.seen(state.folder()))
    now = status()
    here = {member.name: member for member in now.nodes}
    if node not in here:
        seen = f"the lab's nodes are {', '.join(here)}" if here else "no lab runs"
        raise LabError(what=f"open a shell on {node}", seen=seen, remedy="" if here else "Start it: pic4ser lab up")
    if here[node].state != "running" or not now.network:
        raise LabError(what=f"open a shell on {node}", seen=f"it is {here[node].state}", remedy="pic4ser lab up")
    sys.stdout.flush()
    os.execvp("ssh", ["ssh", *state.ssh_options(home), f"{USER}@{here[node].address}", *command])


def joined(running: state.Running | None, asked: Sequence[NodeSpec]) -> tuple[NodeSpec, ...]:
    """The nodes of the lab that runs, and those that a site adds to it; its own alone if none runs.

    Raises LabError when one of them has the name or the address of a node that runs, and is not that node.
    """
    if running is None:
        return tuple(asked)
    for node in asked:
        for other in running.nodes:
            if node != other and (node.name == other.name or node.address == other.address):
                raise _another_lab(running, f"; {node.name} ({node.address}) would be in the place of {other.name}")
    return (*running.nodes, *(node for node in asked if node not in running.nodes))


def _one_lab(home: Path, seen: dict[str, Machine]) -> state.Running | None:
    if foreign := {c.lab for c in seen.values()} - {str(home)}:
        raise _another_lab(state.running(Path(foreign.pop())))
    return state.running(home) if seen else None


def _another_lab(started: state.Running | None, why: str = "") -> LabError:
    names = ", ".join(node.name for node in started.nodes) if started else "unknown nodes"
    return LabError(
        what="lab up",
        seen=f"another lab runs on this machine ({names}) since {started.since if started else 'some time'}{why}",
        remedy="There is one lab per machine: pic4ser lab down, then this again.",
    )


def _same_origin(started: state.Running | None, *, online: bool) -> None:
    # Its nodes hold images already, which nothing fetches again: half of each would be neither.
    if started is None or started.online == online:
        return
    end = "End it first: pic4ser lab down."
    raise LabError(
        what="lab up --online" if online else "lab up",
        seen=f"the lab that runs since {started.since} was started {'without' if online else 'with'} --online",
        remedy=end if online else f"Go on with it: pic4ser lab up --online. {end}",
    )


def _fetched(home: Path, progress: Progress) -> Path:
    from pic4ser_lib.lab import artifacts

    kept = builder.known(home)
    if kept and kept.online and Path(kept.charts).is_dir():
        return Path(kept.charts)  # this lab's since it came up: it goes on without the Internet
    return artifacts.fetch(_heard(progress))


def _built(progress: Progress, *, online: bool, guests: Sequence[str]) -> Artifacts:
    from pic4ser_lib.lab import artifacts

    return artifacts.build(boot.STAGE, _heard(progress), online=online, guests=guests)


def _heard(progress: Progress) -> Callable[[str, str, float], None]:
    def heard(artifact: str, what: str, seconds: float) -> None:
        if what == "building":
            progress.tell(artifact, f"artifact: {what}")
        else:
            progress.done(artifact)

    return heard


def _cleared(home: Path, progress: Progress) -> list[str]:
    progress.tell("lab", "down: delete the nodes' data")
    leftovers.unmount(home)
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(shutil.rmtree, [path for path in (home / "nodes").glob("*") if path.is_dir()]))
    shutil.rmtree(home / "mirror", ignore_errors=True)
    for word in ("lab.json", "dilation.json", "proved", "builder.json", "builder.log", "builder.lock"):
        (home / word).unlink(missing_ok=True)
    progress.tell("lab", "down: put the host's settings back")
    kept = home / "hoststate.json"
    before = hoststate.load(kept)
    for line in hoststate.restore(before) if before else []:
        progress.tell("host", f"sysctl: {line}")
    found = hoststate.disturbed(before, hoststate.seen()) if before else []
    kept.unlink(missing_ok=True)
    return found


def _home_of(seen: dict[str, Machine]) -> Path:
    labs = sorted({c.lab for c in seen.values() if c.lab})
    return Path(labs[0]) if labs else state.folder()


def _member(name: str, address: str, seen: Machine | None) -> Member:
    if seen is None:
        return Member(name, address, "missing")
    if not seen.alive:
        return Member(name, address, "off")
    with suppress(LabError, OSError):
        return Member(name, address, "running", machines.memory_bytes(seen))
    return Member(name, address, "running")


def main(words: Sequence[str]) -> int:
    """`python -m pic4ser_lib.lab.rehearsal up|down|status|shell NODE`: the lab without the command line."""
    verb, *rest = words or ["status"]
    if verb == "up":
        print(up(*rest, tell=_say))
    elif verb == "down":
        print("\n".join(down(tell=_say)) or "the lab is down and this machine as it was")
    elif verb == "shell" and rest:
        shell(rest[0], rest[1:])
    else:
        print(status())
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PicError as error:
        sys.exit(f"{error}")
