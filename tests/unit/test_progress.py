"""What is said while a long cell works: nothing that looks stuck, nothing that drowns the rest."""

from __future__ import annotations

import threading

from pic4ser_lib.progress import Progress


def told(doing: str, *, lines: int) -> list[str]:
    """What is written from the moment a node does this until so many lines are there."""
    written: list[str] = []
    enough = threading.Event()

    def write(line: str) -> None:
        written.append(line)
        if len(written) >= lines:
            enough.set()

    with Progress(interval=0.01, write=write) as progress:
        progress.tell("kitt", doing)
        assert enough.wait(10)
    return written[:lines]


def test_a_command_is_shown_once_and_then_only_its_step() -> None:
    first, second = told("kubeadm.joined: run: kubeadm join --config /dev/stdin", lines=2)
    assert first == "kitt: kubeadm.joined: run: kubeadm join --config /dev/stdin"
    assert second == "kitt: kubeadm.joined: still at it (0 s)"


def test_what_is_missing_is_told_each_time() -> None:
    assert told("flannel.rolled_out: waits for rover", lines=2)[1] == "kitt: flannel.rolled_out: waits for rover (0 s)"


def test_a_step_that_only_looks_is_told_when_it_takes_long() -> None:
    assert told("swap.off", lines=1) == ["kitt: swap.off (0 s)"]
