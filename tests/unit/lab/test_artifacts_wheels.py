"""Packages from PyPI: the lock names each with its checksum, and pip refuses what is not what the lock says."""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import pins, wheels
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Recipe

PACKAGES = pins.load().python["packages"]


@pytest.mark.parametrize("name", PACKAGES)
def test_each_lock_says_the_version_of_its_pin_and_a_checksum_for_everything(name: str) -> None:
    lines = (pins.LOCKS / f"{name}.txt").read_text().splitlines()
    assert f"{name}=={PACKAGES[name]['version']}" in [line.split()[0] for line in lines]
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def _wheel(folder: Path) -> Path:
    path, library = folder / "answer-1.0-py3-none-any.whl", folder / "answer.so"
    command = ["gcc", "-shared", "-xc", "-", "-o", library]
    subprocess.run(command, input="int answer(void) { return 42; }", text=True, check=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("answer/__init__.py", "ANSWER = 42\n")
        wheel.write(library, "answer/answer.so")
        wheel.writestr("answer/include/answer.h", "#define ANSWER 42\n")
        wheel.writestr("answer-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: answer\nVersion: 1.0\n")
        wheel.writestr("answer-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("answer-1.0.dist-info/RECORD", "")
    return path


def _empty_root(into: Path, _: object) -> None:
    with tarfile.open(into / "root.tar", "w"):
        pass


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A package of ours in a folder, its lock, and a root below it; the lock can be overwritten."""
    wheel = _wheel(tmp_path)
    entry = {"version": "1.0", "root": "python", "path": "/usr/lib/site", "disk_bytes": 1, "leave_out": []}
    found = Pins({}, {}, {}, {}, python={"recipe": 1, "python": "3.11", "packages": {"answer": entry}})
    monkeypatch.setattr(wheels, "LOCKS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "answer.txt").write_text(f"answer==1.0 --hash=sha256:{checksum}\n")
    root = Recipe(name="root-python", inputs={}, make=_empty_root)
    root.ensure(tmp_path / "cache")
    return {"pins": found, "known": {"root-python": root}, "cache": tmp_path / "cache", "entry": entry}


def _made(answer: dict[str, Any]) -> Path:
    recipe = wheels.recipes(answer["pins"], answer["known"])["answer"]
    return recipe.ensure(answer["cache"])


def test_what_the_lock_says_is_unpacked_without_what_is_left_out(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_compiled", lambda *told: None)  # no Python in the empty root
    answer["entry"]["leave_out"] = ["answer/include"]
    made = _made(answer)
    command = [sys.executable, "-c", "import answer; print(answer.ANSWER)"]
    done = subprocess.run(command, env={"PYTHONPATH": str(made / "site")}, capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    assert not (made / "site/answer/include").exists()
    assert (made / "path").read_text() == "/usr/lib/site\n"


def test_a_library_is_stripped_of_what_only_debuggers_read(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_compiled", lambda *told: None)
    assert b".symtab" in (_made(answer) / "site/answer/answer.so").read_bytes()
    answer["entry"]["strip"] = ["answer/answer.so"]
    library = _made(answer) / "site/answer/answer.so"
    assert b".symtab" not in library.read_bytes()
    assert ctypes.CDLL(str(library)).answer() == 42


def test_a_wheel_that_is_not_the_locks_is_refused(answer: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text(f"answer==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ArtifactError, match=r"answer: wanted .*(?s:.*)DO NOT MATCH THE HASHES"):
        _made(answer)
