"""The lab after kills, half-finished commands and a restart; and that nothing of it is left after `down`.

These tests take the lab down and boot it again. They leave it up with plain machines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_outside import HOME, on, podman_ids, said

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import hoststate, rehearsal, state
from pic4ser_lib.lab.rehearsal import Status

SITE = Path(__file__).parents[3] / "parameters" / "lab"
LAB = [sys.executable, "-m", "pic4ser_lib.lab.rehearsal"]


@pytest.fixture(autouse=True, scope="module")
def _ends_up(may_boot: None, tell: rehearsal.Tell) -> Iterator[None]:
    yield
    rehearsal.up(tell=tell)


def _guests() -> list[str]:
    """Containers that somebody else attached to the lab's network: as long as they are there, it stays."""
    return said("podman", "ps", "--all", "--filter", "network=pic4ser", "--format", "{{.Names}}").split()


def _left_by_down(tell: rehearsal.Tell) -> list[str]:
    """What `down` could not put back, but for what guests keep alive: the network and what came with it."""
    left = rehearsal.down(tell=tell)
    return [line for line in left if not (_guests() and line.startswith(("network pic4ser stays", "route is")))]


def _pid(container: str) -> tuple[int, int]:
    process, watcher = said("podman", "inspect", "-f", "{{.State.Pid}} {{.State.ConmonPid}}", container).split()
    return int(process), int(watcher)


def _killed_when(line: str, *words: str, by: signal.Signals = signal.SIGKILL) -> int:
    """Runs the lab's command and sends it and its children a signal as soon as it tells this; its exit code."""
    with subprocess.Popen([*LAB, *words], stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stderr is not None
        for heard in running.stderr:
            if line in heard:
                os.killpg(running.pid, by)
                running.stderr.read()
                return running.wait(timeout=60)
        pytest.fail(f"it ended without telling {line!r}")


def test_a_power_cut_loses_no_disk(lab: Status, tell: rehearsal.Tell) -> None:
    on("kitt", "sudo sh -c 'echo kept > /var/lib/etcd/here; echo kept > /root/here; sync'")
    said("podman", "kill", "--signal", "KILL", "pic4ser-kitt")
    assert [member.state for member in rehearsal.status().nodes] == ["running", "off", "running"]
    rehearsal.up(tell=tell)
    assert on("kitt", "sudo cat /var/lib/etcd/here /root/here").split() == ["kept", "kept"]
    assert "default via 10.83.17.2" in on("kitt", "ip route")


def test_containers_whose_watchers_died_too_are_started_again(lab: Status, tell: rehearsal.Tell) -> None:
    before = podman_ids()
    on("rover", "sudo sh -c 'echo kept > /root/here; sync'")
    for container in ("pic4ser-rover", "pic4ser-mirror"):
        for pid in _pid(container):
            os.kill(pid, signal.SIGKILL)
    assert rehearsal.up(tell=tell).up
    assert on("rover", "sudo cat /root/here") == "kept\n"
    assert podman_ids()["pic4ser-rover"] == before["pic4ser-rover"]


def test_a_container_that_was_never_finished_is_made_anew(lab: Status, tell: rehearsal.Tell) -> None:
    before = podman_ids()
    said("podman", "kill", "--signal", "KILL", "pic4ser-rover")
    (HOME / "nodes" / "rover" / "prepared").unlink()
    assert rehearsal.up(tell=tell).up
    assert podman_ids()["pic4ser-rover"] != before["pic4ser-rover"]
    assert on("rover", "hostname") == "rover\n"


def test_a_mirror_that_went_away_comes_back(lab: Status, tell: rehearsal.Tell) -> None:
    said("podman", "rm", "--force", "--time", "0", "pic4ser-mirror")
    assert rehearsal.status().mirror.state == "missing"
    assert rehearsal.up(tell=tell).up
    on("bonnie", "sudo apt-get -q update")


def test_the_second_of_two_commands_is_told(lab: Status) -> None:
    with state.locked("lab up"):
        second = subprocess.run([*LAB, "down"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "does `lab up` since" in second.stderr
    assert rehearsal.status().up


def test_no_container_keeps_the_lock_of_the_command_that_started_it(may_boot: None, tell: rehearsal.Tell) -> None:
    rehearsal.down(tell=tell)
    rehearsal.up(tell=tell)
    with state.locked("the next command"):
        pass


def test_down_leaves_nothing_and_the_host_as_it_was(may_boot: None, tell: rehearsal.Tell) -> None:
    rehearsal.down(tell=tell)
    before = hoststate.seen()
    rehearsal.up(tell=tell)
    # What a kubelet does to the host's kernel, and what podman did:
    on("kitt", "sudo sysctl -q -w kernel.panic=10 vm.overcommit_memory=1 kernel.panic_on_oops=1")
    assert Path("/proc/sys/kernel/panic").read_text() == "10\n"
    pids = [pid for name in podman_ids() for pid in _pid(name)]
    assert _left_by_down(tell) == []
    after = hoststate.seen()
    assert hoststate.changed(before.sysctls, after.sysctls) == []
    assert (after.firewall, after.swaps) == (before.firewall, before.swaps)
    assert podman_ids() == {}
    if not _guests():
        assert "pic4ser" not in said("podman", "network", "ls", "--format", "{{.Name}}").split()
        assert after.routes == before.routes
    assert str(HOME) not in Path("/proc/self/mounts").read_text()
    assert not [pid for pid in pids if Path(f"/proc/{pid}/root").exists() and _alive(pid)]
    assert not (SITE / "local.yaml").exists()
    assert not [path for path in (HOME / "nodes").iterdir() if path.is_dir()]


def test_down_of_a_lab_that_is_down_is_fine(may_boot: None, tell: rehearsal.Tell) -> None:
    rehearsal.down(tell=tell)
    assert _left_by_down(tell) == []
    assert not rehearsal.status().up
    with pytest.raises(LabError, match="no lab runs"):
        rehearsal.shell("bonnie")


@pytest.mark.parametrize("moment", ["boot: create and start", "up: prove traffic"])
def test_up_after_an_up_that_was_killed(may_boot: None, moment: str, tell: rehearsal.Tell) -> None:
    rehearsal.down(tell=tell)
    before = hoststate.seen()
    _killed_when(moment, "up")
    assert rehearsal.up(tell=tell).up
    assert [on(node, "hostname") for node in ("bonnie", "kitt", "rover")] == ["bonnie\n", "kitt\n", "rover\n"]
    assert _left_by_down(tell) == []
    assert hoststate.changed(before.sysctls, hoststate.sysctls()) == []


@pytest.mark.parametrize("then", ["up", "down"])
def test_a_start_that_was_killed_in_the_middle_leaves_no_process(
    lab: Status, tmp_path: Path, then: str, tell: rehearsal.Tell
) -> None:
    container = podman_ids()["pic4ser-kitt"]
    said("podman", "stop", "--time", "0", container)
    said("podman", "container", "cleanup", container)
    _created_by_runc_alone(container, tmp_path)
    assert "already exists" in subprocess.run(["podman", "start", container], capture_output=True, text=True).stderr
    if then == "up":
        assert rehearsal.up(tell=tell).up
        assert on("kitt", "hostname") == "kitt\n"
    assert _left_by_down(tell) == []
    assert container not in said("runc", "list", "--quiet").split()


def test_up_after_ctrl_c(may_boot: None, tell: rehearsal.Tell) -> None:
    rehearsal.down(tell=tell)
    assert _killed_when("boot: create and start", "up", by=signal.SIGINT) != 0
    assert rehearsal.up(tell=tell).up
    assert on("rover", "hostname") == "rover\n"


def test_down_after_a_down_that_was_killed(lab: Status, tell: rehearsal.Tell) -> None:
    _killed_when("down: remove", "down")
    assert _left_by_down(tell) == []
    assert podman_ids() == {}


def test_another_site_joins_the_lab_and_no_site_is_down_for_the_machines_of_another(
    lab: Status, tmp_path: Path, tell: rehearsal.Tell
) -> None:
    before = podman_ids()
    (tmp_path / "nodes").mkdir()
    (tmp_path / "cluster.yaml").write_text("control_planes: [hal]\n")
    (tmp_path / "nodes" / "hal.yaml").write_text("address: 10.83.17.20\n")
    assert [member.name for member in rehearsal.up(tmp_path, tell=tell).nodes] == ["bonnie", "kitt", "rover", "hal"]
    assert podman_ids().items() > before.items()
    said("podman", "kill", "--signal", "KILL", "pic4ser-hal")
    assert (rehearsal.missing(SITE), rehearsal.missing(tmp_path)) == ((), ("hal",))
    assert _left_by_down(tell) == []
    assert not (tmp_path / "local.yaml").exists()


def _created_by_runc_alone(container: str, bundle: Path) -> None:
    """What a podman leaves that was killed between runc's work and its own note of it."""
    said("runc", "spec", "--bundle", str(bundle))
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"] |= {"args": ["/usr/bin/sleep", "300"], "terminal": False}
    spec["mounts"].append({"destination": "/usr", "source": "/usr", "type": "bind", "options": ["rbind", "ro"]})
    (bundle / "config.json").write_text(json.dumps(spec))
    (bundle / "rootfs" / "usr").mkdir(parents=True)
    for name in ("lib", "lib64"):
        (bundle / "rootfs" / name).symlink_to(f"usr/{name}")
    # With its output on a file of its own: a pipe would stay open as long as the container.
    with (bundle / "log").open("w") as log:
        subprocess.run(["runc", "create", "--bundle", str(bundle), container], stdout=log, stderr=log, check=True)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
