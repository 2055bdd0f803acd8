"""A second way to look at a node, which is not the library: OpenSSH's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pic4ser_lib.site import Node
from pic4ser_lib.steps import Secret

PASSWORD = "cörrect hörse"  # of a user that exists for the length of one test
MADE = "/etc/pic4ser-tests"
PLACES = "/etc /home /root /usr /opt /srv /var/tmp /var/backups"
"""Where a change on disk would be ours: a cluster that runs there writes elsewhere."""
MakeUser = Callable[..., Node]


@dataclass(frozen=True)
class Outside:
    """The node as OpenSSH and sudo show it, for setting things up and for judging what the library did."""

    node: Node
    control: Path

    def command(self, script: str) -> list[str]:
        """The words that run `script` as root on the node."""
        ssh = self.node.ssh
        options = ["-F", "none", "-i", str(ssh.key), "-p", str(ssh.port), "-o", "BatchMode=yes"]
        options += ["-o", f"UserKnownHostsFile={ssh.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.control}", "-o", "ControlPersist=60"]
        quoted = script.replace("'", "'\"'\"'")
        return ["ssh", *options, f"{ssh.user}@{self.node.address}", f"sudo bash -c '{quoted}'"]

    def run(self, script: str) -> str:
        """What `script` prints; an exit code that is not 0 fails the test."""
        ran = subprocess.run(self.command(script), capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{script}\n{ran.stderr}"
        return ran.stdout

    def start(self, script: str) -> subprocess.Popen[str]:
        """`script` at work on the node, for the caller to end."""
        return subprocess.Popen(self.command(script), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def close(self) -> None:
        """End the connection that all of this shared."""
        words = self.command("true")[:-1]
        subprocess.run([*words[:-1], "-O", "exit", words[-1]], capture_output=True, timeout=60)


def changed(node: Node, **ssh: Any) -> Node:
    """The node with other SSH settings; `address` is the node's own."""
    address = ssh.pop("address", node.address)
    return node.model_copy(update={"address": address, "ssh": node.ssh.model_copy(update=ssh)})


def no_secret(secret: Secret) -> str:
    """For actions without secrets."""
    raise AssertionError(f"{secret} was revealed")
