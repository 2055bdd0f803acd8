"""What makes a booted image one machine: its files, packed with their owners and modes."""

from __future__ import annotations

import io
import tarfile

import pytest

from pic4ser_lib.lab.identity import File, as_tar, hosts, plain
from pic4ser_lib.lab.nodes import RELEASES, NodeSpec

BONNIE, KITT = NodeSpec("bonnie", "10.83.17.11"), NodeSpec("kitt", "10.83.17.12")


def _bonnie() -> dict[str, tarfile.TarInfo]:
    made = plain(
        BONNIE,
        (BONNIE, KITT),
        user_key="ssh-ed25519 AAA user",
        apt_key="KEY\n",
        host_key=("PRIVATE\n", "ssh-ed25519 B"),
    )
    assert "PRIVATE" not in repr(made)
    with tarfile.open(fileobj=io.BytesIO(as_tar(made.files()))) as tar:
        return {entry.name: entry for entry in tar}


def test_sshd_would_trust_the_users_key_and_keep_the_host_key_to_itself() -> None:
    files = _bonnie()
    key = files["home/pic4ser/.ssh/authorized_keys"]
    assert (key.mode, key.uid, key.gid) == (0o600, 1000, 1000)
    assert files["etc/ssh/ssh_host_ed25519_key"].mode == 0o600


def test_the_route_unit_is_switched_on_by_a_link() -> None:
    link = _bonnie()["etc/systemd/system/sysinit.target.wants/pic4ser-route.service"]
    assert link.issym()
    assert link.linkname in {f"/{name}" for name in _bonnie()}


def test_machines_of_one_rack_know_each_other_by_their_own_address() -> None:
    assert hosts((BONNIE, KITT)).splitlines()[2:] == ["10.83.17.11\tbonnie", "10.83.17.12\tkitt"]


def test_no_two_machines_are_alike() -> None:
    first, second = (plain(BONNIE, (), user_key="", apt_key="", host_key=("", "")) for _ in range(2))
    assert first.machine_id != second.machine_id
    assert first.product_uuid != second.product_uuid
    assert len(first.machine_id) == 32


def test_nothing_follows_the_end_of_the_archive() -> None:
    packed = as_tar([File("/etc/hostname", "bonnie\n")])
    assert len(packed) == 512 + 512 + 2 * 512  # a header, one block of content, and the two blocks that end it


@pytest.mark.parametrize("release", RELEASES)
def test_a_machine_has_the_packages_of_its_own_release(release: str) -> None:
    vera = NodeSpec("vera", "10.83.17.40", kind="vm", release=release)
    made = plain(vera, (vera,), user_key="", apt_key="", host_key=("", ""))
    (sources,) = (str(file.content) for file in made.files() if file.path.startswith("/etc/apt/sources.list.d/"))
    assert f"\nSuites: {release}\n" in sources
