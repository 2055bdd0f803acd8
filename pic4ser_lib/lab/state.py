"""What the lab keeps on this machine between two commands, and the lock that makes it one lab.

Its folder:
    $XDG_STATE_HOME/pic4ser/lab/
      id_ed25519, id_ed25519.pub     the lab's SSH key
      known_hosts                    the nodes' host keys, written by the lab itself
      nodes/<name>/                  a node's host key, its identity, and its folders on this file system
      hoststate.json                 the host's settings before the first node started
      dilation.json                  since when, and how much, the time of its emulated machines is slower
      lab.json                       which sites were completed for it, since when
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import NodeSpec

LOCK = Path("/run/pic4ser-lab.lock")
_ORPHANS_SECONDS = 60.0
_held: list[int] = []


def folder() -> Path:
    """The lab's folder: $XDG_STATE_HOME/pic4ser/lab, else ~/.local/state/pic4ser/lab."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser().absolute() / "pic4ser" / "lab"


@dataclass(frozen=True)
class Running:
    """Which sites' folders were completed for this lab, its nodes, when it was started, and if it was online."""

    sites: tuple[str, ...]
    since: str
    nodes: tuple[NodeSpec, ...]
    online: bool = False


def running(state: Path) -> Running | None:
    """The lab that was started and not taken down; it may have died since."""
    try:
        kept = json.loads((state / "lab.json").read_text())
        nodes = tuple(NodeSpec(**node) for node in kept["nodes"])
        return Running(tuple(kept["sites"]), kept["since"], nodes, kept.get("online", False))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(state: Path, lab: Running) -> None:
    """Remembers the lab; atomic, so that a kill leaves the old word or the new one."""
    write(state / "lab.json", json.dumps(asdict(lab), indent=1))


@contextmanager
def locked(doing: str, *, lock: Path | None = None) -> Iterator[None]:
    """One change of the lab at a time on this machine; ends with its process. Raises LabError naming the other.

    If the other was killed, what it started still runs to its end: that is waited for.
    """
    with _opened(lock or LOCK, doing) as file:
        _take(file, doing)
        _held.append(file.fileno())
        file.truncate(0)
        file.write(json.dumps({"who": _who(), "doing": doing, "since": now(), "pid": os.getpid()}))
        file.flush()
        try:
            yield
        finally:
            _held.remove(file.fileno())
            file.truncate(0)


def lock_held() -> tuple[int, ...]:
    """The descriptors with which a child process holds the lab's lock too."""
    return tuple(_held)


def now() -> str:
    """The time, to the second, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def write(path: Path, content: str, *, mode: int = 0o600) -> None:
    """A file that is there with its whole content or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
        os.fsync(file.fileno())
    beside.rename(path)


def key(path: Path, *, comment: str) -> tuple[str, str]:
    """The private and public half of an SSH key that is made when it is not there yet."""
    public = path.with_name(f"{path.name}.pub")
    if not (path.exists() and public.exists()):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(what="make an SSH key", seen=str(error), remedy="apt-get install openssh-client") from error
    return path.read_text(), public.read_text().strip()


def ssh_options(state: Path) -> list[str]:
    """Options with which ssh trusts the lab's host keys and nothing else."""
    options = (f"UserKnownHostsFile={state / 'known_hosts'}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")
    return ["-F", "none", "-i", str(state / "id_ed25519"), *(word for option in options for word in ("-o", option))]


def known_hosts(keys: Sequence[tuple[str, str]]) -> str:
    """The file's text from pairs of an address and a public key."""
    return "".join(f"{address} {' '.join(public.split()[:2])}\n" for address, public in keys)


def _opened(path: Path, doing: str) -> TextIO:
    try:
        return path.open("a+")
    except PermissionError as error:
        remedy = "Run it with sudo: nodes are privileged containers."
        raise LabError(what=doing, seen="this is not root", remedy=remedy) from error


def _who() -> str:
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _take(file: TextIO, doing: str) -> None:
    end = time.monotonic() + _ORPHANS_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            other = _holder(file.read())
            if other is None or Path(f"/proc/{other['pid']}").exists() or time.monotonic() > end:
                raise _busy(doing, other) from error
        time.sleep(0.2)


def _holder(said: str) -> dict[str, Any] | None:
    try:
        told = json.loads(said)
        return {key: told[key] for key in ("who", "pid", "doing", "since")}
    except (ValueError, KeyError, TypeError):
        return None


def _busy(doing: str, other: dict[str, Any] | None) -> LabError:
    seen = "another process is changing the lab now"
    if other:
        seen = f"{other['who']} (process {other['pid']}) does `{other['doing']}` since {other['since']}"
    return LabError(what=doing, seen=seen, remedy="There is one lab per machine: wait for it to end.")
