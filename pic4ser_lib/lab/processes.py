"""Runs the builders' commands: quietly, with an error that says what they said, and none outlives this process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pic4ser_lib.errors import ArtifactError

_TAIL_LINES = 12
_running: set[int] = set()
_changing = threading.Lock()
_stopped = threading.Event()


def run(
    artifact: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> str:
    """What the command printed. Raises ArtifactError, with the end of its errors, when it does not end with 0."""
    words = [str(word) for word in command]
    process = _start(artifact, words, env or {}, cwd)
    try:
        out, err = process.communicate(stdin)
    finally:
        with _changing:
            _running.discard(process.pid)
    if process.returncode != 0:
        raise failure(artifact, words, code=process.returncode, said=err or out)
    return out


def failure(artifact: str, words: Sequence[str], *, code: int, said: str) -> ArtifactError:
    """The error for a command that ended badly; `seen` holds the last lines it said."""
    tail = "\n".join(said.strip().splitlines()[-_TAIL_LINES:])
    return ArtifactError(
        artifact=artifact,
        wanted=f"`{' '.join(words[:3])} ...` to succeed",
        seen=f"it ended with {code} and said: {tail}",
        remedy="What is finished stays in the cache; run this again to go on from here.",
    )


def stop_all() -> None:
    """Ends every command that runs now, with its children; later ones do not start. For Ctrl-C and a failed build."""
    _stopped.set()
    with _changing:
        for pid in _running:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


def allow() -> None:
    """Commands may start again: the beginning of a build."""
    _stopped.clear()


def let_others_first(pid: int, niceness: int) -> None:
    """Other sessions' processes come before this one's session when there is too little processor time.

    Where the kernel shares that out by session (Linux's autogroup), a process's own niceness counts within it only.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def _start(artifact: str, words: list[str], env: Mapping[str, str], cwd: Path | None) -> subprocess.Popen[str]:
    # setpriv: the kernel kills the command when we are killed, where no clean-up of ours would run.
    with _changing:
        if _stopped.is_set():
            raise ArtifactError(artifact=artifact, wanted="to be built", seen="the build was stopped")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words],
            env={**os.environ, "LC_ALL": "C.UTF-8", **env},
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        _running.add(process.pid)
    return process
