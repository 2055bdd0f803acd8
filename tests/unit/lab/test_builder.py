"""The process that builds the later stages: one at a time, found again, ended with all it started, started anew."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pic4ser_lib.errors import DeadlinePassed, LabError
from pic4ser_lib.lab import builder, state
from pic4ser_lib.lab.nodes import NodeSpec

# In place of the builder's own program: writes down that it began, and lives until it is ended.
LIVES = "import os,sys,time; open(sys.argv[1] + '/begun','a').write(f'{os.getpid()}\\n'); time.sleep(60)"
SERVES = """
import json, sys
path = sys.argv[1] + '/builder.json'
told = json.load(open(path))
told['stages'] = {name: {'word': 'served', 'detail': ''} for name in told['stages']}
open(path, 'w').write(json.dumps(told))
"""
FAILS = SERVES.replace("'served', 'detail': ''", "'failed', 'detail': 'no space left'")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a lab that is up."""
    monkeypatch.setenv("PIC4SER_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "lab"
    home.mkdir()
    state.keep(home, state.Running((), state.now(), (NodeSpec("bonnie", "10.83.17.11"),)))
    yield home
    builder.stop(home)
    while builder._children:
        builder._children.pop().wait(10)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says which program the builder is from now on."""

    def choose(text: str) -> None:
        monkeypatch.setattr(builder, "COMMAND", [sys.executable, "-c", text])

    return choose


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _begun(home: Path) -> list[int]:
    path = home / "begun"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_second_up_finds_the_first_ones_builder(home: Path, program: Callable[[str], None]) -> None:
    program(LIVES)
    builder.ensure(home)
    assert builder.alive(home)
    builder.ensure(home)
    _until(lambda: _begun(home))
    assert len(_begun(home)) == 1


def test_down_ends_it_even_before_it_has_begun(home: Path, program: Callable[[str], None]) -> None:
    program(LIVES)
    builder.ensure(home)
    builder.stop(home)
    assert not builder.alive(home)
    assert not [pid for pid in _begun(home) if Path(f"/proc/{pid}").exists() and not _defunct(pid)]


def _defunct(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_one_that_ignores_being_told_is_killed(
    home: Path, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_STOP_SECONDS", 0.3)
    program(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LIVES}")
    builder.ensure(home)
    _until(lambda: _begun(home))
    builder.stop(home)
    assert not builder.alive(home)


def test_other_charts_need_another_builder(home: Path, program: Callable[[str], None], tmp_path: Path) -> None:
    program(LIVES)
    builder.ensure(home)
    _until(lambda: len(_begun(home)) == 1)
    builder.ensure(home, charts=tmp_path)
    _until(lambda: len(_begun(home)) == 2)
    known = builder.known(home)
    assert known is not None
    assert known.charts == str(tmp_path)


def test_an_online_lab_needs_another_builder_which_remembers_it(home: Path, program: Callable[[str], None]) -> None:
    program(LIVES)
    builder.ensure(home)
    _until(lambda: len(_begun(home)) == 1)
    builder.ensure(home, online=True)
    _until(lambda: len(_begun(home)) == 2)
    builder.ensure(home, online=True)
    known = builder.known(home)
    assert known is not None
    assert known.online
    assert len(_begun(home)) == 2


def test_a_memory_from_before_labs_could_be_online_is_that_of_one_that_is_not(home: Path) -> None:
    (home / "builder.json").write_text(json.dumps({"key": "k", "charts": "", "stages": {}}))
    assert builder.known(home) == builder.Known("k", "", {}, online=False)


def test_who_waits_starts_a_killed_one_again(home: Path, program: Callable[[str], None]) -> None:
    program(LIVES)
    builder.ensure(home)
    _until(lambda: _begun(home))
    os.kill(_begun(home)[0], signal.SIGKILL)
    _until(lambda: not builder.alive(home))
    assert "goes on" in dict(builder.told(home))["components"]
    program(SERVES)
    builder.wait(home, "training", tell=print, seconds=20)
    assert builder.told(home) == (("components", "served"), ("training", "served"))


def test_when_all_is_served_nobody_is_started(home: Path, program: Callable[[str], None]) -> None:
    program(SERVES)
    builder.ensure(home)
    builder.wait(home, "training", tell=print, seconds=20)
    _until(lambda: not builder.alive(home))
    program(LIVES)
    builder.ensure(home)
    assert not builder.alive(home)


def test_what_cannot_be_built_is_said_and_the_next_up_tries_again(home: Path, program: Callable[[str], None]) -> None:
    program(FAILS)
    builder.ensure(home)
    with pytest.raises(LabError, match=r"serve components: no space left.* pic4ser lab up"):
        builder.wait(home, "components", tell=print, seconds=20)
    _until(lambda: not builder.alive(home))
    program(SERVES)
    builder.ensure(home)
    builder.wait(home, "components", tell=print, seconds=20)


def test_a_wait_says_what_it_waits_for_and_ends(home: Path, program: Callable[[str], None]) -> None:
    program(LIVES)
    builder.ensure(home)
    lines: list[str] = []
    with pytest.raises(DeadlinePassed, match="the lab to serve components"):
        builder.wait(home, "components", tell=lines.append, seconds=0.5)
    assert lines == ["lab: components: waiting"]


def test_the_first_notebooks_wait_for_nothing(home: Path) -> None:
    builder.wait(home, "cluster", tell=print, seconds=1)


def test_without_a_lab_the_wait_says_what_to_do(home: Path) -> None:
    with pytest.raises(LabError, match="pic4ser lab up"):
        builder.wait(home, "components", tell=print, seconds=1)


def test_a_torn_memory_is_none(home: Path) -> None:
    (home / "builder.json").write_text(json.dumps({"key": "k"}))
    assert builder.known(home) is None
    assert builder.told(home) == ()
