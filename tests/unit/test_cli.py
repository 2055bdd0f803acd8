"""The command line as it is typed: help that can be run, exit codes, and nothing touched when something is wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pic4ser_lib.cli import pic4ser

ROOT = Path(__file__).parents[2]


def leaves(command: click.Command = pic4ser, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [(path, command), *(leaf for name, each in below for leaf in leaves(each, (*path, name)))]


COMMANDS = pytest.mark.parametrize(("path", "command"), leaves(), ids=str)


def typed(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    code = "from pic4ser_lib.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip


@COMMANDS
def test_every_command_has_one_sentence_and_one_example(path: tuple[str, ...], command: click.Command) -> None:
    sentence, example = (command.help or "").strip().split("\n\n")
    assert sentence.rstrip().endswith(".")
    assert example.strip().startswith(" ".join(("Example: pic4ser", *path)))


@COMMANDS
def test_every_example_can_be_typed(path: tuple[str, ...], command: click.Command) -> None:
    words = shlex.split((command.help or "").split("Example: pic4ser ")[1])
    group: click.Command = pic4ser
    while isinstance(group, click.Group):
        group = group.commands[words.pop(0)]
    assert group.make_context("example", words)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rum",), "Did you mean 'run'?"),
        (("plan", "--nod", "kitt"), "--node"),
        (("plan", "parameters/nowhere"), "nothing was touched"),
        (("plan", "parameters/pic4ser", "--node", "kit"), "did you mean kitt?"),
        (("run", "parameters/pic4ser"), "add --yes"),
        (("verify", "parameters/pic4ser", "--only", "00"), "Nobody could be asked for the sudo password for bonnie"),
        (("report", "no-such-run"), "no-such-run"),
        (("verify-journal", "no-such-run"), "no-such-run"),
    ],
)
def test_a_wrong_command_or_site_ends_with_two_and_says_what_to_type(arguments: tuple[str, ...], says: str) -> None:
    ran = typed(*arguments)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert not ran.stdout


def test_help_needs_nothing_heavy() -> None:
    code = "import sys, pic4ser_lib.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"rich", "pydantic", "papermill", "nbformat", "fabric", "kubernetes", "IPython", "pic4ser_lib.lab"}
    assert not heavy & set(loaded)
