"""One run at a time on a site: who comes second is told who runs since when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_outside import PLACES, Outside

from pic4ser_lib.errors import SiteBusy
from pic4ser_lib.host import Host, SiteLock, lock
from pic4ser_lib.site import Node

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pic4ser_lib.host import Host, SiteLock
from pic4ser_lib.site import Node
with SiteLock(Host(Node.model_validate_json(sys.argv[1])), run_id=sys.argv[2], who="anna's laptop <ä>", site="lab"):
    print("held", flush=True)
    sys.stdin.read()
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def holder(node: Node) -> Iterator[Start]:
    """`holder(run_id)`: another process that holds the site's lock until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(run_id: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", HOLDER, node.model_dump_json(), run_id]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def taken(host: Host, *, within: float = 20.0) -> bool:
    """Whether the lock becomes free within some seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with SiteLock(host, run_id="mine", who="me"):
                return True
        except SiteBusy:
            time.sleep(0.1)
    return False


def test_the_second_is_told_who_runs_since_when(host: Host, holder: Start) -> None:
    holder("theirs")
    with pytest.raises(SiteBusy) as caught, SiteLock(host, run_id="mine", who="me", site="lab"):
        pass
    assert caught.value.who == "anna's laptop <ä>"
    assert str(caught.value).startswith(
        f"lab: anna's laptop <ä> has been changing this site since {time.strftime('%Y')}"
    )


def test_the_lock_falls_with_its_holder_however_that_ends(host: Host, holder: Start) -> None:
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = holder("theirs")
        with pytest.raises(SiteBusy), SiteLock(host, run_id="mine", who="me"):
            pass
        process.send_signal(end)
        process.wait(timeout=20)
        assert taken(host)


def test_it_is_released_at_the_end(host: Host, holder: Start) -> None:
    with SiteLock(host, run_id="mine", who="me") as held:
        assert held.holds
    assert not held.holds
    process = holder("theirs")
    process.communicate(timeout=20)
    assert taken(host)


def test_the_kernels_of_a_run_pass_and_their_end_releases_nothing(host: Host, holder: Start) -> None:
    holder("the run")
    with SiteLock(host, run_id="the run", who="a kernel") as kernel:
        assert not kernel.holds
    with pytest.raises(SiteBusy), SiteLock(host, run_id="another run", who="me"):
        pass


def test_a_session_works_beside_the_lock_on_the_same_connection(host: Host) -> None:
    with SiteLock(host, run_id="mine", who="me"), host.session() as session:
        assert session.ask(["id -un"]) == ["root\n"]


def test_what_an_earlier_holder_wrote_is_not_told_as_the_present_one(host: Host, holder: Start) -> None:
    holder("theirs").communicate(timeout=20)
    assert taken(host)
    third = SiteLock(host, run_id="third", who="me")
    with SiteLock(host, run_id="mine", who="ben"), pytest.raises(SiteBusy) as caught, third:
        pass
    assert caught.value.who == "ben"


def test_it_writes_nothing_outside_run(host: Host, outside: Outside) -> None:
    outside.run("touch /run/pic4ser-tests-mark; sleep 0.05")
    with SiteLock(host, run_id="mine", who="me"):
        look = f"find {PLACES} $(ls -d /var/lib/pic4ser 2>/dev/null)"
        found = outside.run(f"{look} -newer /run/pic4ser-tests-mark | sort")
    assert found == ""
    outside.run("rm /run/pic4ser-tests-mark")


def test_a_holder_that_has_fallen_silent_loses_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LAPSE", 1)
    monkeypatch.setattr(lock, "BEAT", 3600.0)
    with SiteLock(host, run_id="silent", who="a laptop that sleeps"):
        assert taken(host)


def test_a_holder_that_speaks_keeps_it_and_is_told_when_it_is_lost(
    host: Host, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LAPSE", 2)
    monkeypatch.setattr(lock, "BEAT", 0.3)
    with SiteLock(host, run_id="theirs", who="me") as held:
        assert not taken(host, within=3)
        outside.run("kill -KILL $(cut -d' ' -f1 /run/pic4ser/site.lock)")
        deadline = time.monotonic() + 20
        while held.holds and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "site's lock" in held.lost
