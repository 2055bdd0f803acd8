"""apt on a node: what is installed, and commands that can wait for a lock and mend an interrupted run.

apt waits for dpkg's lock when asked to, but never for the lock of the package lists, and dpkg waits for none: so
those commands are tried again while another process holds the lock, for as long as `LOCK_SECONDS`. Whoever holds
it is named by apt, and stands in the error when the wait was in vain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOCK_SECONDS = 120
LISTS_ARE_STALE = 24 * 60  # minutes; older lists name packages that a mirror may have dropped
_NET = "-o Acquire::http::Timeout=15"
_QUIET = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l"  # services are restarted by steps, one node at a time


@dataclass(frozen=True)
class Package:
    """One package; `version` is empty unless it is properly installed."""

    name: str
    version: str = ""
    held: bool = False
    broken: bool = False

    def __str__(self) -> str:
        state = "half installed" if self.broken else self.version or "not installed"
        return f"{self.name} {state}{', held' if self.held else ''}"


@dataclass(frozen=True)
class Packages:
    """Some packages, what the lists offer of those that were asked for, and the state of dpkg as a whole."""

    packages: tuple[Package, ...]
    offered: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fresh: bool = False
    interrupted: bool = False
    joined: bool = False

    def versions(self, name: str) -> tuple[str, ...]:
        """What the package lists offer, newest first."""
        return dict(self.offered).get(name, ())

    def __str__(self) -> str:
        return ", ".join(map(str, self.packages))


def ask(names: Sequence[str], *, unless: str = "") -> str:
    """A snippet that prints the state of packages; what the lists offer only if one of them is missing or wrong.

    `unless` is an extended regular expression: each installed package's `name version` has to match it.
    """
    words = " ".join(map(shlex.quote, names))
    pattern = shlex.quote(unless or ".")
    return (
        "export LC_ALL=C; q='${db:Status-Abbrev}|${Package}|${Version}\\n'; "
        f'p=$(dpkg-query -W -f="$q" {words} 2>/dev/null); [ -z "$p" ] || echo "$p"; '
        f"n=$(sed -n 's/^.i |\\(.*\\)|/\\1 /p' <<<\"$p\" | grep -cE {pattern}); "
        f'if [ "$n" -lt {len(names)} ]; then apt-cache policy {words} 2>/dev/null; '
        f"find /var/lib/apt/lists -maxdepth 1 -name '*Release' -cmin -{LISTS_ARE_STALE} 2>/dev/null "
        "| grep -q . && echo lists: fresh; fi; "
        '[ -z "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ] || echo dpkg: interrupted; '
        'awk \'/^Package:/{p=$2} /^Status: .* (half-|unpacked)/{print "dpkg: " p " is half installed"}\' '
        "/var/lib/dpkg/status; [ ! -e /etc/kubernetes/kubelet.conf ] || echo node: joined"
    )


def read(raw: str, names: Sequence[str]) -> Packages:
    """What `ask` printed."""
    lines = raw.splitlines()
    rows = {row[1]: row for row in (line.split("|") for line in lines) if len(row) == 3}
    return Packages(
        packages=tuple(_package(name, rows.get(name)) for name in names),
        offered=_offered(lines),
        fresh="lists: fresh" in lines,
        interrupted=any(line.startswith("dpkg: ") for line in lines),
        joined="node: joined" in lines,
    )


def update(list_file: str = "") -> str:
    """A command that reads the package lists anew, of all sources or of one (where any failure counts)."""
    only = f" -o Dir::Etc::sourcelist={shlex.quote(list_file)} -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"
    strict = f"{only} -o APT::Update::Error-Mode=any" if list_file else ""
    return patient(f"LC_ALL=C apt-get -q {_NET}{strict} update")


def install(words: Iterable[str], *, options: str = "") -> str:
    """A command that installs packages, keeping configuration files that somebody changed."""
    waits = f"-o DPkg::Lock::Timeout={LOCK_SECONDS} {_NET} -o Dpkg::Options::=--force-confold"
    extra = f"{options} " if options else ""
    return f"{_QUIET} apt-get -q -y {waits} {extra}install {' '.join(map(shlex.quote, words))}"


def mend() -> str:
    """A command that finishes what a killed dpkg left half done."""
    return patient(f"{_QUIET} dpkg --force-confold --configure -a")


def patient(command: str) -> str:
    """The command, tried again while somebody holds the lock it needs. Its warnings are passed on."""
    locked = f'[[ $said == *" lock "* && $SECONDS -lt {LOCK_SECONDS} ]]'
    return (
        f'(SECONDS=0; until said=$({command} 2>&1); do {locked} || {{ echo "$said" >&2; exit 100; }}; sleep 2; done; '
        "grep '^[WE]:' <<<\"$said\" >&2 || true)"
    )


def _package(name: str, row: Sequence[str] | None) -> Package:
    if row is None:
        return Package(name)
    state, version = row[0].ljust(3), row[2]
    installed = state[1] == "i" and state[2] == " "
    return Package(
        name, version if installed else "", held=state[0] == "h", broken=state[1] in "UFHW" or state[2] == "R"
    )


def _offered(lines: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`apt-cache policy`: a name, its candidate, then a table of versions, each with its origins below."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if heading := re.fullmatch(r"(\S+):", line):
            name = heading[1]
            found[name] = []
        elif name and (version := re.fullmatch(r" (?:\*\*\*|   ) (\S+) -?\d+", line)):
            found[name].append(version[1])
    return tuple((name, tuple(versions)) for name, versions in found.items())
