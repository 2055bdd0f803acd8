"""The command line: parse, call, print.

Results go to standard output, progress to standard error. Exit codes: 0 all is proven, 1 something failed,
2 the command or the site is wrong and nothing was touched, 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pic4ser_lib.cli.grafana import grafana
from pic4ser_lib.cli.lab import lab
from pic4ser_lib.cli.runs import plan, run, verify
from pic4ser_lib.cli.status import status

__all__ = ["called", "main", "pic4ser"]


def main() -> None:
    """What `pic4ser` runs: a command, then its exit code."""
    sys.exit(called(sys.argv[1:]))


def called(arguments: list[str]) -> int:
    """Run one command and return its exit code; what was raised on purpose becomes one sentence on standard error."""
    from pic4ser_lib.errors import ConsentMissing, PicError, SiteError

    try:
        return int(pic4ser.main(arguments, prog_name="pic4ser", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped by Ctrl-C. The same command goes on from here.", err=True)
        return 130
    except PicError as error:
        click.echo(str(error), err=True)
        return 2 if isinstance(error, SiteError | ConsentMissing) else 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pic4ser", message="%(prog)s %(version)s")
def pic4ser() -> None:
    """From bare machines to a Kubernetes cluster with GPUs, by notebooks that can be rehearsed.

    Example: pic4ser plan parameters/lab
    """


@pic4ser.command(short_help="Make a run's report again.")
@click.argument("run", default="", required=False)
def report(run: str) -> int:
    """Make a run's report again, the last run's if none is named, and say how the run ended.

    Example: pic4ser report runs/lab/20261124T101500-3f9a2c
    """
    from pic4ser_lib.runbook import report as pages
    from pic4ser_lib.runbook import summary

    folder = pages.run_folder(run)
    page, said = pages.write_page(folder), pages.read(folder)
    click.echo(pages.headline(said))
    click.echo(f"Evidence: {summary.nearest(page)}")
    return 0 if said["succeeded"] else 1


@pic4ser.command("verify-journal", short_help="Look for edits in a run's journals.")
@click.argument("run", default="", required=False)
@click.option("--seal", default="", help="The seal that the run printed: finds an edit that was recomputed, too.")
def verify_journal(run: str, seal: str) -> int:
    """Say whether the journals of a run are as they were written, the last run's if none is named.

    Example: pic4ser verify-journal runs/lab/20261124T101500-3f9a2c
    """
    from pic4ser_lib.journal import verify_run
    from pic4ser_lib.runbook import report as pages

    folder = pages.run_folder(run)
    verdicts = verify_run(folder, seal=seal)
    click.echo("\n".join([f"{folder}:", *(map(str, verdicts) if verdicts else ["no journal was written"])]))
    return 0 if verdicts and all(verdict.good for verdict in verdicts) else 1


@pic4ser.command(short_help="Copy the runbook to a folder of yours.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def copy(folder: Path) -> int:
    """Copy notebooks, parameters and training to a folder of your own, to edit and run; overwrite nothing.

    Example: pic4ser copy our-cluster
    """
    from pic4ser_lib import house

    click.echo(f"Copied to {house.copy(folder)}. Next: edit parameters/pic4ser there, and plan it.")
    return 0


for _command in (plan, run, verify, grafana, status, lab):
    pic4ser.add_command(_command)
