"""Whatever the SSH libraries raise ends as an error of ours: a new exception of theirs fails here first."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import socket
from pathlib import Path
from types import ModuleType

import fabric
import invoke
import paramiko
import pytest

from pic4ser_lib.host.trouble import REASONS, advice, is_foreign, unreachable
from pic4ser_lib.site import Node, Ssh

KEY = Path("/home/anna/.ssh/id_ed25519")
KITT = Node(name="kitt", address="10.0.0.12", role="worker", ssh=Ssh(user="anna", key=KEY, port=2222))


def modules(package: ModuleType) -> list[ModuleType]:
    """All modules of a package that can be imported here."""
    found = [package]
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if info.name.split(".")[-1] in ("__main__", "_winapi", "win_pageant", "win_openssh"):
            continue
        if ".vendor" in info.name or ".completion" in info.name or ".testing" in info.name:
            continue
        found.append(importlib.import_module(info.name))
    return found


def exceptions(package: ModuleType) -> dict[str, type[Exception]]:
    """Every exception class that a package itself defines."""
    return {
        name: kind
        for module in modules(package)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__.split(".")[0] == package.__name__
    }


def test_every_exception_of_paramiko_has_a_sentence_of_its_own() -> None:
    theirs = set(exceptions(paramiko))
    assert "BadHostKeyException" in theirs
    assert sorted(theirs - set(REASONS)) == []


def test_no_sentence_is_for_an_exception_that_is_gone() -> None:
    known = set(exceptions(paramiko)) | {"gaierror", "ConnectionRefusedError", "TimeoutError", "EOFError", "OSError"}
    assert sorted(set(REASONS) - known) == []


@pytest.mark.parametrize("package", [paramiko, fabric, invoke], ids=lambda p: p.__name__)
def test_none_of_their_exceptions_gets_past_us(package: ModuleType) -> None:
    for kind in exceptions(package).values():
        assert is_foreign(kind.__new__(kind)), kind


@pytest.mark.parametrize("error", [OSError("x"), EOFError(), socket.gaierror(), TimeoutError(), ConnectionResetError()])
def test_what_the_network_raises_does_not_get_past_us_either(error: Exception) -> None:
    assert is_foreign(error)


@pytest.mark.parametrize("error", [ValueError(), KeyError(), TypeError(), KeyboardInterrupt()])
def test_a_mistake_of_ours_is_not_called_trouble_with_a_node(error: BaseException) -> None:
    assert not is_foreign(error)


@pytest.mark.parametrize("name", REASONS)
def test_every_sentence_reads_whole_and_says_what_to_do(name: str) -> None:
    kind = type(name, (Exception,), {})
    error = unreachable(KITT, kind("it broke."))
    assert str(error).startswith("kitt (10.0.0.12): not reachable over SSH: ")
    assert "{" not in str(error)
    assert ".." not in str(error)
    assert error.remedy or name == "BadHostKeyException"  # which has a function of its own
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_subclass_speaks_like_its_parent() -> None:
    assert "nothing listens on port 2222" in str(unreachable(KITT, ConnectionRefusedError(111, "refused")))
    assert "Network is unreachable" in str(unreachable(KITT, OSError(101, "Network is unreachable")))


def test_an_exception_that_nobody_knows_is_shown_as_it_is() -> None:
    assert "Exception('what even is this')" in str(unreachable(KITT, Exception("what even is this")))


def test_the_refusal_names_user_and_key() -> None:
    said = str(unreachable(KITT, paramiko.AuthenticationException("Authentication failed.")))
    assert "user anna was refused with the key /home/anna/.ssh/id_ed25519" in said
    assert "~anna/.ssh/authorized_keys" in said


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("head: error writing 'standard output': No space left on device", "Make room on its disk"),
        ("failed to extract layer: write /usr/bin/bash: no space left on device", "Make room on its disk"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "Make room on its disk"),
        ("E: Release file for http://deb/InRelease is not valid yet (invalid for another 364d)", "Is its clock right?"),
        ("tls: x509: certificate has expired or is not yet valid: current time ...", "Is its clock right?"),
        ("E: Release file for http://deb/InRelease is expired (invalid since 3d 2h)", "Is its clock right?"),
        ("because: Not live until 2026-11-26T10:00:00Z", "Is its clock right?"),
        ("E: Unable to locate package kubelet", ""),
    ],
)
def test_what_a_command_says_of_the_machine_itself_has_a_remedy(said: str, remedy: str) -> None:
    assert advice(said).startswith(remedy)
    assert bool(advice(said)) == bool(remedy)
