"""systemd's services: enabled, and running with what their files say now."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pic4ser_lib.steps import Decision, Later, Refused, Restart, Run, Settling, Shell, Step

SLACK = 0.05
"""Seconds: the kernel stamps files by its tick, and process starts to a hundredth."""


def at_boot(verb: str, *units: str) -> Run:
    """`systemctl enable`, `disable` or `mask`, and what that links is on the disk: systemd leaves it to the kernel."""
    return Run(f"systemctl {verb} -- {' '.join(map(shlex.quote, units))} && sync -f /etc/systemd/system")


@dataclass(frozen=True)
class UnitFile:
    """How systemd sees a unit's file."""

    load: str
    state: str

    def __str__(self) -> str:
        return self.state or self.load


@dataclass(frozen=True)
class Enabled(Step):
    """A unit starts at boot."""

    unit: str

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the unit in it."""
        return f"services.enabled({self.unit})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the unit in it."""
        return f"{self.unit} starts at boot"

    def probe(self) -> Shell:
        """The unit file's state."""
        return Shell(f"systemctl show -p LoadState -p UnitFileState -- {shlex.quote(self.unit)}")

    def parse(self, raw: str) -> UnitFile:
        """Load state and unit file state."""
        values = _values(raw)
        return UnitFile(values.get("LoadState", ""), values.get("UnitFileState", ""))

    def actions(self, seen: UnitFile) -> Decision:
        """`systemctl enable`."""
        if seen.load == "not-found":
            return Later(f"the package with {self.unit}", "systemd does not know the unit")
        if seen.load == "masked" or seen.state.startswith("masked"):
            raise Refused(self.wanted, f"{self.unit} is masked", f"Somebody masked it: systemctl unmask {self.unit}")
        return [] if seen.state == "enabled" else [at_boot("enable", self.unit)]


@dataclass(frozen=True)
class Running:
    """A unit's state. Times in seconds since the epoch; `newest` is its most recently changed file."""

    load: str
    active: str
    sub: str
    needs_reload: bool
    started: float
    newest: str
    changed: float

    @property
    def stale(self) -> bool:
        """It started before its newest file changed. A file from the future (a clock set back) says nothing."""
        return self.started > 0 and self.changed > self.started + SLACK

    def __str__(self) -> str:
        if self.load != "loaded":
            return self.load or "unknown"
        if self.active != "active":
            return f"{self.active} ({self.sub})"
        old = f", started before {self.newest} changed" if self.stale else ""
        return f"running{old}{', its unit changed on disk' if self.needs_reload else ''}"


@dataclass(frozen=True)
class RunningCurrent(Step):
    """A unit is active and has read its files as they are: it started after their newest change."""

    unit: str
    files: tuple[str, ...] = ()
    settles_within = 30.0

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the unit in it."""
        return f"services.running_current({self.unit})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the unit in it."""
        return f"{self.unit} runs with its present configuration"

    def probe(self) -> Shell:
        """systemd's view, the start of its process, and the newest of its files (patterns allowed).

        The start comes from the process (hundredths of a second since boot), because systemd of Debian 12 and
        Ubuntu 22.04 prints whole seconds, and a file may be written in the second of a restart.
        """
        unit = shlex.quote(self.unit)
        service = shlex.quote(self.unit.removesuffix(".service") + ".service.d")
        # systemd does not notice a new folder of drop-ins until it reloads, so they are looked for here.
        drop_ins = " ".join(f"{base}/systemd/system/{service}/*.conf" for base in ("/etc", "/run", "/usr/lib"))
        shown = "-p LoadState -p ActiveState -p SubState -p NeedDaemonReload -p MainPID -p FragmentPath -p DropInPaths"
        return Shell(
            f'shopt -s nullglob; export LC_ALL=C; u=$(systemctl show {shown} -- {unit}); echo "$u"; '
            "pid=$(sed -n 's/^MainPID=//p' <<<\"$u\"); "
            "own=$(sed -n 's/^\\(FragmentPath\\|DropInPaths\\)=//p' <<<\"$u\"); "
            'now=$EPOCHREALTIME; read -r up _ </proc/uptime; echo "Now=$now"; echo "Up=$up"; '
            'if [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/stat" ]; then s=$(<"/proc/$pid/stat"); s=(${s##*) }); '
            'echo "Ticks=${s[19]}"; echo "Hertz=$(getconf CLK_TCK)"; fi; '
            f"for f in $own {drop_ins} {' '.join(self.files)}; do stat -Lc '%.3Z %n' \"$f\" 2>/dev/null; done "
            "| sort -n | tail -n 1 | sed 's/^/Newest=/'"
        )

    def parse(self, raw: str) -> Running:
        """Times made comparable."""
        values = _values(raw)
        now, up = float(values.get("Now", 0)), float(values.get("Up", 0))
        ticks, hertz = float(values.get("Ticks", 0)), float(values.get("Hertz", 100))
        changed, _, newest = values.get("Newest", "0 ").partition(" ")
        return Running(
            load=values.get("LoadState", ""),
            active=values.get("ActiveState", ""),
            sub=values.get("SubState", ""),
            needs_reload=values.get("NeedDaemonReload") == "yes",
            started=now - up + ticks / hertz if ticks else 0.0,
            newest=newest,
            changed=float(changed) if float(changed) <= now else 0.0,
        )

    def actions(self, seen: Running) -> Decision:
        """A restart if it is down or older than its files."""
        if seen.load == "not-found":
            return Later(f"the package with {self.unit}", "systemd does not know the unit")
        if seen.load == "masked":
            raise Refused(self.wanted, f"{self.unit} is masked", f"Somebody masked it: systemctl unmask {self.unit}")
        if seen.active == "active":
            why = self._why(seen)
            return [Restart(self.unit, why)] if why else []
        if seen.active in ("activating", "reloading", "deactivating") and not seen.stale:
            return Settling(f"{self.unit} is {seen}")
        return [Restart(self.unit, f"it is {seen}")]

    def _why(self, seen: Running) -> str:
        if seen.stale:
            return f"it started before {seen.newest} changed"
        return "its unit changed on disk" if seen.needs_reload else ""


def enabled(unit: str) -> Enabled:
    """A unit starts at boot."""
    return Enabled(unit)


def running_current(unit: str, files: Sequence[str] = ()) -> RunningCurrent:
    """A unit is active and started after the newest change of `files` (shell patterns) and of its unit files."""
    return RunningCurrent(unit, tuple(files))


def _values(raw: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in raw.splitlines() if "=" in line)
