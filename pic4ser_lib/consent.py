"""Who can be asked for a password: the terminal that started the run, JupyterLab's reader, or nobody.

A kernel under papermill cannot ask anything. So `pic4ser` asks before the first kernel and hands the answers to its
kernels over a socket that only this user can open; they live in memory and end with the run.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import ConsentMissing

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

SOCKET = "PIC4SER_ASK"
"""The environment's name for the path of the socket that answers."""

CONSENT = "PIC4SER_CONSENT"
"""The environment's name for the id of the run that was agreed to before its kernels were started."""

_ANSWERS_WITHIN = 30.0
_LONGEST = 4096
_one_question = threading.Lock()


def ask_password(node: str, *, repeatable: bool = False) -> str:
    """The sudo password for a node: from the run that started this kernel, else from whoever sits in front of it.

    Nothing is remembered here (host.once does that), and one question is asked at a time; `repeatable` says in it
    that an empty answer means the last one. Raises ConsentMissing where nobody can be asked: plain papermill,
    nbval, a pipe.
    """
    path = os.environ.get(SOCKET)
    hint = " (empty: the same as before)" if repeatable else ""
    with _one_question:
        answer = _from_run(path, node) if path else _from_person(f"sudo password for {node}{hint}: ")
    if answer is None:
        raise ConsentMissing(
            needed=f"the sudo password for {node}",
            remedy="Start the run with `pic4ser run` on a terminal, or step through the notebook in JupyterLab.",
        )
    return answer


def passwords(nodes: Sequence[Node], *, ask: Callable[[str], str | None] | None = None) -> dict[str, str]:
    """The sudo password of every node that needs one, asked for on the terminal; an empty answer repeats the last one.

    Raises ConsentMissing when there is no terminal.
    """
    given: dict[str, str] = {}
    last = ""
    for node in nodes:
        if node.ssh.password_sudo:
            hint = f" (empty: the same as on {next(reversed(given))})" if given else ""
            answer = (ask or _from_person)(f"sudo password of {node.ssh.user} on {node.name}{hint}: ")
            if answer is None:
                raise ConsentMissing(needed=f"the sudo password for {node.name}", remedy="Run this on a terminal.")
            given[node.name] = last = answer or last
    return given


@contextmanager
def answers(given: Mapping[str, str]) -> Iterator[Path | None]:
    """While entered, a socket hands out the passwords to this user's processes; None if there are none to hand out."""
    if not given:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="pic4ser-ask-"))
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        threading.Thread(target=_serve, args=(server, given), daemon=True).start()
        try:
            yield path
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            shutil.rmtree(folder, ignore_errors=True)


def agreed(run_id: str) -> bool:
    """Whether somebody who saw the plan of this run has said yes before this kernel was started."""
    return bool(run_id) and os.environ.get(CONSENT) == run_id


def confirm(question: str) -> str:
    """What the person in front says to a question: "yes", "all" (yes to this notebook's other cells too) or "no".

    Anything that is not yes or all is no. Raises ConsentMissing where nobody can be asked.
    """
    answer = _from_person(f"{question} [yes/all/no] ", echo=True)
    if answer is None:
        raise ConsentMissing(
            needed="a yes to these changes: the site says `confirm: true`",
            remedy="Start the run with `pic4ser run`, which shows the plan and asks, or step through in JupyterLab.",
        )
    said = answer.strip().lower()
    return said if said in ("yes", "all") else "no"


def _serve(server: socket.socket, given: Mapping[str, str]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError, ValueError):
            connection.settimeout(_ANSWERS_WITHIN)
            _answer(connection, given)


def _answer(connection: socket.socket, given: Mapping[str, str]) -> None:
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if uid != os.getuid():
        return
    node = json.loads(connection.makefile("rb").readline(_LONGEST))["node"]
    connection.sendall(json.dumps({"answer": given.get(node)}).encode() + b"\n")


def _from_run(path: str, node: str) -> str | None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_ANSWERS_WITHIN)
            client.connect(path)
            client.sendall(json.dumps({"node": node}).encode() + b"\n")
            answer = json.loads(client.makefile("rb").readline(_LONGEST))["answer"]
    except (OSError, ValueError, KeyError):
        return None
    return None if answer is None else str(answer)


def _from_person(prompt: str, *, echo: bool = False) -> str | None:
    """What is typed, unseen unless `echo`; None if nobody is there: getpass would read standard input, or wait."""
    kernel = getattr(_shell(), "kernel", None)
    if kernel is None and not _has_terminal():
        return None
    try:
        return input(prompt) if echo else getpass.getpass(prompt)
    except Exception as error:
        if type(error).__name__ in ("StdinNotImplementedError", "EOFError"):
            return None
        raise


def _shell() -> object:
    """IPython's shell, if this process is a kernel; IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
