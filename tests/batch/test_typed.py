"""The command line with real notebooks, piped and on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from .conftest import END, Make, notebook

COMMAND = ["-c", "from pic4ser_lib.cli import main; main()"]
STATES = """
outcome = "planned" if mode == "plan" else "ok"
keep("swap.off", outcome, "bonnie", actions=("run: swapoff -a",) if mode == "plan" else (), diffs=("-/swap.img",))
keep("swap.removed_from_fstab", "ok", "bonnie")
"""


@pytest.fixture(scope="module")
def site(house: Make) -> Path:
    """A site that wants its plan to be confirmed, with one notebook."""
    return house({"01_setup": notebook(STATES, END)}, confirm=True).path


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *COMMAND, *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=300)  # fmt: skip


def test_results_are_on_standard_output_and_progress_is_not(site: Path) -> None:
    ran = typed("plan", str(site))
    assert ran.returncode == 0
    assert "01_setup: 1 to do or to look at, 1 already so" in ran.stdout
    assert "    - run: swapoff -a\n    -/swap.img" in ran.stdout
    assert "01_setup: begins" in ran.stderr
    assert f"Next: pic4ser run {site}" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


def test_json_is_the_journal_and_nothing_else(site: Path) -> None:
    ran = typed("verify", str(site), "--json")
    entries = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [entry["event"] for entry in entries] == ["record", "record", "end"]
    assert "Evidence:" in ran.stderr


def test_the_last_run_is_reported_again_and_its_journals_are_as_written(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = typed("verify", str(site)).stdout.split("sealed ")[1].split()[0]
    monkeypatch.chdir(site)
    assert "all proven" in typed("report").stdout
    assert "01_setup.jsonl: 3 lines, as they were written" in typed("verify-journal", "--seal", seal).stdout
    assert typed("verify-journal", "--seal", "0" * 64).returncode == 1


def test_on_a_terminal_the_plan_is_shown_first_and_no_is_the_default(site: Path) -> None:
    child = pexpect.spawn(sys.executable, [*COMMAND, "run", str(site)], timeout=300, dimensions=(40, 120))
    child.expect_exact("swapoff -a")
    child.expect_exact(f"Do this to {site}? [y/N]")
    child.sendline("")
    child.expect_exact("Nothing was changed.")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
