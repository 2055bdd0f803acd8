"""Real steps on a real node when something is in their way: a lock, a repository that is away, a port that is held."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

import pytest
from node_outside import MADE, Outside

from pic4ser_lib import engine, packages, preflight
from pic4ser_lib.errors import PicError
from pic4ser_lib.ports import SitePort
from pic4ser_lib.site import AptSource, Node, load
from pic4ser_lib.steps import Mode, Outcome, Step

PACKAGE = "lsb-release"  # small, needs nothing, and a plain machine has it not
# dpkg's own kind of lock (fcntl's, on the struct flock of 64-bit Linux), held until the file that says so is gone.
HOLD = """
$0 = "stranger"; use Fcntl qw(F_SETLK F_WRLCK SEEK_SET);
open(my $lock, "+>>", "/var/lib/dpkg/lock-frontend") or die;
my $whole = pack("s s x4 q q i x4", F_WRLCK, SEEK_SET, 0, 0, 0);
fcntl($lock, F_SETLK, $whole) or die "somebody else has it";
open(my $mark, ">", "MARK") or die; close($mark); $| = 1; print "held\\n"; sleep 6; unlink("MARK");
"""
LISTEN = """
use IO::Socket::INET; $0 = "stranger"; $| = 1;
my $socket = IO::Socket::INET->new(LocalPort => 6443, Listen => 1, ReuseAddr => 1) or die; print "held\\n"; sleep 60;
"""


def applied(port: SitePort, *steps: Step) -> engine.Ran:
    """What a cell does with these steps on the node."""
    return engine.run(port, steps, Mode.APPLY, tell=lambda line: None)


@pytest.fixture
def without_package(outside: Outside) -> Iterator[None]:
    """A package that can be installed, and is not afterwards."""
    remove = f"dpkg -P {PACKAGE} >/dev/null 2>&1 || true"
    outside.run(f"{remove}; apt-get -qq update")
    yield
    outside.run(remove)


@contextlib.contextmanager
def at_work(outside: Outside, script: str) -> Iterator[None]:
    """While a Perl script on the node holds what it wants; it calls itself a stranger, by which it is ended."""
    coded = base64.b64encode(script.encode()).decode()
    with outside.start(f"echo {coded} | base64 -d >{MADE}/at-work.pl; exec perl {MADE}/at-work.pl") as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "held\n"
        yield
        outside.run("pkill -x stranger || true")


def test_apt_waits_for_who_holds_its_lock(port: SitePort, outside: Outside, folder: str, without_package: None) -> None:
    mark = f"{folder}/held"
    with at_work(outside, HOLD.replace("MARK", mark)):
        ran = applied(port, packages.installed(PACKAGE))
        assert outside.run(f"test -e {mark} && echo there || true") == "", "it did not wait"
    assert ran.error is None
    assert ran.records[0].outcome is Outcome.CHANGED


def test_a_repository_that_is_away_is_named_and_nothing_is_left_behind(
    port: SitePort, node: Node, outside: Outside
) -> None:
    away = AptSource(
        url="http://127.0.0.1:9/debian", suite="stable", components=("main",), key_url="http://127.0.0.1:9/key",
        fingerprint="A" * 40, keyring="/etc/apt/keyrings/away.gpg", list_file="/etc/apt/sources.list.d/away.list",
    )  # fmt: skip
    ran = applied(port, packages.dependencies(), packages.keyring(away), packages.source(away))
    told = str(ran.error)
    assert isinstance(ran.error, PicError)
    assert f"{node.name}: packages.keyring(away.gpg)" in told
    assert "127.0.0.1 port 9" in told
    assert outside.run("ls /etc/apt/keyrings/away.gpg /etc/apt/sources.list.d/away.list 2>/dev/null || true") == ""


@pytest.fixture
def on_6443(outside: Outside) -> Iterator[None]:
    """A stranger that listens on the API server's port."""
    with at_work(outside, LISTEN):
        yield


def test_a_process_on_port_6443_is_named_before_anything_is_done(port: SitePort, node: Node, on_6443: None) -> None:
    ran = engine.run(port, [preflight.fit(load("parameters/lab"), node)], Mode.VERIFY, tell=lambda line: None)
    told = str(ran.error)
    assert "port 6443 is held by stranger" in told
    assert "kube-apiserver needs the port" in told
