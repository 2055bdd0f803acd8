"""Swap: off now, and not back after a reboot (document: Setup nodes, "Turn off swap").

Swap comes back by three ways: a line of /etc/fstab, a systemd unit (written by hand, or made at boot from a swap
partition's type or by the zram generator), or a service that makes swap in compressed memory or in a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from pic4ser_lib.operations import files
from pic4ser_lib.operations.services import at_boot
from pic4ser_lib.steps import Action, Refused, Run, Shell, Step

FSTAB = "/etc/fstab"
SERVICES = ("zramswap.service", "zram-config.service", "dphys-swapfile.service")
"""Services that make swap at boot: Debian's zram-tools, Ubuntu's zram-config, the swap file of small boards."""
AT_REST = ("masked", "masked-runtime", "disabled", "")
"""States of a unit file in which it does not start at boot."""


@dataclass(frozen=True)
class Swap:
    """One active swap area."""

    path: str
    size_bytes: int
    used_bytes: int

    def __str__(self) -> str:
        return f"{self.path} ({_size(self.size_bytes)})"


@dataclass(frozen=True)
class Swaps:
    """All active swap, and the memory that is there to take in what lies in it."""

    active: tuple[Swap, ...]
    available_bytes: int

    def __str__(self) -> str:
        return ", ".join(map(str, self.active)) or "no active swap"


@dataclass(frozen=True)
class Off(Step):
    """No swap is active now."""

    name = "swap.off"
    wanted = "no swap is active"

    def probe(self) -> Shell:
        """The kernel's own list; a kernel without swap has none."""
        return Shell("cat /proc/swaps 2>/dev/null || true; grep ^MemAvailable: /proc/meminfo || true")

    def parse(self, raw: str) -> Swaps:
        """One line an area: Filename Type Size Used Priority, in kB."""
        rows = [line.split() for line in raw.splitlines()]
        areas = [row for row in rows if len(row) == 5 and row[2].isdigit()]
        active = tuple(Swap(_path(path), int(size) * 1024, int(used) * 1024) for path, _, size, used, _ in areas)
        available = next((int(r[1]) * 1024 for r in rows if r[:1] == ["MemAvailable:"]), 0)
        return Swaps(active, available)

    def actions(self, seen: Swaps) -> list[Action]:
        """`swapoff -a`, unless memory could not take in what is swapped out."""
        used = sum(swap.used_bytes for swap in seen.active)
        if used and used > seen.available_bytes:
            raise Refused(
                self.wanted,
                f"{_size(used)} swapped out and {_size(seen.available_bytes)} of memory available",
                "Stop what uses the memory (ps aux --sort=-rss), then run this again.",
            )
        return [Run("swapoff -a")] if seen.active else []


@dataclass(frozen=True)
class Fstab:
    """/etc/fstab, if there is one."""

    file: files.File | None

    @property
    def swap_lines(self) -> tuple[str, ...]:
        """The lines that bring swap at boot."""
        return tuple(line.strip() for line in _lines(self) if _without_swap(line) != line)

    def __str__(self) -> str:
        return "; ".join(self.swap_lines) or "no line for swap"


@dataclass(frozen=True)
class RemovedFromFstab(Step):
    """No line of /etc/fstab brings swap back at boot; such lines stay as comments, as in the document."""

    name = "swap.removed_from_fstab"
    wanted = "no line of /etc/fstab brings swap back"

    def probe(self) -> Shell:
        """The file."""
        return Shell(files.show(FSTAB))

    def parse(self, raw: str) -> Fstab:
        """The file, or None."""
        return Fstab(files.shown(raw).get(FSTAB))

    def actions(self, seen: Fstab) -> list[Action]:
        """The file with the swap lines commented out."""
        if seen.file is None:
            return []
        return files.edited(FSTAB, seen.file, "".join(map(_without_swap, _lines(seen))))


@dataclass(frozen=True)
class Unit:
    """A unit that brings swap."""

    name: str
    fragment: str
    source: str
    state: str

    @property
    def comes_at_boot(self) -> bool:
        """It has a file of its own (not a line of fstab: that is another step's) and nobody put it to rest."""
        return bool(self.fragment) and self.source != FSTAB and self.state not in AT_REST


@dataclass(frozen=True)
class Units:
    """All units that bring swap."""

    units: tuple[Unit, ...]

    @property
    def at_boot(self) -> tuple[Unit, ...]:
        """Those that would bring it at the next boot."""
        return tuple(unit for unit in self.units if unit.comes_at_boot)

    def __str__(self) -> str:
        return ", ".join(f"{unit.name} ({unit.state})" for unit in self.at_boot) or "no unit for swap"


@dataclass(frozen=True)
class UnitsMasked(Step):
    """No systemd unit brings swap at boot, neither a .swap unit nor a service for zram or a swap file."""

    name = "swap.units_masked"
    wanted = "no systemd unit brings swap at boot"

    def probe(self) -> Shell:
        """Every .swap unit that systemd knows, and the services that make swap."""
        listed = "systemctl list-unit-files --type=swap --no-legend; systemctl list-units --all --type=swap --no-legend"
        show = "systemctl show -p Id -p FragmentPath -p SourcePath -p UnitFileState --"
        return Shell(
            f"mapfile -t units < <({{ {listed}; }} 2>/dev/null | grep -o '[^ ]*\\.swap' | sort -u); "
            f'{show} "${{units[@]}}" {" ".join(SERVICES)}'
        )

    def parse(self, raw: str) -> Units:
        """Blocks of KEY=VALUE with an empty line between them."""
        blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in raw.strip().split("\n\n")]
        units = (
            Unit(b["Id"], b.get("FragmentPath", ""), b.get("SourcePath", ""), b.get("UnitFileState", ""))
            for b in blocks
            if b.get("Id")
        )
        return Units(tuple(sorted(set(units), key=lambda unit: unit.name)))

    def actions(self, seen: Units) -> list[Action]:
        """Mask what systemd or a package brings; disable what an administrator wrote (a mask cannot cover that)."""
        own = [unit for unit in seen.at_boot if unit.fragment.startswith("/etc/systemd/system/")]
        stuck = [unit for unit in own if unit.state != "enabled"]
        if stuck:
            where = ", ".join(unit.fragment for unit in stuck)
            remedy = f"Remove {where} by hand: it can neither be disabled nor masked."
            raise Refused(self.wanted, f"{where} ({stuck[0].state})", remedy)
        masked = [unit.name for unit in seen.at_boot if unit not in own]
        disable = [at_boot("disable", *(unit.name for unit in own))] if own else []
        return [*disable, *([at_boot("mask", *masked)] if masked else [])]


def off() -> Off:
    """No swap is active now."""
    return Off()


def removed_from_fstab() -> RemovedFromFstab:
    """No line of /etc/fstab brings swap back at boot."""
    return RemovedFromFstab()


def units_masked() -> UnitsMasked:
    """No systemd unit brings swap at boot."""
    return UnitsMasked()


def _lines(fstab: Fstab) -> list[str]:
    return fstab.file.content.splitlines(keepends=True) if fstab.file else []


def _without_swap(line: str) -> str:
    is_swap = line.split()[2:3] == ["swap"] and not line.lstrip().startswith("#")
    return f"# {line}" if is_swap else line


def _path(name: str) -> str:
    return name.replace("\\040", " ")


def _size(size_bytes: int) -> str:
    gigabytes = size_bytes / 1024**3
    return f"{gigabytes:.1f} GB".replace(".0 ", " ") if gigabytes >= 0.1 else f"{size_bytes / 1024**2:.0f} MB"
