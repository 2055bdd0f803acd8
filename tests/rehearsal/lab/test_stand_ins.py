"""The lab's stand-ins from outside: what a node shows of GPUs and NFS, and the tests in the programs' own language."""

from __future__ import annotations

import os
import random
import socket
import subprocess

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import cache, golang, pins, sitefolder
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.lab.podman import podman
from pic4ser_lib.lab.rehearsal import Status

NODES = sitefolder.nodes_of(sitefolder.found(sitefolder.DEFAULT))
SERVER = next(node for node in NODES if node.exports)
EXPORT = f"{SERVER.address}:{SERVER.exports}"


def _on(node: NodeSpec, command: str) -> str:
    return podman("exec", node.container, "sh", "-c", command)


@pytest.mark.parametrize("program", ["stand-ins", "nfs-provisioner"])
def test_the_programs_own_tests_pass(program: str) -> None:
    go = golang.toolchain(pins.load().golang["go"])
    env = {**os.environ, **golang.environment(cache.root()), "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    done = subprocess.run([go, "test", "./..."], cwd=pins.SOURCES / program, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_a_node_shows_as_many_gpus_as_the_site_says(lab: Status, node: NodeSpec) -> None:
    opened = _on(node, 'for gpu in /dev/nvidia[0-9]*; do (exec 3<>"$gpu") && echo "$gpu"; done')
    listed = _on(node, "nvidia-smi --query-gpu=index --format=csv,noheader")
    assert len(opened.split()) == len(listed.split()) == node.gpus


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_what_a_node_writes_to_the_export_the_server_has(lab: Status, node: NodeSpec) -> None:
    if not _on(node, "ls /usr/sbin/mount.nfs.distrib 2>/dev/null || true"):
        with pytest.raises(LabError, match="nfs-common is not installed"):
            _on(node, f"mount -t nfs {EXPORT} /mnt")
        return
    name = f"of-{node.name}"
    _on(node, f"mount -t nfs {EXPORT} /mnt && echo {node.name} > /mnt/{name} && umount /mnt && [ ! -e /mnt/{name} ]")
    assert _on(SERVER, f"cat {SERVER.exports}/{name} && rm {SERVER.exports}/{name}").strip() == node.name


def test_what_is_not_exported_or_served_is_refused(lab: Status) -> None:
    other = next(node for node in NODES if node != SERVER)
    _on(other, "touch /usr/sbin/mount.nfs.distrib")  # as the package leaves it; empty where it is not installed
    try:
        for path, said in (
            ("/etc", "access denied by server"),
            (f"{SERVER.exports}/none", "No such file or directory"),
        ):
            with pytest.raises(LabError, match=said):
                _on(other, f"mount -t nfs {SERVER.address}:{path} /mnt")
        with pytest.raises(LabError, match="Connection refused"):
            _on(other, f"mount -t nfs {other.address}:/export /mnt")
    finally:
        _on(other, "[ -s /usr/sbin/mount.nfs.distrib ] || rm /usr/sbin/mount.nfs.distrib")


def test_nonsense_does_not_stop_the_server(lab: Status) -> None:
    noise = random.Random(1)
    for length in (0, 3, 40, 4000):
        with socket.create_connection((SERVER.address, 2049), timeout=5) as connection:
            connection.sendall((length | 1 << 31).to_bytes(4, "big") + noise.randbytes(length))
    null = b"".join(word.to_bytes(4, "big") for word in (1 << 31 | 40, 7, 0, 2, 100003, 3, 0, 0, 0, 0, 0))
    with socket.create_connection((SERVER.address, 2049), timeout=5) as connection:
        connection.sendall(null)
        assert connection.recv(64)[4:8] == (7).to_bytes(4, "big")
