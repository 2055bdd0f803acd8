"""Nodes that are virtual machines: a kernel of their own, and a disk that survives whatever happens to them.

A node's folder:
    disk.qcow2     what differs from the image's disk
    initrd         the image's, with the node's identity appended: its first boot writes that onto the disk
    connect.sh     puts the tap device of its network card on the lab's bridge; the device goes when QEMU ends
    vm.json        what it was made from, written last
    console.log, qmp, pid
    freed.log      when it was freed from a stale translation, if it is emulated
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

from pic4ser_lib.errors import DeadlinePassed, LabError
from pic4ser_lib.lab import dilation, identity, initrd, network, processes, qemu, stale, state
from pic4ser_lib.lab.nodes import GUEST_CPUS, GUEST_MEMORY_BYTES, MIRROR_ADDRESS, SUBNET, USER, Machine, NodeSpec, until
from pic4ser_lib.lab.podman import mac
from pic4ser_lib.lab.vmimage import DISK, INITRD, KERNEL
from pic4ser_lib.site.schema import Dilation

Runs = Callable[..., subprocess.CompletedProcess[str]]
_STOP_SECONDS = 90.0
_NICE = 5  # a third of the time of what is not nice, where there is too little of it
_BOOT_SECONDS = 300.0
_COMMAND_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet"
# QEMU keeps translated code by its address: where each program starts at another one, everything is translated anew,
# and starting a program takes four times as long. Retpolines guard nothing there, and the HPET is a slow clock. Go's
# scheduler sleeps for 20 us at a time: on ticks, and with one thread for a service's Go code, a control plane that has
# nothing to do takes two thirds of what it takes otherwise. A timer that a busy host had late in the first moment is
# not taken for a broken one, whose interrupt then stays in service and keeps all devices' waiting.
_WHEN_EMULATED = (
    " norandmaps mitigations=off tsc=reliable no_timer_check highres=off nohz=off psi=0 systemd.setenv=GOMAXPROCS=1"
)


@dataclass(frozen=True)
class Guest:
    """What is known of one virtual machine: from /proc when it runs, else from its folder."""

    name: str
    lab: str
    config: str
    pid: int = 0

    @property
    def alive(self) -> bool:
        """Whether its QEMU ran when it was looked for."""
        return self.pid > 0


def guests(home: Path) -> dict[str, Guest]:
    """Every virtual machine of any lab that runs, and those of the lab at `home` that are off, by name."""
    off = {_name(file.parent): file.parent for file in (home / "nodes").glob("*/vm.json")}
    here = {name: Guest(name, str(home), _config(folder)) for name, folder in off.items()}
    return here | {name: _running(process) for name, process in qemu.running().items()}


def memory_bytes(guest: Guest) -> int:
    """What a running virtual machine takes from the host now."""
    return qemu.held_bytes(Path(f"/proc/{guest.pid}/status").read_text())


@dataclass(frozen=True)
class VirtualNode:
    """A node as a virtual machine. `folder` is its own on the host, `image` the artifact vm-image."""

    spec: NodeSpec
    image: Path
    folder: Path
    lab: str
    plain: identity.Plain
    accelerator: qemu.Accelerator
    dilation: Dilation | None = None
    memory: int = GUEST_MEMORY_BYTES

    @property
    def address(self) -> str:
        """Where sshd listens on port 22."""
        return self.spec.address

    @property
    def config(self) -> str:
        """Changes when the machine would have to be made anew to be what is asked for."""
        more = [(file.path, file.mode, str(file.content)) for file in self.plain.more]
        told = [str(self.image), self.address, self.lab, more]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    @property
    def boot_seconds(self) -> float:
        """An emulated one boots in half a minute on an idle machine."""
        return _BOOT_SECONDS

    @property
    def tap(self) -> str:
        """The host's end of its network card."""
        return f"pic4ser{self.address.rpartition('.')[2]}"

    @property
    def niceness(self) -> int:
        """Notebooks come before emulated machines, which are equals: of two etcd members both wait for the slower."""
        return _NICE if self.accelerator.emulated else 0

    def prepared(self, seen: Machine | None) -> bool:
        """Whether this machine was made to the end: a kill in between leaves half of one."""
        return isinstance(seen, Guest) and seen.config != ""

    def create(self) -> None:
        """A plain machine, off: an empty overlay, and its identity ready for the first boot."""
        qemu.kill([self.spec.container])
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        disk = self.folder / "disk.qcow2"
        _called("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.image / DISK, disk)
        files = identity.as_tar((*self.plain.files(), *_named(self.spec)))
        (self.folder / "initrd").write_bytes(initrd.appended((self.image / INITRD).read_bytes(), _PACKED, files))
        (self.folder / "initrd").chmod(0o600)  # the host key is in it
        told = {"config": self.config, "uuid": self.plain.product_uuid}
        state.write(self.folder / "vm.json", json.dumps(told))

    def start(self) -> None:
        """Powers the machine on; returns before it has booted."""
        if self.spec.container in qemu.running():
            return
        state.write(self.folder / "connect.sh", connecting(network.bridge(), self.address), mode=0o755)
        uuid = json.loads((self.folder / "vm.json").read_text())["uuid"]
        if self.dilation is None:
            _called(*self.command(uuid=uuid))
        else:
            second = dilation.whole_second(self.dilation)
            _called(*self.command(uuid=uuid, second=second), run=partial(dilation.run, self.dilation))
        if self.niceness and (process := qemu.running().get(self.spec.container)):
            processes.let_others_first(process.pid, self.niceness)
        if self.accelerator.emulated:
            stale.watch(self.folder)

    def stop(self) -> None:
        """Shuts the machine down as its init wants it; one that does not within 90 s loses its power."""
        if process := qemu.running().get(self.spec.container):
            with suppress(OSError, DeadlinePassed):
                qemu.press_power_button(process)
                until(self._runs, waiting_for=f"{self.spec.name} to shut down", seconds=_STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """Cuts the power: what the guest has not flushed to its disk is lost."""
        qemu.kill([self.spec.container])

    def connect(self) -> None:
        """Joins the running machine to the lab's bridge again, should that have been made anew under it."""
        _called("ip", "link", "set", self.tap, "master", network.bridge(), "up")

    def run(self, script: str, *, timeout: float) -> str:
        """What a bash script printed on the running machine, as root."""
        login = ["ssh", *state.ssh_options(Path(self.lab)), "-o", "BatchMode=yes", f"{USER}@{self.address}"]
        return _called(*login, f"sudo bash -c {quote(script)}", timeout=timeout)

    def command(self, *, uuid: str, second: str = "utc") -> list[str]:
        """The words that start it at that second of its time; "utc": at the host's."""
        _, card = mac(self.address)
        folder = self.folder
        line = _COMMAND_LINE + (_WHEN_EMULATED if self.accelerator.emulated else "")
        return [
            *("nice", "-n", str(self.niceness), qemu.PROGRAM),
            *("-name", self.spec.container, "-pidfile", f"{folder}/pid", "-daemonize"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", *self.accelerator.words),
            *("-m", f"{self.memory // 2**20}M", "-smp", str(GUEST_CPUS), "-uuid", uuid, "-rtc", f"base={second}"),
            *("-kernel", f"{self.image / KERNEL}", "-initrd", f"{folder}/initrd", "-append", line),
            *("-drive", f"file={folder}/disk.qcow2,format=qcow2,if=virtio,discard=unmap"),
            *("-netdev", f"tap,id=lab,ifname={self.tap},script={folder}/connect.sh,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=lab,mac={card}", "-device", "virtio-rng-pci"),
            *("-serial", f"file:{folder}/console.log", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
        ]

    def _runs(self) -> str:
        return "it still runs" if self.spec.container in qemu.running() else ""


_PACKED = "pic4ser-identity.tar"  # files/node-vm/identity.sh


def network_files(address: str) -> tuple[identity.File, ...]:
    """A fixed address, and a default route through the mirror, which forwards nothing."""
    _, card = mac(address)
    text = (
        f"[Match]\nMACAddress={card}\n\n"
        f"[Network]\nAddress={address}/{SUBNET.prefixlen}\nGateway={MIRROR_ADDRESS}\nIPv6AcceptRA=no\n"
    )
    return (identity.File("/etc/systemd/network/10-lab.network", text),)


def connecting(bridge: str, address: str) -> str:
    """The script that QEMU calls with the tap device that it has made.

    A bridge has the lowest hardware address among its ports, and would have another whenever a machine with that one
    starts or ends; other nodes then lose this host for as long as they remember the old one. So ours is high.
    """
    high = f"fe{mac(address)[1][2:]}"
    return f'#!/bin/sh\nset -e\nip link set "$1" address {high} up\nip link set "$1" master {bridge}\n'


def _named(node: NodeSpec) -> tuple[identity.File, ...]:
    return (identity.File("/etc/hostname", f"{node.name}\n"),)


def _running(process: qemu.Process) -> Guest:
    return Guest(process.name, str(process.folder.parent.parent), _config(process.folder), process.pid)


def _config(folder: Path) -> str:
    try:
        return str(json.loads((folder / "vm.json").read_text())["config"])
    except (OSError, ValueError, KeyError):
        return ""


def _name(folder: Path) -> str:
    return f"{qemu.PREFIX}{folder.name}"


def _called(*words: str | Path, timeout: float = 60.0, run: Runs = subprocess.run) -> str:
    shown = " ".join(map(str, words[:2]))
    try:
        done = run(list(map(str, words)), capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise LabError(what=shown, seen=f"no answer within {timeout:.0f} s") from error
    except OSError as error:
        raise LabError(what=shown, seen=str(error)) from error
    if done.returncode != 0:
        raise LabError(what=shown, seen=(done.stderr or done.stdout).strip()[-600:])
    return done.stdout
