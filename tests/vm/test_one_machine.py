"""What only a kernel of its own can show, on one machine: notebook 01, and a reboot. test_power_cuts.py has more.

The tests build on each other, in their order: a boot takes a minute where it is emulated, notebook 01 three to four.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import machine_outside as machine
import pytest
from machine_outside import VERA
from spare_outside import BESIDE, LAB

from pic4ser_lib.lab import qemu, stale
from pic4ser_lib.operations.preflight_group import OPERATOR_AGREES_WITHIN
from pic4ser_lib.site import load


@dataclass(frozen=True)
class Run:
    """How `pic4ser` ended, and what its records say of each step."""

    code: int
    outcomes: dict[str, str]
    said: str


def asked_of(verb: str, site: Path) -> Run:
    """`run` or `verify` of notebook 01."""
    done = machine.pic4ser(verb, str(site), "--only", "01", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    records = [each for each in told if each.get("event") == "record"]
    # Its last cell asks for everything again: what was done is in a step's first record.
    outcomes = {each["step"]: each["outcome"] for each in reversed(records)}
    return Run(done.returncode, outcomes, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def ran(site: Path) -> Run:
    """Notebook 01 on the plain machine."""
    return asked_of("run", site)


@pytest.fixture(scope="module")
def after_a_reboot(site: Path, ran: Run) -> Run:
    """The machine has been rebooted, and is asked for all that was reported."""
    VERA.reboot()
    return asked_of("verify", site)


def test_it_is_a_plain_machine_with_a_kernel_of_its_own(site: Path) -> None:
    assert VERA.on(". /etc/os-release; echo $VERSION_CODENAME") == machine.RELEASE
    assert VERA.on("uname -r") != os.uname().release
    assert VERA.on("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert VERA.on("swapon --show=NAME --noheadings") == "/swap.img"
    assert VERA.on("dpkg -l | grep -cE 'kube|containerd|nfs' || true") == "0"
    assert VERA.on("systemctl is-system-running") == "running"
    assert len(machine.watchers()) == len(machine.emulated())


def test_its_folder_has_no_setting_for_containers(site: Path) -> None:
    text = (site / "cluster.yaml").read_text("utf-8")
    assert not [key for key in ("failCgroupV1", "ignore_preflight_errors", "restrict_oom_score_adj") if key in text]
    assert f"node: {VERA.name}" in text


def test_it_goes_on_as_it_was_after_it_was_freed(site: Path) -> None:
    start = int(VERA.on("grep -m1 -w schedule /proc/kallsyms").split()[0], 16)
    folder = machine.HOME / "nodes" / VERA.name
    code = f"x/16xb 0x{start:x}"
    before = qemu.monitor(folder / "qmp", code)
    stale.free(folder, {*(f"{start + byte:x}" for byte in range(16)), "fff0000000000000"})
    assert qemu.monitor(folder / "qmp", code) == before
    assert VERA.on("uname -s") == "Linux"


@pytest.mark.skipif(not BESIDE, reason="no site of containers shares this lab")
def test_a_site_of_containers_beside_it_is_given_no_patience(site: Path) -> None:
    assert "valid_on" in (LAB / "local.yaml").read_text("utf-8")
    assert "patience" not in (LAB / "local.yaml").read_text("utf-8")
    assert "dilation" not in (LAB / "local.yaml").read_text("utf-8")


def test_its_time_is_what_the_lab_says_and_slower_where_it_is_emulated(site: Path) -> None:
    told = load(site)
    assert (told.dilation is not None) == bool(machine.emulated())
    assert float(VERA.on("date +%s.%N")) == pytest.approx(told.now(time.time()), abs=OPERATOR_AGREES_WITHIN)


def test_it_reaches_the_mirror_and_nothing_else(site: Path) -> None:
    reached = "timeout 10 bash -c 'exec 3<>/dev/tcp/{}' 2>/dev/null && echo yes || echo no"
    assert VERA.on(reached.format("10.83.17.2/80")) == "yes"
    assert VERA.on(reached.format("192.0.2.1/80")) == "no"
    assert VERA.on("ip route show default").startswith("default via 10.83.17.2 ")


def test_notebook_01_is_done(ran: Run) -> None:
    assert ran.code == 0, ran.said[-3000:]
    assert ran.outcomes["swap.off"] == "changed"
    assert ran.outcomes["kernel.modules_loaded"] == "changed"


def test_what_was_reported_is_there_after_a_reboot(ran: Run, after_a_reboot: Run) -> None:
    assert after_a_reboot.code == 0, after_a_reboot.said[-3000:]
    assert after_a_reboot.outcomes == dict.fromkeys(ran.outcomes, "ok")


def test_swap_stays_off_and_modules_come_back(after_a_reboot: Run) -> None:
    assert VERA.on("swapon --show --noheadings") == ""
    assert VERA.on("grep -cE '^(overlay|br_netfilter) ' /proc/modules") == "2"
    assert VERA.on("cat /proc/sys/net/ipv4/ip_forward") == "1"


@pytest.mark.skipif(BESIDE, reason="the lab is another session's, which looks when it takes that down")
def test_down_leaves_no_process_device_or_disk(site: Path) -> None:
    done = machine.down()
    assert done.returncode == 0, done.stdout
    assert (machine.qemu(), machine.watchers(), machine.taps()) == ([], [], [])
    assert not list((machine.HOME / "nodes").glob("*/"))
    assert str(machine.HOME) not in Path("/proc/self/mounts").read_text()
