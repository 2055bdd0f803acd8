"""The slower time of emulated machines. tests/vm compares a machine's clock with what the lab says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import dilation
from pic4ser_lib.site.schema import Dilation

SLOW = Dilation(since=1_000_000.0, times=4)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that is there, whatever this machine has."""
    file = tmp_path / "libfaketime.so"
    file.touch()
    monkeypatch.setattr(dilation, "_LIBRARY", file)
    return file


@pytest.mark.parametrize(("here", "there"), [(1_000_000.0, 1_000_000.0), (1_000_400.0, 1_000_100.0)])
def test_both_clocks_agree_at_first_and_then_one_falls_behind(here: float, there: float) -> None:
    assert SLOW.now(here) == there


def test_machines_that_start_later_count_from_the_same_moment(tmp_path: Path, library: Path) -> None:
    assert dilation.known(tmp_path) is None
    first = dilation.begun(tmp_path, 3)
    assert dilation.begun(tmp_path, 2) == first == dilation.known(tmp_path)
    assert first.times == 3


@pytest.mark.parametrize(
    ("processors", "cores", "times"), [(2, 2, 2), (4, 2, 5), (6, 2, 8), (6, 4, 4), (6, 64, 2), (40, 2, 40)]
)
def test_the_more_machines_share_a_core_the_slower_their_time_is(processors: int, cores: int, times: int) -> None:
    assert dilation.fitting(processors, cores, release="bookworm", boot_seconds=5.0) == times


@pytest.mark.parametrize(
    ("release", "boot_seconds", "times"),
    [
        ("bookworm", 2.0, 5),
        ("trixie", 4.0, 5),  # its kernel takes twice as long on the same machine
        ("bookworm", 0.2, 2),
        ("bookworm", 4.5, 8),  # no machine is as quick all the time
        ("bookworm", 7.5, 12),
        ("bookworm", 500.0, 40),
        ("of which nobody knows", 5.0, 8),
    ],
)
def test_the_quicker_emulation_is_the_less_slowly_their_time_passes(
    release: str, boot_seconds: float, times: int
) -> None:
    assert dilation.fitting(6, 2, release=release, boot_seconds=boot_seconds) == times


@pytest.mark.parametrize(("times", "patience"), [(2, 10), (4, 10), (5, 13), (8, 20), (40, 100)])
def test_what_waits_by_a_clock_there_is_waited_for_by_this_machines(times: int, patience: int) -> None:
    slower = Dilation(since=0.0, times=times)
    assert dilation.patience(slower) == patience
    assert dilation.patience(None) == 10


def test_half_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "dilation.json").write_text(json.dumps({"since": 5.0}))
    assert dilation.known(tmp_path) is None


def test_a_host_without_the_library_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dilation, "_LIBRARY", tmp_path / "missing.so")
    with pytest.raises(LabError, match="apt-get install libfaketime"):
        dilation.begun(tmp_path, 3)
    assert dilation.known(tmp_path) is None


@pytest.mark.parametrize(("now", "waits"), [(1_000_001.0, 3.0), (1_000_004.0, 4.0)])
def test_a_machine_is_started_when_a_second_begins_there(now: float, waits: float) -> None:
    waited: list[float] = []
    second = dilation.whole_second(SLOW, clock=lambda: now, sleep=waited.append)
    assert waited == [waits]
    assert second == ("1970-01-12T13:46:41" if now < 1_000_004 else "1970-01-12T13:46:42")


@pytest.mark.skipif(not dilation._LIBRARY.exists(), reason="apt-get install libfaketime")
def test_a_programs_time_goes_on_more_slowly_and_nothing_is_left_of_it() -> None:
    # Nobody slows what the kernel itself says.
    read = "float(open('/proc/uptime').read().split()[0]), time.monotonic()"
    program = f"import time; a = {read}; time.sleep(0.2); b = {read}; print((b[0] - a[0]) / (b[1] - a[1]))"
    before = {*Path("/dev/shm").glob("*faketime*")}
    done = dilation.run(SLOW, [sys.executable, "-c", program], timeout=60)
    assert float(done.stdout) == pytest.approx(4, rel=0.05)
    assert {*Path("/dev/shm").glob("*faketime*")} <= before
