"""One real node over SSH, and what tests need on it.

The node comes from PIC4SER_TEST_NODE (its address, with _KEY and _KNOWN_HOSTS, and _USER unless it is pic4ser), else it
is a spare machine of the lab. What the tests make on it (users, small disks, files) is taken away again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_outside import MADE, PASSWORD, MakeUser, Outside
from spare_outside import joined

from pic4ser_lib.host import Host
from pic4ser_lib.ports import SitePort, Ways
from pic4ser_lib.site import Node, Ssh, load

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need a node."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The node to test on."""
    address = os.environ.get("PIC4SER_TEST_NODE")
    if address:
        ssh = Ssh(
            user=os.environ.get("PIC4SER_TEST_NODE_USER", "pic4ser"),
            key=Path(os.environ["PIC4SER_TEST_NODE_KEY"]),
            known_hosts=Path(os.environ["PIC4SER_TEST_NODE_KNOWN_HOSTS"]),
        )
        return Node(name="bonnie", address=address, role="control-plane", ssh=ssh)
    return joined(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def outside(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The second way to the node; at the end of the tests all they made there is gone."""
    way = Outside(node, tmp_path_factory.mktemp("ssh") / "control")
    way.run(f"rm -rf {MADE} && mkdir -p {MADE}")
    before = way.run("find /var/lib/pic4ser -type f 2>/dev/null | sort || true")
    yield way
    after = way.run("find /var/lib/pic4ser -type f 2>/dev/null | sort || true")
    ours = sorted(set(after.splitlines()) - set(before.splitlines()))
    assert all(path.startswith("/var/lib/pic4ser/backup/etc/pic4ser-tests/") for path in ours), ours
    way.run(f"rm -rf {MADE} /var/lib/pic4ser/backup{MADE}")
    way.close()


@pytest.fixture
def folder(outside: Outside) -> str:
    """A folder on the node for one test."""
    path = f"{MADE}/{uuid.uuid4().hex[:8]}"
    outside.run(f"mkdir {path}")
    return path


@pytest.fixture
def small_disk(outside: Outside) -> Iterator[str]:
    """A file system of 64 KB on the node."""
    path = f"{MADE}/disk-{uuid.uuid4().hex[:8]}"
    outside.run(f"mkdir {path} && mount -t tmpfs -o size=64k tmpfs {path}")
    yield path
    outside.run(f"umount {path}")


@pytest.fixture
def host(node: Node, outside: Outside) -> Iterator[Host]:
    """The library's way to the node."""
    opened = Host(node)
    yield opened
    opened.close()


@pytest.fixture
def port(node: Node, host: Host, tmp_path: Path) -> Iterator[SitePort]:
    """Where steps ask and act on the node, as those of a cell do."""
    ways = Ways(load(ROOT / "parameters/lab"), {node.name: host}, tmp_path / "kubeconfig")
    with host.session() as session:
        yield ways.port(node.name, session)


@pytest.fixture
def make_user(node: Node, outside: Outside) -> Iterator[MakeUser]:
    """`make_user(sudoers=..., profile=...)`: the node with another user, who logs in with the same key."""
    made: list[str] = []

    def make(*, sudoers: str = "", profile: str = "", shell: str = "/bin/bash") -> Node:
        name = f"t{uuid.uuid4().hex[:8]}"
        made.append(name)
        outside.run(
            f"useradd -m -s {shell} {name} && echo '{name}:{PASSWORD}' | chpasswd"
            f" && install -d -m 700 -o {name} /home/{name}/.ssh"
            f" && install -m 600 -o {name} ~{node.ssh.user}/.ssh/authorized_keys /home/{name}/.ssh/authorized_keys"
            f" && printf '%s\\n' '{profile}' | tee -a /home/{name}/.profile >> /home/{name}/.bashrc"
        )
        if sudoers:
            outside.run(f"printf '%s\\n' '{sudoers.format(user=name)}' > /etc/sudoers.d/{name}")
        return node.model_copy(update={"ssh": node.ssh.model_copy(update={"user": name})})

    yield make
    for name in made:
        outside.run(
            f"rm -f /etc/sudoers.d/{name}; pkill -KILL -u {name}; sleep 0.1; userdel -r {name} 2>/dev/null || true"
        )
