"""Whether a machine can hold the lab: every shortcoming at once, with a figure and a way out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.capacity import Capacity, file_system, require, seen, shortcomings

ENOUGH = Capacity(
    root=True, missing_programs=(), memory_bytes=8_000_000_000, disk_bytes=50_000_000_000, inotify_instances=128
)


def test_a_machine_of_eight_gigabytes_holds_three_nodes() -> None:
    assert shortcomings(ENOUGH, new_nodes=3) == []


def test_more_nodes_than_memory_allows_are_refused_with_the_figure() -> None:
    with pytest.raises(LabError, match=r"12 nodes need 10.9 GB of memory and 8.0 GB is free.* room for 8"):
        require(replace(ENOUGH, inotify_instances=999), new_nodes=12)


def test_nodes_that_run_already_need_no_more_memory() -> None:
    assert shortcomings(replace(ENOUGH, memory_bytes=0, disk_bytes=0), new_nodes=0) == []


def test_many_nodes_need_more_inotify_instances_than_the_kernel_gives() -> None:
    ((what, remedy),) = shortcomings(ENOUGH, new_nodes=6)
    assert "6 nodes need 150 inotify instances and 128 are free" in what
    assert remedy == "sysctl -w fs.inotify.max_user_instances=556."


def test_everything_that_is_missing_is_said_at_once() -> None:
    poor = Capacity(
        root=False, missing_programs=("podman", "ssh-keygen"), memory_bytes=0, disk_bytes=0, inotify_instances=8,
        overlay=True,
    )  # fmt: skip
    assert len(shortcomings(poor, new_nodes=1)) == 6
    with pytest.raises(LabError, match="apt-get install openssh-client podman"):
        require(poor, new_nodes=1)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/lib/x", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpfoo", "overlay"), ("/var/lib", "ext4"), ("/etc", "overlay")],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    mounts = "overlay / overlay rw 0 0\n/dev/vda /var/lib ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"
    assert file_system(Path(path), mounts) == kind


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    machine = seen(tmp_path / "not" / "there" / "yet")
    assert machine.memory_bytes > 0
    assert machine.disk_bytes > 0
    assert machine.inotify_instances <= machine.inotify_most


def test_virtual_machines_are_refused_with_the_figure_and_what_fits() -> None:
    with pytest.raises(LabError, match=r"3 virtual machines need 13.6 GB of memory and 8.0 GB is free.* room for 1"):
        require(ENOUGH, new_nodes=0, new_guests=3)


def test_virtual_machines_beside_containers_get_what_those_leave() -> None:
    ((seen_, remedy),) = shortcomings(ENOUGH, new_nodes=2, new_guests=2)
    assert "2 virtual machines and 2 containers need 10.9 GB" in seen_
    assert "room for 1" in remedy


def test_a_lab_of_virtual_machines_needs_qemu_and_says_in_which_packages_it_is() -> None:
    poor = replace(ENOUGH, missing_programs=("qemu-img", "qemu-system-x86_64"), tun=False)
    with pytest.raises(LabError, match=r"no /dev/net/tun.*apt-get install qemu-system-x86 qemu-utils"):
        require(poor, new_nodes=0)
