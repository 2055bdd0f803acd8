"""Looking at the lab from outside the library: by ssh, podman and tcpdump, with nothing of pic4ser_lib in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

LAB_RANGES = ("10.83.17.0/24", "10.244.0.0/16", "10.96.0.0/12")
HOME = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "pic4ser" / "lab"
ADDRESSES = {"bonnie": "10.83.17.11", "kitt": "10.83.17.12", "rover": "10.83.17.13"}


def said(*words: str, timeout: float = 120.0) -> str:
    """What a command printed; CalledProcessError shows what it complained about."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    return done.stdout


def on(node: str, script: str, *, timeout: float = 60.0) -> str:
    """What a script printed on a node, as the sudo user, over SSH with the host key checked."""
    trust = [f"UserKnownHostsFile={HOME / 'known_hosts'}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    options = [word for option in trust for word in ("-o", option)]
    login = f"pic4ser@{ADDRESSES[node]}"
    return said("ssh", "-F", "none", "-i", str(HOME / "id_ed25519"), *options, login, script, timeout=timeout)


def podman_ids() -> dict[str, str]:
    """Container ids of the lab by name."""
    listed = said(
        "podman", "ps", "--all", "--no-trunc", "--filter", "label=pic4ser.lab", "--format", "{{.Names}} {{.ID}}"
    )
    return dict(line.split() for line in listed.splitlines())


def outer_interfaces() -> list[str]:
    """The host's interfaces that lead somewhere else: all that are up but loopback, bridges and their cables."""
    links = json.loads(said("ip", "-json", "-details", "link"))
    return [link["ifname"] for link in links if "UP" in link["flags"] and _leads_out(link)]


class Capture:
    """While entered, every packet from or to the lab's ranges on these interfaces is kept."""

    def __init__(self, interfaces: Sequence[str], ranges: Sequence[str] = LAB_RANGES) -> None:
        self._filter = " or ".join(f"net {cidr}" for cidr in ranges)
        self._interfaces = tuple(interfaces)
        self._running: list[subprocess.Popen[str]] = []
        self._packets: list[str] = []
        self.alive = False

    def __enter__(self) -> Capture:
        self._folder = tempfile.mkdtemp(prefix="pic4ser-capture-")
        for interface in self._interfaces:
            words = [
                "tcpdump",
                "-n",
                "-U",
                "-Z",
                "root",
                "-i",
                interface,
                "-w",
                str(self._file(interface)),
                self._filter,
            ]
            self._running.append(subprocess.Popen(words, stderr=subprocess.PIPE, text=True))
        for running in self._running:
            _until_listening(running)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self._running:
            return  # a test has ended it already, to read what it has
        self.alive = all(running.poll() is None for running in self._running)
        for running in self._running:
            running.terminate()
            running.communicate(timeout=20)
        read = {name: said("tcpdump", "-n", "-r", str(self._file(name))).splitlines() for name in self._interfaces}
        self._packets = [f"{name}: {line}" for name, lines in read.items() for line in lines]
        self._running = []
        shutil.rmtree(self._folder)

    def packets(self) -> list[str]:
        """One line a packet, `interface: what tcpdump says`; known when the capture has ended."""
        return self._packets

    def _file(self, interface: str) -> Path:
        return Path(self._folder, f"{interface}.pcap")


@dataclass(frozen=True)
class Watched:
    """The host as it was before a lab, and the packets that have left it since then."""

    host: dict[str, str]
    capture: Capture


def _until_listening(running: subprocess.Popen[str]) -> None:
    assert running.stderr is not None
    heard = ""
    while "listening on" not in heard:
        heard = running.stderr.readline()
        assert heard, f"tcpdump ended: {running.wait()}"


def _leads_out(link: dict[str, object]) -> bool:
    details = link.get("linkinfo")
    kind = details.get("info_kind", "") if isinstance(details, dict) else ""
    return link.get("link_type") != "loopback" and kind not in ("bridge", "veth")
