"""What can be said about QEMU without a guest: whose processes are ours, its protocol, and what counts as booted."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import qemu
from pic4ser_lib.lab.vmimage import INITRD, KERNEL

OURS = ("/usr/bin/qemu-system-x86_64", "-name", "pic4ser-kitt", "-pidfile", "/state/nodes/kitt/pid", "-m", "1G", "")


def test_a_guest_is_known_by_its_command_line() -> None:
    assert qemu.process_of((7, OURS)) == qemu.Process("pic4ser-kitt", 7, Path("/state/nodes/kitt"))


@pytest.mark.parametrize(("flags", "emulated"), [(qemu.EMULATED, True), (qemu.KVM, False)])
def test_its_command_line_says_whether_it_is_emulated(flags: tuple[str, ...], emulated: bool) -> None:
    found = qemu.process_of((7, (*OURS[:-1], *flags, "")))
    assert found is not None
    assert found.emulated is emulated


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("bash", "-c", " ".join(OURS)),
        ("timeout", "9", *OURS),
        ("qemu-system-x86_64", "-name", "debian", "-pidfile", "/x/pid"),
        ("qemu-system-x86_64", "-name", "pic4ser-kitt"),
    ],
)
def test_other_processes_are_left_alone(words: tuple[str, ...]) -> None:
    assert qemu.process_of((7, words)) is None


def _listening(path: Path, answers: dict[str, str]) -> list[str]:
    """A server that speaks QEMU's machine protocol once; returns the lines that it will have heard."""
    server, heard = socket.socket(socket.AF_UNIX), []
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server, server.accept()[0] as connection, connection.makefile("rw") as lines:
            lines.write('{"QMP": {"version": {}}}\n')
            lines.flush()
            for line in lines:
                heard.append(line.strip())
                name = line.split('"')[3]
                lines.write(answers.get(name, '{"return": {}}') + "\n")
                lines.flush()

    threading.Thread(target=serve, daemon=True).start()
    return heard


def test_the_power_button_is_pressed_after_the_greeting(tmp_path: Path) -> None:
    heard = _listening(tmp_path / "qmp", {})
    qemu.press_power_button(qemu.Process("pic4ser-kitt", 7, tmp_path))
    assert heard == ['{"execute": "qmp_capabilities"}', '{"execute": "system_powerdown"}']


def test_an_event_in_between_is_no_answer_and_an_error_is_one(tmp_path: Path) -> None:
    event = '{"event": "RESET"}\n{"return": {"status": "running"}}'
    _listening(tmp_path / "qmp", {"query-status": event, "nonsense": '{"error": {"desc": "not found"}}'})
    with pytest.raises(OSError, match="nonsense: not found"):
        qemu.command(tmp_path / "qmp", "query-status", "nonsense")


def test_the_answer_is_what_was_returned(tmp_path: Path) -> None:
    _listening(tmp_path / "qmp", {"query-status": '{"return": {"status": "running"}}'})
    assert qemu.command(tmp_path / "qmp", "query-status") == [{"status": "running"}]


def test_memory_is_what_the_guest_has_touched() -> None:
    assert qemu.held_bytes("Name:\tqemu\nRssAnon:\t  1024 kB\nRssFile:\t 99 kB\n") == 1024 * 1024
    assert qemu.held_bytes("Name:\tkthreadd\n") == 0


def _image(folder: Path) -> Path:
    for name in (KERNEL, INITRD):
        (folder / name).touch()
    return folder


def _program(folder: Path, script: str) -> str:
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


SAYS = 'for last; do :; done; echo "pic4ser: the guest has booted" > "${last#file:}"'


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this machine offers no KVM to be tried")
@pytest.mark.parametrize(
    ("script", "emulated", "why"),
    [
        (SAYS, False, "a guest has just booted"),
        ("exec sleep 60", True, "none had booted after 1 s"),
        ("echo 'kvm_buf_set_msrs: failed' >&2; exit 134", True, "ended with 134 and said: kvm_buf_set_msrs: failed"),
        ("exit 0", True, "ended with 0 and said: nothing"),
    ],
)
def test_kvm_counts_only_when_a_guest_said_that_it_has_booted(
    tmp_path: Path, script: str, emulated: bool, why: str
) -> None:
    found = qemu.accelerator(_image(tmp_path), program=_program(tmp_path, script), seconds=1.0)
    assert found.emulated is emulated
    assert why in found.why


def test_a_machine_without_kvm_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_KVM_DEVICE", tmp_path / "none")
    found = qemu.accelerator(_image(tmp_path), program="/nowhere")
    assert found == qemu.Accelerator(qemu.EMULATED, "emulated: this machine offers no KVM")


def test_how_quick_emulation_is_is_seen_with_all_cores_busy(tmp_path: Path) -> None:
    both = f'[ "$(ls {tmp_path}/here.* | wc -l)" = 2 ]'
    meet = f"touch {tmp_path}/here.$$; for _ in $(seq 100); do {both} && break; sleep 0.1; done; {both} || exit 1"
    program = _program(tmp_path, f"{meet}\n{SAYS}")
    assert 0 < qemu.emulated_boot_seconds(_image(tmp_path), at_once=2, program=program) < 60


def test_emulation_that_boots_no_guest_is_not_taken_for_a_quick_one(tmp_path: Path) -> None:
    program = _program(tmp_path, "echo 'no such processor' >&2; exit 1")
    with pytest.raises(LabError, match="no such processor"):
        qemu.emulated_boot_seconds(_image(tmp_path), at_once=2, program=program)
