"""The whole runbook on three virtual machines, and what their own kernels must keep through a reboot of all of them.

Emulated on two cores this takes between one hour and three, so it is part of `make soak`. The tests build on each
other, in their order. The site is parameters/lab as `pic4ser lab up --nodes vm` plays it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from machine_outside import HOME, ROOT, THREE, pic4ser, reboot_all, up

HOURS = 4 * 3600.0
_, KITT, _ = THREE


@pytest.fixture(scope="module")
def site(may_boot: None) -> Path:
    """Three plain machines; the lab stays for whoever wants to look, until the next test takes it down."""
    assert pic4ser("lab", "down").returncode == 0
    return up(ROOT / "parameters" / "lab")


def asked(verb: str, site: Path) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, records and text of `pic4ser run` or `verify`."""
    done = pic4ser(verb, str(site), "--json", timeout=HOURS)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, [each for each in told if each.get("event") == "record"], done.stdout + done.stderr


@pytest.fixture(scope="module")
def ran(site: Path) -> tuple[int, list[dict[str, object]], str]:
    """The first run."""
    return asked("run", site)


@pytest.fixture(scope="module")
def house(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed notebooks with this site as their parameter, as somebody would choose it in JupyterLab."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "training", folder / "training")
    (folder / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        (cell,) = (cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ()))
        cell.source = cell.source.replace('"parameters/lab"', repr(str(site)))
        nbformat.write(book, folder / "notebooks" / path.name)
    shutil.copy(ROOT / "conftest.py", folder)
    return folder


def test_all_of_it_runs_to_the_end(ran: tuple[int, list[dict[str, object]], str]) -> None:
    code, records, said = ran
    assert code == 0, said[-4000:]
    assert {record["outcome"] for record in records} <= {"ok", "changed"}


def test_a_second_run_changes_nothing(ran: tuple[int, list[dict[str, object]], str], site: Path) -> None:
    code, records, said = asked("run", site)
    assert code == 0, said[-4000:]
    assert {record["outcome"] for record in records} == {"ok"}


def test_the_notebooks_show_the_committed_text(ran: tuple[int, list[dict[str, object]], str], house: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "notebooks"]
    done = subprocess.run(
        words, cwd=house, env={**os.environ, "PIC4SER_MODE": "verify"}, capture_output=True, text=True, timeout=HOURS
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_claims_are_on_the_kernels_own_nfs(ran: tuple[int, list[dict[str, object]], str]) -> None:
    mounts = "\n".join(machine.on("cat /proc/mounts") for machine in THREE)
    assert " nfs4 " in mounts
    assert "10.83.17.12:/export/kubernetes" in mounts
    assert "/export/kubernetes" in KITT.on("cat /proc/fs/nfsd/exports")


def test_everything_is_there_after_a_reboot_of_all(ran: tuple[int, list[dict[str, object]], str], site: Path) -> None:
    reboot_all(THREE)
    code, records, said = asked("run", site)
    assert code == 0, said[-4000:]
    assert {record["outcome"] for record in records} == {"ok"}
    assert {machine.on("swapon --show --noheadings") for machine in THREE} == {""}


def test_down_leaves_nothing(site: Path) -> None:
    done = pic4ser("lab", "down")
    assert done.returncode == 0, done.stdout
    assert not list((HOME / "nodes").glob("*/"))
