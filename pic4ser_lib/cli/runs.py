"""pic4ser plan, run and verify: the notebooks' modes, for a whole site."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pic4ser_lib.cli.lab import LAB, lab_ready, lab_runs

if TYPE_CHECKING:
    from pic4ser_lib.runbook.notebook import Notebook
    from pic4ser_lib.runbook.walk import RunResult
    from pic4ser_lib.site import Site

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Asked:
    """What plan, run and verify have in common."""

    site: str
    node: str
    begin: str
    only: tuple[str, ...]
    as_json: bool


def _site_options(command: _Command) -> _Command:
    options = (
        click.argument("site", default=LAB, required=False),
        click.option("--node", default="*", metavar="NAME", help="Narrow the steps on nodes to this one."),
        click.option("--from", "begin", default="", metavar="NN", help="Begin with this notebook."),
        click.option("--only", multiple=True, metavar="NN", help="Run only this notebook (may be repeated)."),
        click.option("--json", "as_json", is_flag=True, help="Print the journal's records, one JSON object a line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Show what `run` would do.")
@_site_options
def plan(**asked: Any) -> int:
    """Show what `run` would do to a site, with the differences in files; change nothing.

    Example: pic4ser plan parameters/lab --only 01
    """
    return _without_change(_Asked(**asked), "plan")


@click.command(short_help="Ask for every wanted state.")
@_site_options
def verify(**asked: Any) -> int:
    """Ask a site for every state that the runbook wants; change nothing.

    Example: pic4ser verify parameters/lab --node kitt
    """
    return _without_change(_Asked(**asked), "verify")


@click.command(short_help="Bring a site there, and prove it.")
@_site_options
@click.option("--prove", is_flag=True, help="Repeat the proofs (pods that show it works) even if nothing changes.")
@click.option("--yes", is_flag=True, help="Do not ask, where the site wants its plan to be confirmed.")
def run(prove: bool, yes: bool, **asked_for: Any) -> int:
    """Bring a site to the state that the runbook describes, and prove it.

    Example: pic4ser run parameters/lab --from 02
    """
    from pic4ser_lib import consent

    asked = _Asked(**asked_for)
    site, notebooks = _read(asked)
    asks = site.confirm and not yes
    if asks and not sys.stdin.isatty():
        raise click.UsageError(f"{asked.site} wants its plan to be confirmed: run this on a terminal, or add --yes.")
    given = consent.passwords(site.nodes)
    with consent.answers(given) as ask:
        if asks and not _confirmed(_batch(asked, site, notebooks, "plan", ask=ask), asked):
            click.echo("Nothing was changed.", err=True)
            return 1
        return _told(_batch(asked, site, notebooks, "apply", ask=ask, prove=prove, given=given), site, asked)


def _without_change(asked: _Asked, mode: str) -> int:
    from pic4ser_lib import consent

    site, notebooks = _read(asked)
    with consent.answers(consent.passwords(site.nodes)) as ask:
        return _told(_batch(asked, site, notebooks, mode, ask=ask), site, asked)


def _read(asked: _Asked) -> tuple[Site, tuple[Notebook, ...]]:
    """The site and its notebooks, before anything is touched."""
    from pic4ser_lib.house import notebooks_of
    from pic4ser_lib.runbook.notebook import runbook
    from pic4ser_lib.site import load

    site = load(asked.site)
    site.select(asked.node)
    if site.valid_on:
        lab_runs(site.path)
    return site, runbook(notebooks_of(site.path), begin=asked.begin, only=asked.only)


def _batch(
    asked: _Asked, site: Site, notebooks: tuple[Notebook, ...], mode: str, *,
    ask: Path | None, prove: bool = False, given: dict[str, str] | None = None,
) -> RunResult:  # fmt: skip
    from pic4ser_lib.runbook import grid, walk
    from pic4ser_lib.steps import Mode

    run_id = walk.new_run_id()
    with (
        _lock(site, run_id, given or {}) if mode == "apply" else nullcontext(),
        grid.shown([node.name for node in site.nodes]) as tell,
    ):
        return walk.run(site, notebooks=notebooks, mode=Mode(mode), out=walk.runs_of(site), node=asked.node,
                           prove=prove, ask=ask, run_id=run_id, tell=tell, ready=lab_ready(site))  # fmt: skip


@contextmanager
def _lock(site: Site, run_id: str, given: dict[str, str]) -> Iterator[None]:
    """Only one run changes a site at a time."""
    import getpass
    import socket

    from pic4ser_lib.host import Host, SiteLock

    password = partial(given.__getitem__, site.first.name) if site.first.name in given else None
    host = Host(site.first, password=password)
    try:
        with SiteLock(host, run_id=run_id, who=f"{getpass.getuser()}@{socket.gethostname()}", site=site.name) as lock:
            yield
            if lock.lost:
                click.echo(f"The site's lock was lost on the way: {lock.lost}", err=True)
    finally:
        host.close()


def _confirmed(result: RunResult, asked: _Asked) -> bool:
    """Whether the person who saw the plan says yes. Raises Abort on Ctrl-C, there or in the plan."""
    from pic4ser_lib.runbook import summary

    summary.show_plan(result)
    if not result.succeeded:
        click.echo("\n".join(["", *summary.overview(result)]))
    if result.interrupted:
        raise click.Abort
    return click.confirm(f"Do this to {asked.site}?", default=False, err=True)


def _cluster_lines(result: RunResult, site: Site) -> list[str]:
    """The cluster as it is now and, for the lab, how to look into it; nothing after a plan or a failure."""
    from pic4ser_lib.cli.status import in_one_line, seen
    from pic4ser_lib.errors import ClusterError
    from pic4ser_lib.ports import state_folder

    if not result.succeeded or result.mode == "plan" or not (state_folder(site.name) / "kubeconfig").exists():
        return []
    try:
        lines = [f"Cluster: {in_one_line(seen(site))}"]
    except ClusterError as error:
        lines = [f"Cluster: not to be asked: {error}"]
    return lines + (
        [f"Go on: pic4ser lab shell {site.first.name}, make notebooks, pic4ser lab down"] if site.valid_on else []
    )


def _told(result: RunResult, site: Site, asked: _Asked) -> int:
    """Print how a run ended, keep its evidence, and return the exit code."""
    from pic4ser_lib.runbook import report, summary

    seal = report.write(result, site)
    if asked.as_json:
        for entry in report.entries(result.folder):
            click.echo(json.dumps(entry, ensure_ascii=False))
    elif result.mode == "plan":
        summary.show_plan(result)
    *ended, following = summary.last_lines(result, site=asked.site, seal=seal)
    lines = ["", *summary.overview(result), *ended, *_cluster_lines(result, site), following]
    click.echo("\n".join(lines), err=asked.as_json)
    return 130 if result.interrupted else 0 if result.succeeded else 1
