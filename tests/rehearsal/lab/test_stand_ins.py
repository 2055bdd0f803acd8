"""The lab's stand-ins from outside: what a node shows of GPUs and NFS."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import sitefolder
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.lab.podman import podman
from pic4ser_lib.lab.rehearsal import Status

NODES = sitefolder.nodes_of(sitefolder.found(sitefolder.DEFAULT))
SERVER, OTHER = NODES[1], NODES[2]
FOLDER = "/export/of-tests"
EXPORT = f"{SERVER.address}:{FOLDER}"


def _on(node: NodeSpec, command: str) -> str:
    return podman("exec", node.container, "sh", "-c", command)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_a_node_shows_as_many_gpus_as_the_site_says(lab: Status, node: NodeSpec) -> None:
    opened = _on(node, 'for gpu in /dev/nvidia[0-9]*; do (exec 3<>"$gpu") && echo "$gpu"; done')
    listed = _on(node, "nvidia-smi --query-gpu=index --format=csv,noheader")
    assert len(opened.split()) == len(listed.split()) == node.gpus


@pytest.fixture
def served(lab: Status) -> Iterator[None]:
    """A server on a plain node, as one that the site had before."""
    unit = "pic4ser-tests-nfs"
    _on(SERVER, f"echo '{FOLDER} 10.83.17.0/24(rw)' > /etc/exports")
    _on(SERVER, f"systemd-run --quiet --unit={unit} /usr/local/lib/pic4ser/nfs serve")
    _on(
        SERVER, "for i in $(seq 50); do bash -c '</dev/tcp/127.0.0.1/2049' 2>/dev/null && exit; sleep 0.1; done; exit 1"
    )
    yield
    _on(SERVER, f"systemctl stop {unit}; umount {FOLDER}; rmdir {FOLDER}; rm /etc/exports")


@pytest.fixture
def client(served: None) -> Iterator[NodeSpec]:
    """Another node, with what the package nfs-common leaves."""
    _on(OTHER, "touch /usr/sbin/mount.nfs.distrib")
    yield OTHER
    _on(OTHER, "rm /usr/sbin/mount.nfs.distrib")


def test_without_the_package_nothing_is_mounted(served: None) -> None:
    with pytest.raises(LabError, match="nfs-common is not installed"):
        _on(OTHER, f"mount -t nfs {EXPORT} /mnt")


def test_what_a_node_writes_to_the_export_the_server_has(client: NodeSpec) -> None:
    _on(client, f"mount -t nfs {EXPORT} /mnt && echo here > /mnt/note && umount /mnt && [ ! -e /mnt/note ]")
    assert _on(SERVER, f"cat {FOLDER}/note && rm {FOLDER}/note").strip() == "here"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"{SERVER.address}:/etc", "access denied by server"),
        (f"{EXPORT}/none", "No such file or directory"),
        (f"{OTHER.address}:/export", "Connection refused"),
    ],
)
def test_what_is_not_exported_or_served_is_refused(client: NodeSpec, source: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        _on(client, f"mount -t nfs {source} /mnt")


def test_nonsense_does_not_stop_the_server(served: None) -> None:
    noise = random.Random(1)
    for length in (0, 3, 40, 4000):
        with socket.create_connection((SERVER.address, 2049), timeout=5) as connection:
            connection.sendall((length | 1 << 31).to_bytes(4, "big") + noise.randbytes(length))
    null = b"".join(word.to_bytes(4, "big") for word in (1 << 31 | 40, 7, 0, 2, 100003, 3, 0, 0, 0, 0, 0))
    with socket.create_connection((SERVER.address, 2049), timeout=5) as connection:
        connection.sendall(null)
        assert connection.recv(64)[4:8] == (7).to_bytes(4, "big")
