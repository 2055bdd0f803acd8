"""The running lab, seen from outside: plain machines, one mirror, no way out."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import pytest
from lab_outside import ADDRESSES, Capture, on, podman_ids, said

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import network, rehearsal, state
from pic4ser_lib.lab.rehearsal import Status
from pic4ser_lib.site import load

SITE = Path(__file__).parents[3] / "parameters" / "lab"
NODES = sorted(ADDRESSES)


def test_three_nodes_and_the_mirror_run(lab: Status) -> None:
    assert lab.up
    assert {node.name: node.address for node in lab.nodes} == ADDRESSES
    assert sorted(podman_ids()) == ["pic4ser-bonnie", "pic4ser-kitt", "pic4ser-mirror", "pic4ser-rover"]


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_a_machine_that_its_user_can_administer(lab: Status, node: str) -> None:
    assert on(node, "hostname; sudo -n id -u; ps -o comm= -p 1").split() == [node, "0", "systemd"]


@pytest.mark.parametrize("node", NODES)
def test_a_node_cannot_reach_the_hosts_swap(lab: Status, node: str) -> None:
    assert len(on(node, "cat /proc/swaps").splitlines()) == 1
    before = Path("/proc/swaps").read_text()
    on(node, "sudo swapoff -a")
    assert Path("/proc/swaps").read_text() == before


@pytest.mark.parametrize("node", NODES)
def test_modules_that_the_kernel_has_can_be_loaded(lab: Status, node: str) -> None:
    on(node, "sudo modprobe overlay && sudo modprobe br_netfilter")


@pytest.mark.parametrize("node", NODES)
def test_its_own_files_can_be_replaced_by_renaming(lab: Status, node: str) -> None:
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        on(node, f"sudo cp -a {path} {path}.new && sudo mv {path}.new {path}")


def test_no_two_machines_are_alike(lab: Status) -> None:
    assert len({on(node, "cat /etc/machine-id") for node in NODES}) == 3
    assert len({on(node, "cat /etc/ssh/ssh_host_ed25519_key.pub") for node in NODES}) == 3


def test_every_node_shows_a_systemd_of_its_own(lab: Status) -> None:
    on("bonnie", "sudo systemd-run --unit=pic4ser-only-here --remain-after-exit true")
    assert "could not be found" in on("kitt", "systemctl status pic4ser-only-here 2>&1 || true")
    on("bonnie", "sudo systemctl stop pic4ser-only-here")


def test_the_mirror_serves_packages_to_a_node(lab: Status) -> None:
    on("rover", "sudo apt-get -q update && apt-get -q --simulate install conntrack", timeout=120)


def test_the_mirror_serves_every_pinned_image_under_its_upstream_name(lab: Status) -> None:
    from pic4ser_lib.lab import artifacts

    made = artifacts.build("cluster")
    assert made.images
    for image in made.images:
        name, _, tag = image.name.rpartition(":")
        url = f"http://10.83.17.2:5000/v2/{name}/manifests/{tag}"
        kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        request = urllib.request.Request(url, headers={"Accept": kinds})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            assert json.load(answer)["config"]["digest"].startswith("sha256:")


def test_the_site_is_complete_as_long_as_the_lab_is_up(lab: Status) -> None:
    site = load(SITE)
    assert {node.name: node.address for node in site.nodes} == ADDRESSES
    assert site.first.ssh.known_hosts is not None


def test_what_a_node_sends_anywhere_else_stays_in_the_lab(lab: Status, nothing_leaves: Capture) -> None:
    with Capture([network.bridge()]) as inside:
        for address in ("10.96.77.77", "10.244.77.7"):
            on("rover", f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/443' 2>&1 || true")
    # The packets were sent, and tcpdump with this filter sees such packets: that nothing left is no accident.
    for address in ("10.96.77.77.443", "10.244.77.7.443"):
        assert any(f"10.83.17.13.{packet}" for packet in inside.packets() if address in packet)


def test_a_second_up_touches_nothing(lab: Status, tell: rehearsal.Tell) -> None:
    local, before = SITE / "local.yaml", podman_ids()
    written = local.stat().st_mtime_ns
    uptime = {node: on(node, "stat -c %Y /run/systemd/system") for node in NODES}
    rehearsal.up(tell=tell)
    assert podman_ids() == before
    assert local.stat().st_mtime_ns == written
    assert {node: on(node, "stat -c %Y /run/systemd/system") for node in NODES} == uptime


def test_a_lab_with_other_nodes_is_refused_while_this_one_runs(
    lab: Status, tmp_path: Path, tell: rehearsal.Tell
) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "cluster.yaml").write_text("control_planes: [hal]\n")
    (tmp_path / "nodes" / "hal.yaml").write_text("address: 10.83.17.11\n")
    with pytest.raises(LabError, match=r"another lab runs on this machine \(bonnie, kitt, rover\) since"):
        rehearsal.up(tmp_path, tell=tell)
    assert not (tmp_path / "local.yaml").exists()


def test_the_host_does_not_route_for_the_lab(lab: Status) -> None:
    kept = json.loads((state.folder() / "hoststate.json").read_text())
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == kept["sysctls"]["net/ipv4/ip_forward"]


def test_shell_becomes_an_ssh_session(lab: Status) -> None:
    assert said(sys.executable, "-m", "pic4ser_lib.lab.rehearsal", "shell", "kitt", "hostname") == "kitt\n"
