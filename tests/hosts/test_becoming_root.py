"""How a session becomes root: with and without a password, and what is said when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from node_outside import PASSWORD, MakeUser, Outside, changed

from pic4ser_lib.errors import ConsentMissing, HostError
from pic4ser_lib.host import Host, once

ASKS = "{user} ALL=(ALL) ALL"
FREE = "{user} ALL=(ALL) NOPASSWD: ALL"


class Asked:
    """A person who answers, and counts how often."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.times = 0
        self.lock = threading.Lock()

    def __call__(self) -> str:
        with self.lock:
            self.times += 1
            return self.answers[min(self.times, len(self.answers)) - 1]


def who(host: Host) -> str:
    with host.session() as session:
        return session.ask(["id -un; pwd; umask"])[0]


def test_a_session_is_root_without_a_password(host: Host) -> None:
    assert who(host).split() == ["root", "/", "0022"]


@pytest.mark.parametrize("pty", ["use_pty", "!use_pty"])
@pytest.mark.parametrize("who_may", [ASKS, FREE], ids=["password", "nopasswd"])
def test_every_way_of_sudo_gives_the_same_session(make_user: MakeUser, who_may: str, pty: str) -> None:
    asked = Asked(PASSWORD)
    host = Host(make_user(sudoers=f"Defaults:{{user}} {pty}\n{who_may}"), password=asked)
    assert who(host).split() == ["root", "/", "0022"]
    assert asked.times == (1 if who_may == ASKS else 0)
    host.close()


def test_the_password_is_asked_once_for_many_sessions_in_many_threads(make_user: MakeUser) -> None:
    asked = Asked(PASSWORD)
    host = Host(make_user(sudoers=ASKS), password=asked)
    with ThreadPoolExecutor(4) as pool:
        assert {out.split()[0] for out in pool.map(lambda _: who(host), range(6))} == {"root"}
    assert asked.times == 1
    host.close()


def test_one_answer_serves_several_nodes(make_user: MakeUser) -> None:
    asked = Asked(PASSWORD)
    password = once(asked)
    hosts = [Host(make_user(sudoers=ASKS), password=password) for _ in range(2)]
    assert [who(host).split()[0] for host in hosts] == ["root", "root"]
    assert asked.times == 1
    for host in hosts:
        host.close()


def test_under_nopasswd_the_password_never_reaches_the_shell(make_user: MakeUser, outside: Outside) -> None:
    node = make_user(sudoers=FREE)
    host = Host(node, password=Asked("touch /run/pic4ser-password-was-run"))
    assert who(host).split()[0] == "root"
    host.close()
    assert outside.run("ls /run").find("pic4ser-password-was-run") == -1


def test_a_wrong_password_is_said_and_asked_for_anew(make_user: MakeUser) -> None:
    asked = Asked("wröng", PASSWORD)
    host = Host(make_user(sudoers=ASKS), password=asked)
    with pytest.raises(HostError, match="sudo did not accept the password of t") as caught:
        who(host)
    assert "wröng" not in str(caught.value) + repr(caught.value)
    assert who(host).split()[0] == "root"
    assert asked.times == 2
    host.close()


def test_without_anybody_to_ask_the_sentence_says_what_is_needed(make_user: MakeUser) -> None:
    host = Host(make_user(sudoers=ASKS))
    with pytest.raises(ConsentMissing, match=r"Nobody could be asked for the sudo password of t\w+ on"):
        who(host)
    host.close()


def test_nobody_who_can_be_asked_is_passed_on(make_user: MakeUser) -> None:
    def nobody() -> str:
        raise ConsentMissing(needed="the sudo password", remedy="Run it on a terminal.")

    host = Host(make_user(sudoers=ASKS), password=nobody)
    with pytest.raises(ConsentMissing, match="Run it on a terminal"):
        who(host)
    host.close()


@pytest.mark.parametrize(
    ("sudoers", "said"),
    [
        ("", "may not run|not in the sudoers|not allowed"),
        ("{user} ALL=(ALL) NOPASSWD: /bin/true", "not allowed"),
        ("Defaults:{user} requiretty\n{user} ALL=(ALL) NOPASSWD: ALL", "must have a tty"),
    ],
    ids=["no sudo", "another command only", "requiretty"],
)
def test_who_may_not_become_root_is_told_what_sudo_said(make_user: MakeUser, sudoers: str, said: str) -> None:
    host = Host(make_user(sudoers=sudoers), password=Asked(PASSWORD))
    with pytest.raises(HostError, match=rf"(?s)cannot become root\. It said: .*({said})"):
        who(host)
    host.close()


def test_a_login_that_talks_does_not_disturb_the_answers(make_user: MakeUser) -> None:
    profile = 'echo "Welcome!"; echo "READY-0" >&2; printf "password: "'
    host = Host(make_user(sudoers=FREE, profile=profile))
    with host.session() as session:
        assert session.ask(["echo 1", "printf 2"]) == ["1\n", "2"]
    host.close()


def test_another_login_shell_does_as_well(make_user: MakeUser) -> None:
    host = Host(make_user(sudoers=FREE, shell="/bin/sh"))
    assert who(host).split()[0] == "root"
    host.close()


def test_root_itself_needs_no_sudo(node_for_root: Host) -> None:
    assert who(node_for_root).split() == ["root", "/", "0022"]


@pytest.fixture
def node_for_root(outside: Outside, tmp_path: Path) -> Iterator[Host]:
    """The node with root as the SSH user, at a second sshd of its own (the first may not let root in)."""
    node, unit = outside.node, "pic4ser-tests-sshd"
    keys = f"~{node.ssh.user}/.ssh/authorized_keys"
    kind, key = Path(str(node.ssh.known_hosts)).read_text().split()[1:3]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{node.address}]:2222 {kind} {key}\n")
    outside.run(
        f"test ! -e /root/.ssh/authorized_keys && install -D -m 600 {keys} /root/.ssh/authorized_keys"
        f" && systemd-run --quiet --collect --unit {unit}"
        " /usr/sbin/sshd -D -p 2222 -o PermitRootLogin=prohibit-password -o AllowUsers=root"
        " && for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/2222) 2>/dev/null && break; sleep 0.05; done"
    )
    host = Host(changed(node, user="root", port=2222, known_hosts=known))
    yield host
    host.close()
    outside.run(f"systemctl stop {unit}; rm -f /root/.ssh/authorized_keys")
