"""What the lab remembers, and that only one command changes it at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import state
from pic4ser_lib.lab.nodes import NodeSpec

LAB = state.Running(("/site",), "2026-01-01T00:00:00+00:00", (NodeSpec("kitt", "10.83.17.12"),))


def test_the_lab_is_remembered(tmp_path: Path) -> None:
    assert state.running(tmp_path) is None
    state.keep(tmp_path, LAB)
    assert state.running(tmp_path) == LAB


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"sites": []}', '{"sites": [], "since": "", "nodes": [{"x": 1}]}'])
def test_a_torn_word_counts_as_none(tmp_path: Path, torn: str) -> None:
    (tmp_path / "lab.json").write_text(torn)
    assert state.running(tmp_path) is None


def test_the_second_of_two_is_told_who_does_what_since_when(tmp_path: Path) -> None:
    with (
        state.locked("lab up", lock=tmp_path / "lock"),
        pytest.raises(LabError, match=r"lab down: .+ \(process \d+\) does `lab up` since 20.*one lab per machine"),
        state.locked("lab down", lock=tmp_path / "lock"),
    ):
        pass


def test_the_lock_ends_with_its_holder_even_when_that_is_killed(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from pic4ser_lib.lab import state\n"
        "with state.locked('lab up', lock=Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / "lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        holder.wait()
    with state.locked("lab down", lock=tmp_path / "lock"):
        pass


def test_what_a_killed_holder_started_is_waited_for(tmp_path: Path) -> None:
    hold = (
        "import os, subprocess, sys; from pathlib import Path; from pic4ser_lib.lab import state\n"
        "with state.locked('lab up', lock=Path(sys.argv[1])):\n"
        "    subprocess.Popen(['sh', '-c', 'sleep 0.5; touch ' + sys.argv[2]], pass_fds=state.lock_held())\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", hold, str(tmp_path / "lock"), str(tmp_path / "done")], check=False)
    with state.locked("lab down", lock=tmp_path / "lock"):
        assert (tmp_path / "done").exists()
    assert state.lock_held() == ()


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    private, public = state.key(tmp_path / "k", comment="lab")
    assert public.startswith("ssh-ed25519 ")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert state.key(tmp_path / "k", comment="lab") == (private, public)


def test_a_half_made_key_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("torn")
    assert state.key(tmp_path / "k", comment="lab")[0].startswith("-----BEGIN OPENSSH")


def test_known_hosts_hold_address_and_key_without_comment() -> None:
    assert state.known_hosts([("10.83.17.11", "ssh-ed25519 AAA bonnie")]) == "10.83.17.11 ssh-ed25519 AAA\n"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    state.write(tmp_path / "f", "one")
    (tmp_path / ".f.new").write_text("left by a kill")
    state.write(tmp_path / "f", "two", mode=0o644)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert ((tmp_path / "f").read_text(), (tmp_path / "f").stat().st_mode & 0o777) == ("two", 0o644)
