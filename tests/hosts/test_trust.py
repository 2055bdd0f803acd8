"""Who is not let in, whom we do not trust, and what cannot be reached: each a sentence with a next move."""

from __future__ import annotations

import pickle
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_outside import changed

from pic4ser_lib.errors import Unreachable
from pic4ser_lib.host import Host, connection
from pic4ser_lib.site import Node


def refusal(node: Node) -> Unreachable:
    """The error that connecting raises; it survives pickling."""
    host = Host(node)
    with pytest.raises(Unreachable) as caught, host.session():
        pass
    host.close()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.node, copy.address) == (node.name, node.address)
    return caught.value


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither an agent nor the home of whoever runs the tests lets anybody in."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def new_key(path: Path, *, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path


# ----------------------------------------------------------------------------------------- who we are


def test_a_wrong_key_is_refused_with_what_to_do(node: Node, tmp_path: Path) -> None:
    error = refusal(changed(node, key=new_key(tmp_path / "other")))
    assert f"user {node.ssh.user} was refused with the key {tmp_path / 'other'}" in error.seen
    assert f"~{node.ssh.user}/.ssh/authorized_keys" in error.remedy


def test_a_wrong_user_is_refused(node: Node) -> None:
    assert "user nobody-here was refused" in refusal(changed(node, user="nobody-here")).seen


def test_a_key_that_is_not_there_is_named(node: Node, tmp_path: Path) -> None:
    error = refusal(changed(node, key=tmp_path / "missing"))
    assert error.seen == f"the key {tmp_path / 'missing'} is not there"


def test_an_encrypted_key_asks_for_the_agent(node: Node, tmp_path: Path) -> None:
    error = refusal(changed(node, key=new_key(tmp_path / "locked", passphrase="secret words")))
    assert "is encrypted" in error.seen
    assert "ssh-add" in error.remedy


def test_a_file_that_is_no_key_is_named(node: Node, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no key\n")
    assert "text" in refusal(changed(node, key=tmp_path / "text")).seen


# ------------------------------------------------------------------------------------ who the node is


def test_an_unknown_host_key_is_refused_and_not_written_down(node: Node, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    error = refusal(changed(node, known_hosts=empty))
    fingerprint = subprocess.check_output(["ssh-keygen", "-lf", str(node.ssh.known_hosts)], text=True).split()[1]
    assert fingerprint in error.seen
    assert f"ssh-keyscan {node.address} >> {empty}" in error.remedy
    assert empty.read_text() == ""


def test_a_changed_host_key_is_refused_with_both_fingerprints(node: Node, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"{node.address} {' '.join((tmp_path / 'other.pub').read_text().split()[:2])}\n")
    error = refusal(changed(node, known_hosts=known))
    expected = subprocess.check_output(["ssh-keygen", "-lf", str(known)], text=True).split()[1]
    assert expected in error.seen
    assert error.seen.count("SHA256:") == 2
    assert "Somebody may be in between" in error.remedy


def test_a_missing_known_hosts_file_trusts_nobody(node: Node, tmp_path: Path) -> None:
    assert f"is not in {tmp_path / 'none'}" in refusal(changed(node, known_hosts=tmp_path / "none")).seen


def test_without_a_file_of_the_site_the_users_own_is_read(node: Node, tmp_path: Path) -> None:
    ours = tmp_path / ".ssh" / "known_hosts"
    assert f"is not in {ours}" in refusal(changed(node, known_hosts=None)).seen
    ours.parent.mkdir()
    ours.write_text(Path(str(node.ssh.known_hosts)).read_text())
    with Host(changed(node, known_hosts=None)).session() as session:
        assert session.ask(["id -un"]) == ["root\n"]


# -------------------------------------------------------------------------------------- where it is


def test_a_port_where_nothing_listens_is_named(node: Node) -> None:
    error = refusal(changed(node, port=1))
    assert error.seen == "nothing listens on port 1"
    assert "nodes/bonnie.yaml" in error.remedy


def test_a_name_that_cannot_be_resolved_is_named(node: Node) -> None:
    assert "cannot be resolved" in refusal(changed(node, address="no-such-node.invalid")).seen


@pytest.fixture
def server() -> Iterator[Callable[[bytes, bool], int]]:
    """A server on loopback that says some bytes to whoever comes, and stays silent or hangs up."""
    opened: list[socket.socket] = []

    def start(said: bytes, stays: bool) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        opened.append(listening)

        def serve() -> None:
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                peer.sendall(said)
                opened.append(peer) if stays else peer.close()

        threading.Thread(target=serve, daemon=True).start()
        return int(listening.getsockname()[1])

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("said", "stays"),
    [(b"", True), (b"", False), (b"HTTP/1.1 400 Bad Request\r\n\r\n", False), (b"SSH-2.0-x\r\n", False)],
    ids=["silent", "hangs up", "speaks http", "hangs up after its banner"],
)
def test_a_server_that_is_no_sshd_is_a_sentence(
    node: Node,
    server: Callable[[bytes, bool], int],
    said: bytes,
    stays: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(connection, "CONNECTING", 1.0)
    error = refusal(changed(node, address="127.0.0.1", port=server(said, stays)))
    assert error.seen
    assert "Traceback" not in capfd.readouterr().err


# --------------------------------------------------------------------------------------- on the way


def test_a_gateway_is_checked_and_used_like_a_node(node: Node, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    kind, key = Path(str(node.ssh.known_hosts)).read_text().split()[1:3]
    known.write_text(f"{node.address} {kind} {key}\n127.0.0.1 {kind} {key}\n")
    way = f"{node.ssh.user}@{node.address}"
    through = changed(node, address="127.0.0.1", gateway=way, known_hosts=known)
    host = Host(through)
    with host.session() as session:
        assert session.ask(["echo $SUDO_USER"]) == [f"{node.ssh.user}\n"]
    host.close()
    known.write_text(f"127.0.0.1 {kind} {key}\n")
    assert "is not in" in refusal(through).seen


def test_ssh_config_of_the_user_is_read(node: Node, tmp_path: Path) -> None:
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text(f"Host rack-7\n  HostName {node.address}\n")
    host = Host(changed(node, address="rack-7"))
    with host.session() as session:
        assert session.ask(["id -un"]) == ["root\n"]
    host.close()


def test_a_broken_ssh_config_is_a_sentence(node: Node, tmp_path: Path) -> None:
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text("Host\n  ?? nonsense\n")
    assert "ssh_config cannot be read" in refusal(node).seen
