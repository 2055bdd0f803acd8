"""`pip install .` gives the command and the runbook, away from any checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from .conftest import ROOT, tracked

RUNBOOK = ("notebooks", "parameters", "training")


def ran(environment: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """One program of the environment, run in a folder that is no checkout."""
    program, *arguments = command
    return subprocess.run([str(environment / "bin" / program), *arguments], cwd=cwd, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip


def said(environment: Path, code: str, cwd: Path) -> str:
    done = ran(environment, "python", "-W", "error", "-c", code, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_has_every_file_of_the_library_and_of_the_runbook(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    shared = f"{wheel.name.partition('-py3')[0]}.data/data/share/pic4ser/"
    assert not [name for name in tracked("pic4ser_lib") if name not in names]
    assert {shared + name for name in tracked(*RUNBOOK)} == {name for name in names if name.startswith(shared)}


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith((".data", ".dist-info"))} == {"pic4ser_lib"}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("plan", "--help"), ("lab", "up", "--help")], ids=str)
def test_the_command_is_there(environment: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ran(environment, "pic4ser", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_the_installed_library_that_answers(environment: Path, tmp_path: Path) -> None:
    found = said(environment, "import pic4ser_lib; print(pic4ser_lib.__file__)", tmp_path)
    assert Path(found).is_relative_to(environment)


def test_a_site_anywhere_is_run_with_the_notebooks_that_pip_installed(environment: Path, tmp_path: Path) -> None:
    """Asked for one that is none, the command names those that it would run, and touches nothing."""
    site = tmp_path / "ours"
    subprocess.run(["cp", "-r", str(ROOT / "parameters/pic4ser"), str(site)], check=True)
    done = ran(environment, "pic4ser", "plan", str(site), "--only", "99", cwd=tmp_path)
    assert done.returncode == 2
    assert all(Path(name).stem in done.stderr for name in tracked("notebooks"))


def test_the_lab_finds_its_pins_its_files_and_its_template(environment: Path, tmp_path: Path) -> None:
    code = (
        "from pic4ser_lib.lab import pins; from pic4ser_lib import house; p = pins.load();"
        "print(p.versions['kubernetes'], (house.shared() / 'parameters/lab/cluster.yaml').is_file())"
    )
    assert said(environment, code, tmp_path) == "1.36.3 True"


def test_a_copy_of_the_runbook_is_like_the_repositorys_and_overwrites_nothing(
    environment: Path, tmp_path: Path
) -> None:
    first, second = (ran(environment, "pic4ser", "copy", "ours", cwd=tmp_path) for _ in range(2))
    copied = {str(path.relative_to(tmp_path / "ours")) for path in (tmp_path / "ours").rglob("*") if path.is_file()}
    assert first.returncode == 0
    assert copied == set(tracked(*RUNBOOK))
    assert second.returncode == 2
    assert "nothing is overwritten" in second.stderr


def test_a_copy_is_a_house_of_its_own(environment: Path, tmp_path: Path) -> None:
    ran(environment, "pic4ser", "copy", "ours", cwd=tmp_path)
    code = "from pathlib import Path; from pic4ser_lib import house as h; s = Path('parameters/pic4ser'); "
    where = said(environment, code + "print(h.house_of(s), h.notebooks_of(s))", tmp_path / "ours")
    assert where == f"{tmp_path / 'ours'} {tmp_path / 'ours' / 'notebooks'}"
