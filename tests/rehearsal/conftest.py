"""What all rehearsals share: a lab that runs, and an eye on the host's outer interfaces."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_outside import host_seen, pic4ser
from lab_outside import Capture, Watched, outer_interfaces

from pic4ser_lib.lab import rehearsal
from pic4ser_lib.lab.rehearsal import Status


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the lab."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def tell() -> rehearsal.Tell:
    """Where progress goes: visible with pytest -s."""
    return lambda line: print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def may_boot() -> None:
    if os.geteuid() != 0:
        pytest.fail("The lab needs root: run this with sudo.", pytrace=False)


@pytest.fixture
def lab(may_boot: None, tell: rehearsal.Tell) -> Status:
    """The lab, up: as it is if it runs, booted if not."""
    return rehearsal.up(tell=tell)


@pytest.fixture
def nothing_leaves(may_boot: None) -> Iterator[Capture]:
    """Fails the test if a packet from or to the lab's ranges passes an outer interface of the host meanwhile."""
    if shutil.which("tcpdump") is None:
        pytest.fail("tcpdump is missing: apt-get install tcpdump", pytrace=False)
    with Capture(outer_interfaces()) as capture:
        yield capture
    assert capture.alive, "tcpdump ended early: nothing is known about what left"
    assert capture.packets() == []


@pytest.fixture(scope="session")
def watched(may_boot: None) -> Iterator[Watched]:
    """The host before the lab, which is taken down for it, and the eye on its outer interfaces since then."""
    assert pic4ser("lab", "down").returncode == 0
    host = host_seen()
    with Capture(outer_interfaces()) as capture:
        yield Watched(host, capture)


@pytest.fixture(scope="session")
def plain_machines(watched: Watched) -> None:
    """The lab with everything that it serves, and nothing on its nodes."""
    up = pic4ser("lab", "up", "--wait")
    assert up.returncode == 0, up.stderr
