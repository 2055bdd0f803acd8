"""One notebook in a process of its own: papermill, a kernel over ipc, and an end that is never lost.

    python -m pic4ser_lib.runbook.execution IN.ipynb OUT.ipynb site=parameters/lab node=kitt mode=apply

The process says on standard error what the kernel says there, and ends with 0 if no cell raised. Whether the
notebook did what it is for stands in its journal. SIGINT interrupts the running cell, so that what is half done is
brought to a good end and recorded; SIGTERM, and the death of the process that started this one, end the kernel at once.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1
PATIENCE = 300
"""Seconds for a kernel to start and to say that a cell is done, on a machine that is busy building something."""
STARTER = "PIC4SER_STARTED_BY"
"""The environment's name for the process id whose death ends this process."""


def main(arguments: list[str]) -> int:
    """Execute one notebook. Returns 0 if no cell raised, 1 if one did, 130 if the running cell was interrupted."""
    _die_with(int(os.environ.get(STARTER, "0")))
    source, target, *pairs = arguments
    parameters = dict(pair.split("=", 1) for pair in pairs)
    with _private_folder() as folder:
        os.environ["IPYTHONDIR"] = str(folder / "ipython")
        return execute(Path(source), Path(target), parameters, folder)


def execute(source: Path, target: Path, parameters: dict[str, str], folder: Path) -> int:
    """Run `source` and put the executed notebook at `target` by a rename, also when a cell raised."""
    _without_slow_grammar()
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    unfinished = target.with_name(f".{target.stem}.{os.getpid()}.ipynb")
    manager = AsyncKernelManager(
        kernel_name="python3", transport="ipc", ip=str(folder / "socket"), connection_file=str(folder / "kernel.json")
    )
    try:
        with _signals(manager) as interrupted:
            execute_notebook(
                source, unfinished, parameters, kernel_name="python3", km=manager,
                progress_bar=False, stderr_file=sys.stderr, start_timeout=PATIENCE, iopub_timeout=PATIENCE,
            )  # fmt: skip
        return 0
    except PapermillExecutionError as error:
        print(f"{error.ename}: {error.evalue}", file=sys.stderr)
        return 130 if interrupted else 1
    except DeadKernelError:
        print("the kernel died", file=sys.stderr)
        return 1
    finally:
        _kill(manager)
        put_in_place(unfinished, target)


def put_in_place(unfinished: Path, target: Path) -> None:
    """Gives an executed notebook its name, if it is whole: who is stopped while it is written leaves nothing."""
    try:
        json.loads(unfinished.read_text("utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        unfinished.unlink()
        return
    unfinished.replace(target)


def _without_slow_grammar() -> None:
    """Spare three quarters of papermill's import: a grammar of Internet names, built anew by each process.

    It comes with JupyterLab, jsonschema does without it where it is missing, and no notebook is judged by it.
    """
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]


@contextmanager
def _signals(manager: Any) -> Iterator[list[int]]:
    """SIGINT goes on to the running cell; SIGTERM ends the kernel at once. Yields the interrupts that arrived."""
    interrupted: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)
        _signal(manager, signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        _kill(manager)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, handler) for number, handler in _handlers(interrupt, end)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handlers(interrupt: Any, end: Any) -> tuple[tuple[int, Any], ...]:
    return (signal.SIGINT, interrupt), (signal.SIGTERM, end), (signal.SIGHUP, end)


def _kill(manager: Any) -> None:
    _signal(manager, signal.SIGKILL)


def _signal(manager: Any, number: int) -> None:
    """Signal the kernel and what it started: it leads a process group of its own."""
    pid = getattr(manager.provisioner, "pid", None)
    if pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _die_with(starter: int) -> None:
    """Get SIGTERM when the process that started this one dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if starter and os.getppid() != starter:
        raise SystemExit("the run that started this notebook is gone")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder of our own (0700) with a short name, because a socket's path may have 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="pic4ser-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
