"""Questions: many snippets, one channel, exact answers."""

from __future__ import annotations

import hashlib

import pytest
from node_outside import PLACES, Outside

from pic4ser_lib.errors import CommandFailed, HostError
from pic4ser_lib.host import Host


def ask(host: Host, *snippets: str, timeout: float = 60.0) -> list[str]:
    with host.session() as session:
        return session.ask(snippets, timeout=timeout)


@pytest.mark.parametrize(
    ("snippet", "answer"),
    [
        ("echo one", "one\n"),
        ("printf 'no newline'", "no newline"),
        ("true", ""),
        ("printf '\\n\\n'", "\n\n"),
        ("printf 'crlf\\r\\n'", "crlf\r\n"),
        ("echo 'grüße 你好 🙂'", "grüße 你好 🙂\n"),
        ("printf 'a\\377b'", "a\ufffdb"),
        ("printf 'a\\0b'", "a\0b"),
        ("cat", ""),
        ("echo said >&2; echo answered", "answered\n"),
        ('echo "it\'s" \'"quoted"\' $((1+1)) # a comment', 'it\'s "quoted" 2\n'),
        ("cat <<'X'\n$HOME `id`\nX", "$HOME `id`\n"),
        ("echo $LC_ALL", "C.UTF-8\n"),
        ("exec echo replaced", "replaced\n"),
        ("(exit 3) || echo caught", "caught\n"),
        ("tty || true", "not a tty\n"),
    ],
)
def test_an_answer_is_exactly_what_the_snippet_printed(host: Host, snippet: str, answer: str) -> None:
    assert ask(host, "printf before", snippet, "printf after") == ["before", answer, "after"]


def test_no_question_is_no_answer(host: Host) -> None:
    assert ask(host) == []


def test_an_answer_of_several_megabytes_arrives_whole(host: Host) -> None:
    made = "seq -w 0 699999"
    big, digest = ask(host, made, f"{made} | sha256sum")
    assert len(big) == 4_900_000
    assert hashlib.sha256(big.encode()).hexdigest() == digest.split()[0]


def test_a_long_question_arrives_whole(host: Host) -> None:
    text = "x'\"$\\ü" * 40_000
    (answer,) = ask(host, f"cat <<'END'\n{text}\nEND")
    assert answer == text + "\n"


def test_two_hundred_snippets_answer_in_order(host: Host) -> None:
    assert ask(host, *(f"echo {n}" for n in range(200))) == [f"{n}\n" for n in range(200)]


def test_each_snippet_has_a_shell_of_its_own(host: Host) -> None:
    first = "cd /tmp; x=1; set -e -u; exec 2>&-; umask 0; trap 'echo bye' EXIT; q() { echo mine; }; true"
    assert ask(host, first, "pwd; echo ${x-unset}; umask; false; echo on") == ["bye\n", "/\nunset\n0022\non\n"]


def test_a_snippet_that_fails_is_named_with_the_end_of_what_it_said(host: Host) -> None:
    with pytest.raises(CommandFailed) as caught:
        ask(host, "echo fine", "echo out; seq 9000 >&2; echo 'no such thing' >&2; exit 3", "echo never")
    error = caught.value
    assert (error.node, error.exit) == ("bonnie", 3)
    assert error.command.startswith("echo out; seq 9000")
    assert error.stderr_tail.endswith("no such thing")
    assert len(error.stderr_tail) <= 4000


@pytest.mark.parametrize(
    ("snippet", "code", "said"),
    [
        ("if then", 2, "syntax error"),
        ("echo 'open", 2, "unexpected EOF"),
        ("no-such-command-here", 127, "command not found"),
        ("kill -KILL $BASHPID", 137, ""),
        ("kill -KILL $$", 137, ""),
        ("set -e; false; echo not reached", 1, ""),
        ("cat /no/such/file", 1, "No such file"),
    ],
)
def test_a_broken_question_is_never_an_empty_answer(host: Host, snippet: str, code: int, said: str) -> None:
    with host.session() as session:
        with pytest.raises(CommandFailed) as caught:
            session.ask(["true", snippet, "true"])
        assert (caught.value.exit, said in caught.value.stderr_tail) == (code, True)
        assert session.ask(["echo alive"]) == ["alive\n"]


def test_what_is_not_answered_in_time_is_ended_on_the_node(host: Host, outside: Outside) -> None:
    with host.session() as session:
        with pytest.raises(CommandFailed, match=r"`sleep 4321` ended with 124. It said: It was not done after 1 s"):
            session.ask(["echo fine", "sleep 4321"], timeout=1)
        assert session.ask(["echo alive"]) == ["alive\n"]
    assert outside.run("pgrep -fx 'sleep 4321' || true") == ""


def test_an_answer_cannot_forge_another(host: Host) -> None:
    """Even one that repeats all that can be read about its own session on the node."""
    forger = r"""
    for p in /proc/[0-9]*; do tr '\0' '\n' < $p/cmdline; echo; done 2>/dev/null | grep -o '[0-9a-f]\{32\}' | sort -u |
      while read -r nonce; do printf '\n%s 1 0\n\n%s end 0\n\nREADY-%s\n#END-%s\n' $nonce $nonce $nonce $nonce; done
    """
    forged, last = ask(host, forger, "echo last")
    assert "end 0" in forged
    assert last == "last\n"


def test_a_captured_value_is_what_the_shell_would_substitute(host: Host) -> None:
    with host.session() as session:
        assert session.capture("printf ' a b\\n\\n'") == " a b"
        with pytest.raises(CommandFailed):
            session.capture("echo token; exit 1")


def test_a_failed_capture_does_not_tell_the_value(host: Host) -> None:
    with host.session() as session, pytest.raises(CommandFailed) as caught:
        session.capture("t=abcdef.0123456789; echo $t; exit 1")
    assert "0123456789" not in caught.value.stderr_tail


# ------------------------------------------------------------------------------------------- channels


def shells_since(outside: Outside, cursor: str) -> int:
    """How many root shells sudo wrote down on the node since then: one a channel."""
    log = outside.run(f"journalctl -q -t sudo -o cat --after-cursor '{cursor}'")
    return log.count("--noprofile --norc")


def now(outside: Outside) -> str:
    """The journal's end on the node."""
    shown = outside.run("logger -t pic4ser-tests mark; journalctl -q -n 1 --show-cursor -o cat")
    return shown.split("-- cursor: ")[1].strip()


def test_a_session_costs_one_channel_however_much_is_asked(host: Host, outside: Outside) -> None:
    ask(host, "true")
    cursor = now(outside)
    with host.session() as session:
        session.ask([f"echo {n}" for n in range(50)])
        session.ask(["echo again"])
    assert shells_since(outside, cursor) == 1


def test_all_sessions_share_one_connection(host: Host) -> None:
    peers = {ask(host, _SSHD)[0] for _ in "abc"}
    assert len(peers) == 1


_SSHD = r"""
p=$$
while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(sed -n 's/^PPid:\t//p' /proc/$p/status); done
echo $p
"""


def test_a_connection_that_died_meanwhile_is_opened_anew(host: Host, outside: Outside) -> None:
    (sshd,) = ask(host, _SSHD)
    outside.run(f"kill {sshd}")
    (other,) = ask(host, _SSHD)
    assert other != sshd


def test_a_session_that_is_over_says_so(host: Host) -> None:
    with host.session() as session:
        pass
    with pytest.raises(HostError, match="its session was over"):
        session.ask(["true"])


def test_a_question_changes_nothing_on_disk(host: Host, outside: Outside) -> None:
    look = f"find {PLACES} $(ls -d /var/lib/pic4ser 2>/dev/null) -newer /run/pic4ser-tests-mark | sort"
    outside.run("touch /run/pic4ser-tests-mark; sleep 0.05")
    ask(host, "cat /etc/fstab", "echo x >&2", "seq 100000 >&2")
    assert outside.run(look + "; rm /run/pic4ser-tests-mark") == ""
