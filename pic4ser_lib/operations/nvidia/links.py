"""Names by which systemd knows NVIDIA's devices, so that a pod keeps its GPU whatever systemd reloads.

A container may open a device because its cgroup says so, and that cgroup belongs to systemd. systemd names devices by
/dev/char/MAJOR:MINOR; udev makes such links, but not for NVIDIA's devices, and without one the permission is set
behind systemd's back: the next daemon-reload takes the GPU from every running pod ("Unknown Error"). So the links are
made, now and at each boot before the kubelet starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from pic4ser_lib.operations import files
from pic4ser_lib.operations.services import at_boot
from pic4ser_lib.steps import Action, Decision, Later, Run, Shell, Step

SCRIPT = "/usr/local/lib/pic4ser/nvidia-links"
UNIT = "pic4ser-nvidia-links.service"
_UNIT_PATH = f"/etc/systemd/system/{UNIT}"
_DEVICES = "/dev/nvidia* /dev/nvidia-caps/*"

CONTENTS = {
    SCRIPT: f"""#!/bin/sh
# Links by which systemd knows NVIDIA's devices: without them a daemon-reload takes the GPUs from running pods.
mkdir -p /dev/char
for device in {_DEVICES}; do
  [ -c "$device" ] || continue
  link=/dev/char/$((0x$(stat -c %t "$device"))):$((0x$(stat -c %T "$device")))
  [ -e "$link" ] || ln -sf "$device" "$link"
done
""",
    _UNIT_PATH: f"""[Unit]
Description=Names by which systemd knows NVIDIA's devices
After=systemd-modules-load.service nvidia-persistenced.service
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
# The driver makes its devices when it is first used.
ExecStartPre=-/usr/bin/nvidia-modprobe -c 0 -u
ExecStartPre=-/usr/bin/nvidia-smi -L
ExecStart=/bin/sh {SCRIPT}

[Install]
WantedBy=multi-user.target
""",
}


@dataclass(frozen=True)
class Devices:
    """NVIDIA's devices with their numbers, those among them without a link, and our files."""

    linked: tuple[str, ...]
    missing: tuple[str, ...]
    enabled: bool
    files: tuple[tuple[str, files.File | None], ...]

    def __str__(self) -> str:
        count = len(self.linked) + len(self.missing)
        if not count:
            return "no NVIDIA device"
        return f"{len(self.linked)} of {count} devices have a link"


@dataclass(frozen=True)
class DevicesLinked(Step):
    """systemd knows NVIDIA's devices by name, now and after each boot."""

    name: str = "nvidia.devices_linked"
    wanted: str = "systemd knows NVIDIA's devices, so pods keep them through a daemon-reload"

    def probe(self) -> Shell:
        """Each device with its numbers and whether there is a link; our script and unit."""
        return Shell(
            f"""{files.show(*CONTENTS)}
for d in {_DEVICES}; do
  [ -c "$d" ] || continue
  n=$((0x$(stat -c %t "$d"))):$((0x$(stat -c %T "$d")))
  if [ -e "/dev/char/$n" ]; then echo "linked: $d $n"; else echo "missing: $d $n"; fi
done
echo "enabled: $(systemctl is-enabled {UNIT} 2>/dev/null)"
"""
        )

    def parse(self, raw: str) -> Devices:
        """By key."""
        rows = [line.partition(": ")[::2] for line in raw.splitlines()]
        found = files.shown(raw)
        return Devices(
            tuple(value for key, value in rows if key == "linked"),
            tuple(value for key, value in rows if key == "missing"),
            ("enabled", "enabled") in rows,
            tuple((path, found.get(path)) for path in CONTENTS),
        )

    def actions(self, seen: Devices) -> Decision:
        """Script and unit; the links by running the script, so that nothing has to be reloaded for them."""
        if not (seen.linked or seen.missing):
            return Later("nvidia.driver_present", "there is no /dev/nvidia0")
        actions: list[Action] = [one for path, file in seen.files for one in files.edited(path, file, CONTENTS[path])]
        if not seen.enabled:
            actions.append(at_boot("enable --no-reload", UNIT))
        if seen.missing:
            actions.append(Run(f"sh {SCRIPT}"))
        return actions


def devices_linked() -> DevicesLinked:
    """systemd knows NVIDIA's devices by name."""
    return DevicesLinked()
