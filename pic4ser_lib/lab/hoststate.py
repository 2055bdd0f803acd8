"""The host's own settings, as they were before the lab: kept by `lab up`, put back by `lab down`.

Nodes are privileged and share the kernel: a kubelet sets kernel.panic, podman switches ip_forward on. Sysctls are
put back. Firewall rules, routes and swap are only compared: the lab changes none of them, and rules of somebody
else's must not be overwritten with older ones.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pic4ser_lib.lab import state as lab_state

_SYSCTLS = Path("/proc/sys")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# They count or measure, or the kernel sets them by itself: not settings of anybody.
_COUNTERS = (
    "fs/aio-nr", "fs/dentry-state", "fs/file-nr", "fs/inode-nr", "fs/inode-state", "fs/quota/",
    "kernel/ns_last_pid", "kernel/pty/nr", "kernel/random/", "kernel/perf_event_max_sample_rate", "kernel/tainted",
    "net/netfilter/nf_conntrack_count", "net/ipv4/tcp_fastopen_key", "net/ipv6/conf/all/stable_secret",
    "dev/cdrom/info", "vm/stat_refresh", "fs/binfmt_misc/", "sunrpc/",
)  # fmt: skip


@dataclass(frozen=True)
class HostState:
    """What of the host a lab could disturb. Sysctls by path under /proc/sys; the rest as lines."""

    boot: str
    sysctls: dict[str, str]
    firewall: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    swaps: tuple[str, ...] = field(default=())


def seen(root: Path = _SYSCTLS) -> HostState:
    """The host as it is now; reads only."""
    rules = (*_lines("iptables-save"), *_lines("ip6tables-save"), *_lines("nft", "-s", "list", "ruleset"))
    return HostState(
        boot=_BOOT_ID.read_text().strip(),
        sysctls=sysctls(root),
        firewall=tuple(rule for rule in rules if not rule.startswith("#")),
        # Containers of anybody come and go with their own end of a cable.
        routes=tuple(
            line for line in _lines("ip", "-4", "route") + _lines("ip", "-6", "route") if " dev veth" not in line
        ),
        swaps=tuple(line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]),
    )


def sysctls(root: Path = _SYSCTLS, *, under: str = "") -> dict[str, str]:
    """Every setting below `under` that can be read and written, by its path; counters are left out."""
    found = {}
    for path in sorted((root / under).rglob("*")):
        key = str(path.relative_to(root))
        if key.startswith(_COUNTERS) or not path.is_file() or path.stat().st_mode & 0o600 != 0o600:
            continue
        try:
            found[key] = path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue  # a few answer only when something is loaded or set
    return found


def save_once(path: Path) -> HostState:
    """The state before the lab: what was kept earlier in this boot, or what is seen now, kept from now on."""
    kept = load(path)
    if kept is not None:
        return kept
    now = seen()
    lab_state.write(path, json.dumps(asdict(now)))
    return now


def load(path: Path) -> HostState | None:
    """What was kept in this boot of the host; a reboot undid everything that an older one could tell."""
    try:
        told = json.loads(path.read_text())
        kept = HostState(
            told["boot"], told["sysctls"], *(tuple(told[name]) for name in ("firewall", "routes", "swaps"))
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return kept if kept.boot == _BOOT_ID.read_text().strip() else None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Settings that exist in both and differ: (key, before, now), in the order in which they can be put back.

    ip_forward comes first, since writing it resets others; then `all` and `default`, then single interfaces.
    """
    differing = [(key, before[key], now[key]) for key in before if key in now and before[key] != now[key]]
    return sorted(differing, key=lambda change: (_rank(change[0]), change[0]))


def restore(before: HostState, *, under: str = "", root: Path = _SYSCTLS) -> list[str]:
    """Puts sysctls back (those in the folder `under`); what it did and could not do, as lines."""
    done: dict[str, str] = {}
    # A second round, because writing one can change another.
    for _ in range(2):
        for key, wanted, now in changed(before.sysctls, sysctls(root, under=under)):
            done[key] = _write(root / key, wanted, now)
    return [f"{key.replace('/', '.')}: {line}" for key, line in done.items()]


def disturbed(before: HostState, now: HostState) -> list[str]:
    """What differs, as sentences; nothing when the host is as it was."""
    pairs = (
        ("firewall rule", before.firewall, now.firewall),
        ("route", before.routes, now.routes),
        ("swap", before.swaps, now.swaps),
    )
    found = [f"{key.replace('/', '.')} is {new}, was {old}" for key, old, new in changed(before.sysctls, now.sysctls)]
    for kind, old, new in pairs:
        found += [f"{kind} is new: {line}" for line in new if line not in old]
        found += [f"{kind} is gone: {line}" for line in old if line not in new]
    return found


def _rank(key: str) -> int:
    if key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        return 0
    return 1 if "/all/" in key else 2 if "/default/" in key else 3


def _write(path: Path, wanted: str, now: str) -> str:
    try:
        path.write_text(f"{wanted}\n")
    except OSError as error:
        return f"is {now}, was {wanted}, could not be put back: {error.strerror}"
    return f"put back from {now!r} to {wanted!r}"


def _lines(*command: str) -> tuple[str, ...]:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return ()
    return tuple(line.rstrip() for line in said.stdout.splitlines() if line.strip())
