"""Passwords: asked for once by whoever can ask, handed over a socket that nobody else can open."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pic4ser_lib.consent import SOCKET, answers, passwords
from pic4ser_lib.errors import ConsentMissing


@dataclass(frozen=True)
class Ssh:
    user: str = "carlo"
    password_sudo: bool = True


@dataclass(frozen=True)
class Node:
    name: str
    ssh: Ssh = Ssh()


NODES = (Node("bonnie"), Node("kitt"), Node("rover", Ssh(password_sudo=False)))


def asked_by_another_process(node: str, **environment: str) -> str:
    code = f"from pic4ser_lib.consent import ask_password; print(ask_password({node!r}))"
    ran = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
                         text=True, stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip
    return (ran.stdout or ran.stderr.splitlines()[-1]).strip()


def test_each_node_that_needs_one_is_asked_for_and_an_empty_answer_repeats_the_last() -> None:
    prompts, given = [], iter(["secret", ""])
    known = passwords(NODES, ask=lambda prompt: (prompts.append(prompt), next(given))[1])  # type: ignore[arg-type, func-returns-value]
    assert known == {"bonnie": "secret", "kitt": "secret"}
    assert prompts == [
        "sudo password of carlo on bonnie: ",
        "sudo password of carlo on kitt (empty: the same as on bonnie): ",
    ]


def test_without_anybody_to_ask_nothing_begins() -> None:
    with pytest.raises(ConsentMissing, match="sudo password for bonnie"):
        passwords(NODES, ask=lambda prompt: None)  # type: ignore[arg-type]


def test_another_process_of_this_user_gets_the_answer_and_only_while_the_run_lasts() -> None:
    with answers({"kitt": "geheim ✓"}) as path:
        assert asked_by_another_process("kitt", **{SOCKET: str(path)}) == "geheim ✓"
        assert "ConsentMissing" in asked_by_another_process("rover", **{SOCKET: str(path)})
    assert "ConsentMissing" in asked_by_another_process("kitt", **{SOCKET: str(path)})


def test_nobody_else_can_open_the_socket_and_nothing_stays() -> None:
    with answers({"kitt": "geheim"}) as path:
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_a_process_without_terminal_is_told_that_nobody_can_be_asked() -> None:
    assert "Nobody could be asked for the sudo password for kitt" in asked_by_another_process("kitt", **{SOCKET: ""})


def test_no_socket_is_opened_when_nothing_can_be_answered() -> None:
    with answers({}) as path:
        assert path is None
