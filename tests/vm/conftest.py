"""The virtual machines of these tests: a lab of their own, unless they join the one that another session has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import machine_outside as machine
import pytest
from spare_outside import BESIDE, lab_is_there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder boot the lab."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def may_boot() -> None:
    """Root, QEMU, and no other lab: else the tests fail and say what to do."""
    if os.geteuid() != 0:
        pytest.fail("The lab needs root: run this with sudo.", pytrace=False)
    if missing := machine.tools_are_missing():
        pytest.fail(f"{missing} missing: apt-get install qemu-system-x86 qemu-utils", pytrace=False)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that the lab is asked to play."""
    return machine.site_of_one(tmp_path_factory.mktemp("asked") / "one")


@pytest.fixture(scope="module")
def site(may_boot: None, asked: Path) -> Iterator[Path]:
    """A plain machine, and the folder with which the runbook knows it; at the end it is off, or the lab is down."""
    lab_is_there()
    assert BESIDE or machine.down().returncode == 0
    yield machine.up(asked)
    if BESIDE:
        machine.VERA.cut_the_power()
    else:
        machine.down()
