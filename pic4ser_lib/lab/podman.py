"""Podman's command line, and nodes that are containers of it.

A container node runs systemd as its first process. Nothing of it is shared with the host but the kernel: its own
cgroup namespace, an empty /proc/swaps (its `swapoff -a` must not reach the host's swap), and folders on the host's
file system where overlay on overlay would fail (containerd) or data has to survive (etcd, kubelet).
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import identity, leftovers, nfs, state
from pic4ser_lib.lab.nodes import NETWORK, Machine, NodeSpec

LABEL = "pic4ser.lab"
CONFIG_LABEL = "pic4ser.config"
NO_SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
_EXITS = Path("/run/libpod/exits")
_OWN_FOLDERS = ("containerd", "kubelet", "etcd")
_PRODUCT_UUID = Path("/sys/devices/virtual/dmi/id/product_uuid")
_MOST_FILES, _MOST_PROCESSES = 1_048_576, 10_000


def podman(*words: str | Path, timeout: float = 60.0, stdin: bytes | None = None) -> str:
    """What `podman WORDS` printed. Raises LabError with what it said when it fails or takes longer than `timeout`.

    A podman that is killed in the middle leaves addresses and containers that it never finds again. So it runs to its
    end when we are interrupted or killed; until then it holds the lab's lock.
    """
    shown = " ".join(["podman", *map(str, words)][:3])
    if os.geteuid() != 0:  # podman would answer with the user's own containers, as if there were no lab
        raise LabError(what=shown, seen="this is not root", remedy="Run it with sudo: nodes are privileged containers.")
    process = _started(words)
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise LabError(what=shown, seen=f"no answer within {timeout:.0f} s") from error
    except KeyboardInterrupt:
        process.wait(timeout)
        raise
    if process.returncode != 0:
        said = (err or out).decode(errors="replace").strip()
        remedy = "pic4ser lab down, then pic4ser lab up." if "already allocated" in said else ""
        raise LabError(what=shown, seen=said[-600:] or f"it ended with {process.returncode}", remedy=remedy)
    return out.decode(errors="replace")


@dataclass(frozen=True)
class Container:
    """What podman knows of one container. `alive` is asked from the kernel: podman's own word can be stale."""

    name: str
    id: str
    config: str
    lab: str
    state: str
    alive: bool


def containers() -> dict[str, Container]:
    """Every container of any rehearsal lab on this machine, by name."""
    listed = json.loads(podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "json") or "[]")
    return {seen.name: seen for seen in map(_container, listed)}


def memory_bytes(seen: Container) -> int:
    """What the processes of a running container hold now; page cache, which the kernel can drop, does not count."""
    below = "" if host_is_unified() else "memory"
    cgroup = podman("inspect", "--type", "container", "--format", "{{.State.CgroupPath}}", seen.id).strip()
    return held_bytes(Path("/sys/fs/cgroup", below, cgroup.lstrip("/"), "memory.stat").read_text())


def held_bytes(memory_stat: str) -> int:
    """The anonymous memory in a cgroup's memory.stat: total_rss on version 1, anon on version 2."""
    figures = dict(line.split()[:2] for line in memory_stat.splitlines() if len(line.split()) >= 2)
    return int(figures.get("total_rss") or figures.get("anon") or 0)


def bury(*names: str) -> None:
    """Makes podman's word and the kernel's agree on containers that were killed together with who watched them.

    A podman killed while it started one leaves a container of runc's behind that it does not know of. And a watcher
    (conmon) that was killed too left no exit code, without which podman neither stops, starts nor removes a container.
    """
    for seen in containers().values():
        if seen.name not in names or seen.alive:
            continue
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["runc", "delete", "--force", seen.id], capture_output=True, timeout=30)
        leftovers.unmount(Path("/"), with_name=seen.id)
        if seen.state in ("running", "stopping") and _EXITS.is_dir():
            (_EXITS / seen.id).write_text("137")
            podman("container", "cleanup", seen.name)


def remove(names: Sequence[str]) -> None:
    """Kills and deletes these containers; ones that are gone already are fine."""
    if names:
        bury(*names)
        podman("rm", "--force", "--ignore", "--time", "0", *names, timeout=120)


def mac(address: str) -> list[str]:
    """The network card of this address, always the same: a machine made anew is found at once, without stale ARP."""
    return ["--mac-address", "02:" + ":".join(f"{part:02x}" for part in (0x83, *IPv4Address(address).packed))]


def cgroup_flags(*, unified: bool) -> list[str]:
    """Who mounts the node's cgroups: podman on version 2; the image's entry on version 1.

    On version 1 podman would bind the host's systemd hierarchy into every node, and all nodes would share it.
    The version 2 branch has not been tried on a machine.
    """
    return ["--systemd=always" if unified else "--systemd=false", "--cgroupns=private"]


def host_is_unified() -> bool:
    """Whether the host's /sys/fs/cgroup is cgroup version 2."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


@dataclass(frozen=True)
class ContainerNode:
    """A node as a container. `folder` is the node's own on the host, `lab` says whose lab it belongs to."""

    spec: NodeSpec
    image: str
    folder: Path
    lab: str
    plain: identity.Plain
    modules: Path | None = None

    @property
    def address(self) -> str:
        """Where sshd listens on port 22."""
        return self.spec.address

    @property
    def boot_seconds(self) -> float:
        """Containers boot in 4 to 5 s; a busy host takes longer."""
        return 90.0

    @property
    def config(self) -> str:
        """Changes when the container would have to be made anew to be what is asked for."""
        more = hashlib.sha256(repr([(file.path, file.mode, file.content) for file in self.plain.more]).encode())
        told = [self.image, self.address, self.lab, more.hexdigest()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    @property
    def shared(self) -> Path:
        """The folder that all nodes share, where NFS cannot do that for them; `down` removes it with the nodes'."""
        return self.folder.parent / "_shared"

    def prepared(self, seen: Machine | None) -> bool:
        """Whether this container was made to the end: a kill in between leaves one without its files."""
        if not isinstance(seen, Container) or seen.state == "removing":
            return False
        mark = self.folder / "prepared"
        return mark.exists() and mark.read_text() == seen.id

    def create(self) -> None:
        """A plain machine, off: its disk is the image, its folders are empty, its names and keys are in place."""
        remove([self.spec.container])
        shutil.rmtree(self.folder, ignore_errors=True)
        for own in _OWN_FOLDERS:
            (self.folder / own).mkdir(parents=True)
        self.shared.mkdir(exist_ok=True)
        (self.folder / "swaps").write_text(NO_SWAPS)
        (self.folder / "product_uuid").write_text(f"{self.plain.product_uuid}\n")
        made = podman("create", *self._flags(), self.image, "/pic4ser-entry", timeout=120).strip()
        podman("cp", "--archive=false", "-", f"{made}:/", stdin=identity.as_tar(self.plain.files()))
        (self.folder / "prepared").write_text(made)

    def start(self) -> None:
        """Powers the machine on; returns before it has booted."""
        bury(self.spec.container)
        podman("start", self.spec.container, timeout=90)

    def stop(self) -> None:
        """Shuts the machine down as its init wants it."""
        podman("stop", "--time", "30", self.spec.container, timeout=60)

    def kill(self) -> None:
        """Cuts the power."""
        podman("kill", "--signal", "KILL", self.spec.container)

    def connect(self) -> None:
        """Nothing to do: podman holds a container's end of the network."""

    def run(self, script: str, *, timeout: float) -> str:
        """What a bash script printed on the running machine, as root."""
        return podman("exec", self.spec.container, "bash", "-c", script, timeout=timeout)

    def _flags(self) -> list[str]:
        release = f"/lib/modules/{os.uname().release}"
        modules = ["--volume", f"{self.modules}:{release}:ro"] if self.modules else []
        own = [flag for name in _OWN_FOLDERS for flag in ("--volume", f"{self.folder / name}:/var/lib/{name}")]
        firmware = ["--volume", f"{self.folder / 'product_uuid'}:{_PRODUCT_UUID}:ro"] if _PRODUCT_UUID.exists() else []
        # Debian's crun refuses a host with both cgroup versions mounted; runc takes either.
        return [
            *("--name", self.spec.container, "--hostname", self.spec.name),
            *("--label", f"{LABEL}={self.lab}", "--label", f"{CONFIG_LABEL}={self.config}"),
            *("--network", NETWORK, "--ip", self.address, *mac(self.address), "--no-hosts", "--dns=none"),
            *("--runtime", "runc", "--privileged", *cgroup_flags(unified=host_is_unified())),
            *("--stop-signal=RTMIN+3", "--env", "container=podman", "--log-driver", "none"),
            *limits(),
            *("--sysctl", "net.ipv4.ip_forward=0", "--tmpfs", "/run", "--tmpfs", "/tmp"),
            *("--volume", f"{self.folder / 'swaps'}:/proc/swaps:ro", "--volume", f"{self.shared}:{nfs.SHARED}"),
            *(*modules, *firmware, *own),
        ]


def _started(words: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    command, held, pipe = ["podman", *map(str, words)], state.lock_held(), subprocess.PIPE
    if shutil.which("podman") is None:
        remedy = "apt-get install podman runc netavark"
        raise LabError(what="podman", seen="podman is not installed", remedy=remedy)
    if held:
        # A shell holds the lock for podman: podman would hand it on to the container's watcher, for days.
        closed = " ".join(f"{descriptor}>&-" for descriptor in held)
        command = ["bash", "-c", f'podman "$@" {closed}; exit $?', *command]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, pass_fds=held)


def limits() -> list[str]:
    """Flags with limits that this machine's root may set: podman's own defaults can be above what it has."""
    files = _limit("nofile", resource.RLIMIT_NOFILE, _MOST_FILES)
    return ["--ulimit", files, "--ulimit", _limit("nproc", resource.RLIMIT_NPROC, _MOST_PROCESSES)]


def _limit(name: str, which: int, most: int) -> str:
    # A root without CAP_SYS_RESOURCE may lower a limit and never raise it.
    hard = resource.getrlimit(which)[1]
    value = most if hard == resource.RLIM_INFINITY else min(hard, most)
    return f"{name}={value}:{value}"


def _container(seen: dict[str, Any]) -> Container:
    pid, labels = int(seen["Pid"]), seen["Labels"] or {}
    return Container(
        name=seen["Names"][0],
        id=seen["Id"],
        config=labels.get(CONFIG_LABEL, ""),
        lab=labels.get(LABEL, ""),
        state=seen["State"],
        alive=seen["State"] == "running" and pid > 0 and _runs(pid),
    )


def _runs(pid: int) -> bool:
    try:
        fate = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return fate.rpartition(")")[2].split()[0] not in "ZX"
