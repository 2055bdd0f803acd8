"""What is sent to a root shell and what its answers mean, tried with this machine's own bash."""

from __future__ import annotations

import subprocess

import pytest

from pic4ser_lib.host.scripts import (
    MARKS,
    Driver,
    Failure,
    action_unit,
    answers,
    end_mark,
    masked,
    new_nonce,
    question_unit,
    remove_script,
    shortened,
    write_script,
)


def ask(*snippets: str, timeout: float = 20) -> list[str] | Failure:
    nonce = new_nonce()
    unit = question_unit(snippets, nonce, timeout=timeout)
    ran = subprocess.run(["/bin/bash", "-c", unit], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    assert end_mark(nonce).search(ran.stdout)
    return answers(ran.stdout, nonce, len(snippets))


def test_answers_are_exact() -> None:
    assert ask("echo a", "printf b", "", "printf '\\n'", "echo ü >&2") == ["a\n", "b", "", "\n", ""]


def test_the_first_failure_is_told_with_its_number_and_its_errors() -> None:
    assert ask("echo a", "echo out; echo err >&2; exit 9", "echo never") == Failure(1, 9, "err")


def test_a_snippet_that_ends_the_whole_shell_is_a_failure_too() -> None:
    found = ask("echo a", "printf half; kill -KILL $$")
    assert isinstance(found, Failure)
    assert (found.index, found.exit) == (1, 137)


def test_what_is_late_is_named() -> None:
    found = ask("echo a", "sleep 60", timeout=0.5)
    assert isinstance(found, Failure)
    assert (found.index, found.exit) == (1, 124)


def test_an_answer_without_its_end_is_no_answer() -> None:
    with pytest.raises(ValueError, match="without its end mark"):
        answers(b"\nabc begin 0\nhello", "abc", 1)


def test_a_person_reads_what_a_node_said_without_the_marks() -> None:
    unit = question_unit(["echo one", "echo two"], new_nonce(), timeout=10)
    ran = subprocess.run(["/bin/bash", "-c", unit], stdout=subprocess.PIPE, text=True, check=True)
    assert MARKS.sub("", ran.stdout).split() == ["one", "two"]


def test_marks_of_another_nonce_are_text() -> None:
    raw = b"\nabc begin 0\n\nabd 0 0\n\nabd end 0\n\nabc 0 0\n\nabc end 0\n"
    assert answers(raw, "abc", 1) == ["\nabd 0 0\n\nabd end 0\n"]


# -------------------------------------------------------------------------------------------- the driver


def drive(driver: Driver, sent: bytes) -> bytes:
    """What the driver says (without sudo) when it reads these bytes to their end."""
    ran = subprocess.run(["/bin/sh", "-c", driver.command()], input=sent, capture_output=True, timeout=20)
    return ran.stdout


DRIVER = Driver("0" * 32, as_root_already=True)


def test_it_says_ready_and_then_evaluates_unit_after_unit() -> None:
    units = DRIVER.framed("x=1; printf one") + DRIVER.framed("printf '%s' $((x + 1))")
    assert drive(DRIVER, units) == DRIVER.word("READY") + b"one2"


@pytest.mark.parametrize("missing", [1, 5, 30, 40])
def test_a_unit_that_is_cut_off_is_not_evaluated(missing: int) -> None:
    assert drive(DRIVER, DRIVER.framed("printf one")[:-missing]) == DRIVER.word("READY")


@pytest.mark.parametrize("sent", [b"", b"12", b"printf evil\n", b"11\nprintf evil", b"-5\nprintf evil\n"])
def test_what_is_not_a_unit_is_not_evaluated(sent: bytes) -> None:
    assert b"evil" not in drive(DRIVER, sent)


def test_a_unit_cannot_eat_the_next_one() -> None:
    assert drive(DRIVER, DRIVER.framed("cat") + DRIVER.framed("printf two")) == DRIVER.word("READY") + b"two"


def test_the_command_fits_every_login_shell() -> None:
    for command in (Driver("a" * 32).command(), DRIVER.command()):
        assert "\n" not in command
        assert "!" not in command
        assert command.count("'") == 2


# --------------------------------------------------------------------------------------- refused by us


def test_a_nul_cannot_be_part_of_a_command() -> None:
    with pytest.raises(ValueError, match="NUL"):
        action_unit("echo \0", "n", title="t", stdin=b"", timeout=1)


@pytest.mark.parametrize("path", ["", "etc/fstab", "/etc/../root/x"])
def test_only_absolute_paths_are_written_or_removed(path: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        write_script(path, mode=0o644, size=0)
    with pytest.raises(ValueError, match="absolute"):
        remove_script(path)


def test_input_is_in_no_argument_of_any_command() -> None:
    unit = action_unit("cat", "n", title="t", stdin=b"secret", timeout=1)
    assert "secret" not in unit
    assert "printf %s c2VjcmV0 | base64 -d" in unit  # printf is bash's own


# ------------------------------------------------------------------------------------------ said by nodes


def test_secrets_are_shown_by_name() -> None:
    assert masked("token abc.def is bad", {"abc.def": "join token"}) == "token <join token> is bad"
    assert masked("line: cert-data-1\n", {"x\ncert-data-1\n": "conf"}) == "line: <conf>\n"
    assert masked("nothing", {"": "empty", "\n": "newline"}) == "nothing"


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("true", "true"),
        ("\n  set -e\ntrue\n", "set -e …"),
        ("x" * 300, "x" * 200 + " …"),
        ("", ""),
    ],
)
def test_a_command_is_shortened_to_its_first_line(command: str, short: str) -> None:
    assert shortened(command) == short
