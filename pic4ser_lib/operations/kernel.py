"""Kernel modules and settings that pod networking needs (document: Setup nodes, "Activate required components").

A module may be built into the kernel: then lsmod does not show it, and nothing has to be loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pic4ser_lib.operations import files
from pic4ser_lib.steps import Action, Decision, Later, Refused, Run, Shell, Step

MODULES = ("overlay", "br_netfilter")
MODULES_FILE = "/etc/modules-load.d/k8s.conf"
SYSCTLS = {
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "net.ipv4.ip_forward": "1",
}
SYSCTL_FILE = "/etc/sysctl.d/k8s.conf"
_AFTER_ALL = "/etc/sysctl.conf"  # `sysctl --system` reads it last, whatever the others are called


def module_states(names: Sequence[str]) -> str:
    """A snippet that prints `name: loaded | built in | loadable | missing | unknown` for each module.

    Unknown: neither the kernel's module folder nor its configuration can be seen (some containers).
    """
    return (
        "r=$(uname -r); d=/lib/modules/$r; echo kernel: $r; "
        'config() { { zcat /proc/config.gz || cat "/boot/config-$r"; } 2>/dev/null; }; '
        f"for m in {' '.join(names)}; do "
        'if [ -d /sys/module/$m ]; then s=loaded; elif grep -qs "/$m\\.ko" $d/modules.builtin; then s="built in"; '
        'elif grep -qsw "$m" /proc/filesystems; then s="built in"; '
        "elif [ $m = br_netfilter ] && [ -d /proc/sys/net/bridge ]; then s=loaded; "
        'elif grep -qs "/$m\\.ko" $d/modules.dep; then s=loadable; '
        'elif config | grep -qi "^CONFIG_\\(BRIDGE_NETFILTER\\|${m}\\|${m}_fs\\)=y"; then s="built in"; '
        "elif [ -s $d/modules.dep ] || [ -s $d/modules.builtin ]; then s=missing; else s=unknown; fi; "
        'echo "$m: $s"; done'
    )


@dataclass(frozen=True)
class Modules:
    """Pairs of module and state, and the running kernel."""

    kernel: str
    states: tuple[tuple[str, str], ...]

    def of(self, *states: str) -> tuple[str, ...]:
        """The modules in one of these states."""
        return tuple(name for name, state in self.states if state in states)

    def __str__(self) -> str:
        return ", ".join(f"{name} {state}" for name, state in self.states)


def modules_read(raw: str) -> Modules:
    """What `module_states` printed."""
    pairs = [(name, state) for name, _, state in (line.partition(": ") for line in raw.splitlines())]
    kernel = next((value for name, value in pairs if name == "kernel"), "")
    return Modules(kernel, tuple(pair for pair in pairs if pair[0] != "kernel"))


@dataclass(frozen=True)
class ModulesLoaded(Step):
    """overlay and br_netfilter work in the running kernel, loaded or built in."""

    name = "kernel.modules_loaded"
    wanted = "overlay and br_netfilter are in the kernel"

    def probe(self) -> Shell:
        """The state of each."""
        return Shell(module_states(MODULES))

    def parse(self, raw: str) -> Modules:
        """The state of each."""
        return modules_read(raw)

    def actions(self, seen: Modules) -> list[Action]:
        """`modprobe` what can be loaded."""
        if missing := seen.of("missing"):
            raise Refused(
                self.wanted,
                f"kernel {seen.kernel} without {' and '.join(missing)}",
                "Install the distribution's own kernel (on Ubuntu also linux-modules-extra) and reboot.",
            )
        return [Run(f"modprobe {name}") for name in seen.of("loadable", "unknown")]


@dataclass(frozen=True)
class Lines:
    """A file, and what it lacks."""

    file: files.File | None
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return f"nothing of {', '.join(self.missing)}" if self.missing else str(self.file)


@dataclass(frozen=True)
class ModulesAtBoot(Step):
    """systemd loads overlay and br_netfilter at boot; other lines of the file stay."""

    name = "kernel.modules_at_boot"
    wanted = "overlay and br_netfilter are loaded at boot"

    def probe(self) -> Shell:
        """The document's file."""
        return Shell(files.show(MODULES_FILE))

    def parse(self, raw: str) -> Lines:
        """The file and the modules it lacks."""
        file = files.shown(raw).get(MODULES_FILE)
        there = {line.strip() for line in file.content.splitlines()} if file else set()
        return Lines(file, tuple(name for name in MODULES if name not in there))

    def actions(self, seen: Lines) -> list[Action]:
        """Append what is missing."""
        return _appended(MODULES_FILE, seen.file, seen.missing)


@dataclass(frozen=True)
class Setting:
    """One line of a sysctl file."""

    path: str
    key: str
    value: str


@dataclass(frozen=True)
class SysctlFiles:
    """Our file, and the lines about our keys in all files, in the order in which they are applied at boot."""

    file: files.File | None
    settings: tuple[Setting, ...]

    @property
    def own(self) -> dict[str, str]:
        """What our file sets."""
        return {s.key: s.value for s in self.settings if s.path == SYSCTL_FILE}

    @property
    def overriding(self) -> tuple[Setting, ...]:
        """Lines of files read after ours that set something else."""
        later = [s for s in self.settings if _order(s.path) > _order(SYSCTL_FILE)]
        return tuple(s for s in later if s.value != SYSCTLS[s.key])

    def __str__(self) -> str:
        if self.overriding:
            return ", ".join(f"{s.path} sets {s.key} = {s.value}" for s in self.overriding)
        return ", ".join(f"{key} = {self.own.get(key, 'not set')}" for key in SYSCTLS)


@dataclass(frozen=True)
class SysctlAtBoot(Step):
    """The three settings come at boot, and no file read later sets them otherwise."""

    name = "kernel.sysctl_at_boot"
    wanted = "the bridge and forwarding settings are set at boot"

    def probe(self) -> Shell:
        """Our file, and every line about our keys elsewhere."""
        keys = "\\|".join(key.replace(".", "[./]") for key in SYSCTLS)
        where = "/etc/sysctl.conf /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf"
        more = "/usr/lib/sysctl.d/*.conf /lib/sysctl.d/*.conf"
        grep = f"grep -sH '^[[:space:]]*-\\?\\({keys}\\)[[:space:]]*=' {where} {more}"
        return Shell(f"{files.show(SYSCTL_FILE)}; {grep} | sed 's/^/set /' || true")

    def parse(self, raw: str) -> SysctlFiles:
        """Settings in boot order. One file name counts once: /etc covers /run, /run covers /usr."""
        file = files.shown(raw).get(SYSCTL_FILE)
        own = [f"{SYSCTL_FILE}:{line}" for line in (file.content.splitlines() if file else [])]
        elsewhere = [line.removeprefix("set ") for line in raw.splitlines() if line.startswith("set /")]
        lines = [*own, *(line for line in elsewhere if not line.startswith(f"{SYSCTL_FILE}:"))]
        found = dict.fromkeys(setting for setting in map(_setting, lines) if setting.key in SYSCTLS)
        covering: dict[str, str] = {}
        for setting in found:
            covering.setdefault(_base(setting.path), setting.path)
        kept = [s for s in found if covering[_base(s.path)] == s.path]
        return SysctlFiles(file, tuple(sorted(kept, key=lambda s: _order(s.path))))

    def actions(self, seen: SysctlFiles) -> list[Action]:
        """Our file with the three lines: wrong ones replaced, others kept."""
        if seen.overriding:
            where = " and ".join(dict.fromkeys(s.path for s in seen.overriding))
            raise Refused(self.wanted, str(seen), f"Remove these lines from {where}: it is read after {SYSCTL_FILE}.")
        wrong = [key for key, value in seen.own.items() if value != SYSCTLS[key]]
        missing = [f"{key} = {value}" for key, value in SYSCTLS.items() if seen.own.get(key) != value]
        return _appended(SYSCTL_FILE, seen.file, missing, without=wrong)


@dataclass(frozen=True)
class Sysctls:
    """The live values; None where the kernel has no such setting (yet)."""

    values: tuple[tuple[str, str | None], ...]

    def __str__(self) -> str:
        return ", ".join(f"{key} = {value or 'not there'}" for key, value in self.values)


@dataclass(frozen=True)
class SysctlSet(Step):
    """The three settings are live."""

    name = "kernel.sysctl_set"
    wanted = "bridged traffic passes iptables and IPv4 is forwarded"

    def probe(self) -> Shell:
        """The kernel's own values."""
        keys = " ".join(SYSCTLS)
        return Shell(f'for k in {keys}; do echo "$k = $(cat "/proc/sys/${{k//.//}}" 2>/dev/null)"; done')

    def parse(self, raw: str) -> Sysctls:
        """Key and value."""
        now = {key: value for key, _, value in (line.partition(" = ") for line in raw.splitlines())}
        return Sysctls(tuple((key, now.get(key) or None) for key in SYSCTLS))

    def actions(self, seen: Sysctls) -> Decision:
        """Set those that differ; without br_netfilter the bridge's do not exist."""
        if any(value is None for key, value in seen.values if key.startswith("net.bridge.")):
            return Later("kernel.modules_loaded", "without br_netfilter there is no net.bridge setting")
        wrong = [f"{key}={SYSCTLS[key]}" for key, value in seen.values if value != SYSCTLS[key]]
        return [Run(f"sysctl -w {' '.join(wrong)}")] if wrong else []


def modules_loaded() -> ModulesLoaded:
    """overlay and br_netfilter are in the running kernel."""
    return ModulesLoaded()


def modules_at_boot() -> ModulesAtBoot:
    """overlay and br_netfilter are loaded at boot."""
    return ModulesAtBoot()


def sysctl_set() -> SysctlSet:
    """The bridge and forwarding settings are live."""
    return SysctlSet()


def sysctl_at_boot() -> SysctlAtBoot:
    """The bridge and forwarding settings come at boot."""
    return SysctlAtBoot()


def _appended(path: str, file: files.File | None, lines: Sequence[str], *, without: Sequence[str] = ()) -> list[Action]:
    if not lines and not without:
        return []
    old = file.content.splitlines() if file else []
    kept = [line for line in old if _key(line) not in without]
    return files.edited(path, file, "".join(f"{line}\n" for line in [*kept, *lines]))


def _key(line: str) -> str:
    return line.partition("=")[0].strip().lstrip("-").replace("/", ".")


def _setting(line: str) -> Setting:
    path, _, text = line.partition(":")
    return Setting(path, _key(text), text.partition("=")[2].strip())


def _base(path: str) -> str:
    return path if path == _AFTER_ALL else path.rpartition("/")[2]


def _order(path: str) -> tuple[bool, str]:
    return path == _AFTER_ALL, _base(path)
