"""pic4ser lab: the rehearsal lab. The only door to pic4ser_lib.lab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pic4ser_lib.lab.rehearsal import Status
    from pic4ser_lib.site import Site

LAB = "parameters/lab"
"""The site that commands mean when they are not told: the safe one."""


@click.group(short_help="Rehearse: machines in containers, or virtual ones.")
def lab() -> None:
    """The rehearsal lab: machines in containers, or virtual ones, that the runbook takes for real ones.

    Example: pic4ser lab up
    """


@lab.command()
@click.argument("site", default=LAB, required=False)
@click.option("--like", default="", metavar="SITE", help="Write a lab's folder like this site's, and boot that one.")
@click.option(
    "--charts",
    default=None,
    metavar="DIR",
    type=click.Path(path_type=Path, resolve_path=True),
    help="Serve the upstream charts in this folder (.tgz or unpacked) in place of the stand-ins of their names.",
)
@click.option(
    "--online",
    is_flag=True,
    help="Fetch upstream's charts, and its images that need no GPU, and serve them in place of the stand-ins. "
    "Only when asked: without it nothing of these is fetched, and a rehearsal is the same everywhere.",
)
@click.option(
    "--nodes",
    "kind",
    type=click.Choice(["container", "vm"]),
    default="container",
    help="vm: write this lab's folder with virtual machines for nodes, each with a kernel of its own, and boot that "
    "one. Slow where the machine has no KVM, and proves what containers cannot: swap, modules, NFS, reboots.",
)
@click.option(
    "--release",
    type=click.Choice(["bookworm", "trixie"]),
    default=None,
    help="With --nodes vm: Debian 12 (bookworm) or Debian 13 (trixie) on all of them.",
)
@click.option("--wait", is_flag=True, help="Return only when the lab serves what every notebook needs.")
def up(site: str, like: str, charts: Path | None, online: bool, kind: str, release: str | None, wait: bool) -> int:
    """Boot the lab's machines, or find them as they are; what the later notebooks need is built meanwhile.

    Example: pic4ser lab up --like parameters/pic4ser --charts ~/charts
    """
    from pic4ser_lib.lab import charts as chart_files
    from pic4ser_lib.lab import rehearsal
    from pic4ser_lib.lab.like import like as made_like
    from pic4ser_lib.lab.virtual import virtual

    if release and kind != "vm":
        raise click.UsageError("--release is for virtual machines: add --nodes vm, or leave it out.")
    if charts is not None and online:
        raise click.UsageError("--online fetches the charts itself: leave out --charts or --online.")
    if charts is not None:
        chart_files.read(charts)  # what cannot be served is refused before anything starts
    if like:
        site = str(made_like(like))
    if kind == "vm":
        site = str(virtual(site, release or ""))
    if like or kind == "vm":
        click.echo(f"Written: {site}")
    now = rehearsal.up(site, tell=_progress, charts=charts, online=online)
    if wait:
        rehearsal.wait("99", tell=_progress)
        now = rehearsal.status()
    click.echo("\n".join([*_lines(now), f"Next: pic4ser run {site}"]))
    return 0  # a machine of this site that does not come up was raised; one that is off now is another site's


@lab.command()
def down() -> int:
    """Take the lab's machines away, and leave the host as it was.

    Example: pic4ser lab down
    """
    from pic4ser_lib.lab import rehearsal

    left = rehearsal.down(tell=_progress)
    click.echo("\n".join(["Not as before:", *left]) if left else "The lab is down; the host is as it was.")
    return 1 if left else 0


@lab.command()
def status() -> int:
    """Show the lab's machines.

    Example: pic4ser lab status
    """
    from pic4ser_lib.lab import rehearsal

    now = rehearsal.status()
    click.echo("\n".join(_lines(now)))
    return 0 if now.up else 1


@lab.command()
@click.argument("node")
@click.argument("command", nargs=-1)
def shell(node: str, command: tuple[str, ...]) -> int:
    """Log in on a machine of the lab, or run one command there.

    Example: pic4ser lab shell bonnie
    """
    from pic4ser_lib.lab import rehearsal

    rehearsal.shell(node, command)
    return 0


def lab_runs(site: Path) -> None:
    """Raises LabError if a machine of the lab's that this site names is off: nobody is connected to, nothing waits."""
    from pic4ser_lib.errors import LabError
    from pic4ser_lib.lab import rehearsal

    if off := rehearsal.missing(site):
        raise LabError(what="use it", seen=f"not running: {', '.join(off)}", remedy=f"Run: pic4ser lab up {site}")


def lab_ready(site: Site) -> Callable[[str], str]:
    """What waits before a notebook until the lab serves what that needs, and says why it never will (else "")."""
    from pic4ser_lib.errors import PicError
    from pic4ser_lib.lab import rehearsal

    def ready(notebook: str) -> str:
        try:
            rehearsal.wait(notebook, tell=_progress)
        except PicError as error:
            return f"{notebook} cannot begin: {error}"
        return ""

    ours = site.valid_on and str(site.path) in rehearsal.status().sites
    return ready if ours else lambda notebook: ""


def _lines(now: Status) -> list[str]:
    machines = (*now.nodes, now.mirror)
    running = [f"{m.name:<12}  {m.state:<8}  {m.address:<12}  {m.memory_bytes / 2**20:,.0f} MB" for m in machines]
    origin = ["online        upstream's charts and images, fetched before the nodes booted"] if now.online else []
    return [*running, *origin, *(f"{stage:<12}  {word}" for stage, word in now.stages)]


def _progress(line: str) -> None:
    click.echo(line, err=True)
