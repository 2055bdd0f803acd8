"""The host's settings: what is kept, in which order they go back, and what is only reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.lab import hoststate
from pic4ser_lib.lab.hoststate import HostState, changed, disturbed, restore, save_once, sysctls


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder like /proc/sys."""
    for key, value in {"kernel/panic": "1", "vm/overcommit_memory": "0", "net/ipv4/ip_forward": "0"}.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text(f"{value}\n")
    return tmp_path


def test_settings_are_read_and_counters_are_not(kernel: Path) -> None:
    (kernel / "kernel/ns_last_pid").write_text("123\n")
    (kernel / "kernel/version").write_text("6.1\n")
    (kernel / "kernel/version").chmod(0o444)
    assert sysctls(kernel) == {"kernel/panic": "1", "vm/overcommit_memory": "0", "net/ipv4/ip_forward": "0"}


def test_what_a_lab_changed_is_put_back_and_said(kernel: Path) -> None:
    before = HostState(boot="b", sysctls=sysctls(kernel))
    (kernel / "kernel/panic").write_text("10\n")
    assert restore(before, root=kernel) == ["kernel.panic: put back from '10' to '1'"]
    assert (kernel / "kernel/panic").read_text() == "1\n"


def test_a_host_that_is_as_it_was_is_not_written_to(kernel: Path) -> None:
    before = HostState(boot="b", sysctls=sysctls(kernel))
    written = {path: path.stat().st_mtime_ns for path in kernel.rglob("*")}
    assert restore(before, root=kernel) == []
    assert written == {path: path.stat().st_mtime_ns for path in kernel.rglob("*")}


def test_only_the_named_part_is_put_back(kernel: Path) -> None:
    before = HostState(boot="b", sysctls=sysctls(kernel))
    (kernel / "kernel/panic").write_text("10\n")
    (kernel / "net/ipv4/ip_forward").write_text("1\n")
    assert restore(before, under="net/ipv4", root=kernel) == ["net.ipv4.ip_forward: put back from '1' to '0'"]
    assert (kernel / "kernel/panic").read_text() == "10\n"


def test_ip_forward_goes_back_before_what_it_resets() -> None:
    keys = ("net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/all/accept_redirects", "net/ipv4/ip_forward")
    order = [key for key, _, _ in changed(dict.fromkeys(keys, "0"), dict.fromkeys(keys, "1"))]
    assert order == ["net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects", "net/ipv4/conf/eth0/forwarding"]


def test_settings_of_interfaces_that_came_or_went_are_nobodys_change() -> None:
    assert changed({"net/ipv4/conf/eth1/forwarding": "0"}, {"net/ipv4/conf/veth0/forwarding": "1"}) == []


def test_a_second_up_keeps_the_first_ones_word(tmp_path: Path) -> None:
    kept = save_once(tmp_path / "hoststate.json")
    first = (tmp_path / "hoststate.json").read_text()
    assert save_once(tmp_path / "hoststate.json") == kept
    assert (tmp_path / "hoststate.json").read_text() == first


def test_a_state_from_before_a_reboot_or_a_torn_one_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "hoststate.json"
    path.write_text('{"boot": "another", "sysctls": {"kernel/panic": "7"}}')
    assert hoststate.load(path) is None
    path.write_text('{"boot": "ano')
    assert hoststate.load(path) is None


def test_firewall_routes_and_swap_are_reported() -> None:
    before = HostState("b", {}, firewall=("-A INPUT -j ACCEPT",), routes=("default via 192.0.2.1",), swaps=("/swap",))
    after = HostState("b", {}, firewall=("-A FORWARD -j DROP",), routes=("default via 192.0.2.1",), swaps=())
    assert disturbed(before, after) == [
        "firewall rule is new: -A FORWARD -j DROP",
        "firewall rule is gone: -A INPUT -j ACCEPT",
        "swap is gone: /swap",
    ]
