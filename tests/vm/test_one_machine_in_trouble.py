"""A machine whose disk fills and whose clock is wrong: what is said, and that the same command goes on afterwards.

The tests build on each other, in their order, on one plain machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import machine_outside as machine
import pytest
from machine_outside import VERA

FILL = "fallocate -l $(( $(stat -f -c '%f * %S' /) - 40 * 1024 * 1024 )) /var/filled"
"""All but 40 MB, root's own reserve included."""


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Everything that was printed, on one line: a sentence may be broken anywhere."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def full_disk(site: Path) -> Iterator[None]:
    """Almost nothing is left on the machine's disk."""
    VERA.on(FILL)
    yield
    VERA.on("rm -f /var/filled")


@pytest.fixture
def wrong_clock(site: Path) -> Iterator[None]:
    """The machine believes that it is a year ago, and nobody tells it better."""
    VERA.on("systemctl stop systemd-timesyncd 2>/dev/null; date -s '1 year ago'")
    yield
    VERA.on("date -s @$(cat /sys/class/rtc/rtc0/since_epoch)")


def test_00_says_that_a_clock_is_wrong(wrong_clock: None, site: Path) -> None:
    done = machine.pic4ser("run", str(site), "--only", "00")
    assert done.returncode != 0
    assert "not with this machine: vera -" in said(done), done.stdout
    assert "timedatectl set-ntp true" in said(done)


def test_01_says_that_signatures_are_not_valid_yet(wrong_clock: None, site: Path) -> None:
    done = machine.pic4ser("run", str(site), "--only", "01")
    assert done.returncode != 0
    assert "vera" in said(done)
    assert "not valid yet" in said(done), done.stdout[-3000:]
    assert "Is its clock right?" in said(done), done.stdout[-3000:]


def test_00_says_that_a_disk_is_full(full_disk: None, site: Path) -> None:
    done = machine.pic4ser("run", str(site), "--only", "00")
    assert done.returncode != 0
    assert "Make room: 4096 MB are needed in /var/lib." in said(done), done.stdout[-3000:]


def test_01_says_that_a_disk_is_full(full_disk: None, site: Path) -> None:
    done = machine.pic4ser("run", str(site), "--only", "01")
    assert done.returncode != 0
    assert "vera: packages." in said(done), done.stdout[-3000:]
    assert "Make room on its disk" in said(done), done.stdout[-3000:]


def test_the_same_command_goes_on_when_there_is_room_again(site: Path) -> None:
    done = machine.pic4ser("run", str(site), "--only", "01")
    assert done.returncode == 0, done.stdout[-3000:]
    assert machine.pic4ser("verify", str(site), "--only", "01").returncode == 0
    assert VERA.on("dpkg --audit") == ""
    assert VERA.on("find /etc -name '*.pic4ser*' -o -name '*.dpkg-new'") == ""
