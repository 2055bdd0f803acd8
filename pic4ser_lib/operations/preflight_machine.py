"""Preflight of one machine: who we are on it, its system, its size, its kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pic4ser_lib.operations import kernel, swap
from pic4ser_lib.operations.look import Finding, Look, shell, values
from pic4ser_lib.steps import Shell

OLDEST = {"debian": (12,), "ubuntu": (22, 4)}
ARCHITECTURES = ("amd64", "arm64")
CPUS, MEMORY_MB = 2, 1700  # what kubeadm asks of a control plane


@dataclass(frozen=True)
class User:
    """Who the probe ran as."""

    uid: str

    def __str__(self) -> str:
        return "root" if self.uid == "0" else f"user id {self.uid}"


@dataclass(frozen=True)
class Root(Look):
    """SSH and sudo lead to root."""

    name = "preflight.root"
    wanted = "SSH and sudo lead to root"

    def probe(self) -> Shell:
        """The user's id."""
        return Shell("id -u")

    def parse(self, raw: str) -> User:
        """The user's id."""
        return User(raw.strip())

    def findings(self, seen: User) -> list[Finding]:
        """Anyone but root."""
        return [] if seen.uid == "0" else [Finding(f"commands run as {seen}", "Let this user become root by sudo.")]


@dataclass(frozen=True)
class System:
    """The distribution, its version, the machine's architecture, and what runs as the first process."""

    distribution: str
    version: str
    architecture: str
    systemd: bool

    def __str__(self) -> str:
        return f"{self.distribution or 'unknown system'} {self.version} {self.architecture}".strip()


@dataclass(frozen=True)
class OsSupported(Look):
    """Debian 12 or newer, or Ubuntu 22.04 or newer, with systemd."""

    name = "preflight.os_supported"
    wanted = "a supported Debian or Ubuntu runs here"

    def probe(self) -> Shell:
        """os-release, architecture, systemd."""
        return shell(
            '. /etc/os-release; echo "id: $ID"; echo "version: ${VERSION_ID:-testing}"',
            'echo "architecture: $(dpkg --print-architecture 2>/dev/null)"',
            "[ -d /run/systemd/system ] && echo systemd: yes || true",
        )

    def parse(self, raw: str) -> System:
        """By key."""
        v = values(raw)
        return System(v.get("id", ""), v.get("version", ""), v.get("architecture", ""), v.get("systemd") == "yes")

    def findings(self, seen: System) -> list[Finding]:
        """Another system, an old release, another processor, no systemd."""
        found = []
        oldest = OLDEST.get(seen.distribution)
        numbers = tuple(map(int, re.findall(r"\d+", seen.version)))
        if oldest is None or (numbers and numbers < oldest):
            found.append(Finding(str(seen), "Install Debian 12 or newer, or Ubuntu 22.04 or newer."))
        if seen.architecture not in ARCHITECTURES:
            found.append(Finding(f"architecture {seen.architecture or 'unknown'}", "Use an amd64 or arm64 machine."))
        if not seen.systemd:
            found.append(Finding("systemd does not run", "Boot the machine with systemd."))
        return found


@dataclass(frozen=True)
class Size:
    """Processors and memory."""

    cpus: int
    memory_mb: int

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, {self.memory_mb} MB of memory"


@dataclass(frozen=True)
class Resources(Look):
    """A control plane has the two CPUs and 1700 MB that kubeadm asks for; of a worker it asks nothing."""

    role: str
    name = "preflight.resources"
    wanted = "CPUs and memory suffice for the role"

    def probe(self) -> Shell:
        """As kubeadm counts them."""
        return Shell("echo cpus: $(nproc); awk '/^MemTotal:/{print \"memory: \" int($2/1024)}' /proc/meminfo")

    def parse(self, raw: str) -> Size:
        """By key."""
        v = values(raw)
        return Size(int(v.get("cpus", 0)), int(v.get("memory", 0)))

    def findings(self, seen: Size) -> list[Finding]:
        """Too few, too little."""
        if self.role != "control-plane":
            return []
        few = seen.cpus < CPUS
        small = seen.memory_mb < MEMORY_MB
        remedy = (
            f"A control plane needs {CPUS} CPUs and {MEMORY_MB} MB: use a larger machine, or make this one a worker."
        )
        return [Finding(str(seen), remedy)] if few or small else []


@dataclass(frozen=True)
class NotedSwaps:
    """Active swap, and a note that notebook 01 deals with it."""

    swaps: swap.Swaps

    @property
    def note(self) -> str:
        """Nothing when there is none."""
        return f"swap {self.swaps} is on: notebook 01 turns it off" if self.swaps.active else ""

    def __str__(self) -> str:
        return str(self.swaps)


@dataclass(frozen=True)
class SwapNoted(Look):
    """Whether swap is on: only noted, because notebook 01 turns it off."""

    name = "preflight.swap_noted"
    wanted = "swap is known"

    def probe(self) -> Shell:
        """As `swap.off` asks."""
        return swap.Off().probe()

    def parse(self, raw: str) -> NotedSwaps:
        """As `swap.off` reads."""
        return NotedSwaps(swap.Off().parse(raw))

    def findings(self, seen: NotedSwaps) -> list[Finding]:
        """None."""
        return []


@dataclass(frozen=True)
class Features:
    """Modules and the cgroup version; `allowed_v1`: the site's kubelet is told to work with version 1."""

    modules: kernel.Modules
    cgroups: int
    allowed_v1: bool

    @property
    def note(self) -> str:
        """What could not be seen, and cgroup v1 that the site allows."""
        notes = [f"cannot see whether this kernel has {name}" for name in self.modules.of("unknown")]
        return "; ".join(
            [*notes, *(["cgroup v1, which the site allows"] if self.cgroups == 1 and self.allowed_v1 else [])]
        )

    def __str__(self) -> str:
        return f"{self.modules}, cgroup v{self.cgroups}"


@dataclass(frozen=True)
class KernelFeatures(Look):
    """overlay, br_netfilter and vxlan are there or can be loaded; cgroups are version 2 (or the site allows 1)."""

    cgroup_v1: bool = False
    name = "preflight.kernel_features"
    wanted = "the kernel has what containers and their network need"

    def probe(self) -> Shell:
        """Modules, and what is mounted at /sys/fs/cgroup."""
        return Shell(f"{kernel.module_states((*kernel.MODULES, 'vxlan'))}; echo cgroup: $(stat -fc %T /sys/fs/cgroup)")

    def parse(self, raw: str) -> Features:
        """The states, and the version."""
        modules = kernel.modules_read("\n".join(line for line in raw.splitlines() if not line.startswith("cgroup: ")))
        return Features(modules, 2 if values(raw).get("cgroup") == "cgroup2fs" else 1, self.cgroup_v1)

    def findings(self, seen: Features) -> list[Finding]:
        """A missing module; cgroup v1 that the kubelet would refuse."""
        found = [
            Finding(f"kernel {seen.modules.kernel} without {name}", "Install the distribution's own kernel and reboot.")
            for name in seen.modules.of("missing")
        ]
        if seen.cgroups == 1 and not self.cgroup_v1:
            remedy = (
                "The kubelet refuses cgroup v1: boot with systemd.unified_cgroup_hierarchy=1, or let the site say "
                "kubelet: {failCgroupV1: false}."
            )
            found.append(Finding("cgroup v1", remedy))
        return found


def root() -> Root:
    """SSH and sudo lead to root."""
    return Root()


def os_supported() -> OsSupported:
    """Debian 12 or newer, or Ubuntu 22.04 or newer, with systemd."""
    return OsSupported()


def resources(role: str) -> Resources:
    """A control plane has 2 CPUs and 1700 MB of memory."""
    return Resources(role)


def swap_noted() -> SwapNoted:
    """Whether swap is on; never a failure."""
    return SwapNoted()


def kernel_features(*, cgroup_v1: bool = False) -> KernelFeatures:
    """The kernel has overlay, br_netfilter, vxlan and cgroup v2 (or the site allows v1)."""
    return KernelFeatures(cgroup_v1)
