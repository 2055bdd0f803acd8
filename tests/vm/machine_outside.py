"""Virtual machines of the lab from outside the library: by ssh, /proc, ip, and signals that cut the power or freeze."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIC4SER = (sys.executable, "-c", "from pic4ser_lib.cli import main; main()")
STATE = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "pic4ser"
HOME = STATE / "lab"
RELEASE = os.environ.get("PIC4SER_RELEASE", "bookworm")
"""Which Debian the machines are: `make soak` asks for both."""
_PATIENCE = 300.0  # for a boot, emulated, on a machine that does other things too
_REBOOT = 3600.0  # of a whole cluster: what does not end has 90 s, which pass more slowly there


@dataclass(frozen=True)
class Machine:
    """One virtual machine of the lab."""

    name: str
    address: str

    @property
    def tap(self) -> str:
        """The host's end of its network card."""
        return f"pic4ser{self.address.rpartition('.')[2]}"

    def on(self, script: str, *, timeout: float = 120.0) -> str:
        """What a script printed on the machine, as root, over SSH with the host key checked."""
        done = self._ssh(script, timeout)
        assert done.returncode == 0, f"{self.name}: {script}: {done.stderr}"
        return done.stdout.strip()

    def qemu(self) -> list[int]:
        """The process ids of this machine, from their command lines."""
        return qemu(f"pic4ser-{self.name}")

    def cut_the_power(self) -> None:
        """Nothing in the machine gets to finish anything."""
        self._signal(signal.SIGKILL)
        until(lambda: not self.qemu(), "QEMU is gone")

    def freeze(self) -> None:
        """The machine stands still: its network card is there, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if no time had passed."""
        self._signal(signal.SIGCONT)

    def boot_id(self) -> str:
        """Another one after each boot; "" while it does not answer."""
        return self._ssh("cat /proc/sys/kernel/random/boot_id", 60).stdout.strip()

    def reboot(self) -> None:
        """As an administrator does it; returns when the machine has booted again and settled."""
        before = self.boot_id()
        self._ssh("systemctl reboot", 60)
        until(lambda: self.boot_id() not in ("", before), f"{self.name} has booted again", seconds=_REBOOT)
        self.on("systemctl is-system-running --wait || true", timeout=_REBOOT)

    def _signal(self, number: signal.Signals) -> None:
        (pid,) = self.qemu()
        os.kill(pid, number)

    def _ssh(self, script: str, timeout: float) -> subprocess.CompletedProcess[str]:
        trust = [f"UserKnownHostsFile={HOME / 'known_hosts'}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        options = [word for option in (*trust, "ConnectTimeout=30") for word in ("-o", option)]
        login = f"pic4ser@{self.address}"
        words = ["ssh", "-F", "none", "-i", str(HOME / "id_ed25519"), *options, login, "sudo", "bash", "-s"]
        try:
            return subprocess.run(words, input=script, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 255, "", f"no answer within {timeout:.0f} s")


VERA = Machine("vera", "10.83.17.40")
"""The machine of a lab of one."""
THREE = (Machine("bonnie", "10.83.17.11"), Machine("kitt", "10.83.17.12"), Machine("rover", "10.83.17.13"))
"""Those of parameters/lab."""


def pic4ser(*words: str, timeout: float = 1800.0) -> subprocess.CompletedProcess[str]:
    """The command line as a person types it, with nobody there to be asked."""
    return subprocess.run(
        [*PIC4SER, *words], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout
    )


def site_of_one(folder: Path) -> Path:
    """The lab's own site with one node, a control plane with a GPU, and nothing else changed."""
    import yaml

    told = yaml.safe_load((ROOT / "parameters/lab/cluster.yaml").read_text("utf-8"))
    storage = {**told["storage"], "node": VERA.name, "server": VERA.address}
    told |= {"control_planes": [VERA.name], "workers": [], "storage": storage}
    (folder / "nodes").mkdir(parents=True)
    (folder / "cluster.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    (folder / "nodes" / f"{VERA.name}.yaml").write_text(f"address: {VERA.address}\ngpus: 1\n")
    return folder


def up(site: Path) -> Path:
    """The machines run; returns the folder that was written for them. What it said is in the error."""
    done = pic4ser("lab", "up", str(site), "--nodes", "vm", "--release", RELEASE)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return STATE / "sites" / f"{site.name}-vm"


def down() -> subprocess.CompletedProcess[str]:
    """The lab is taken away."""
    return pic4ser("lab", "down")


def qemu(name: str = "pic4ser-") -> list[int]:
    """The process ids of the lab's virtual machines whose names begin so, from their command lines."""
    every = _commands().items()
    return [pid for pid, words in every if is_qemu(words) and any(word.startswith(name) for word in words)]


def emulated() -> list[int]:
    """Those whose every instruction is translated."""
    return [pid for pid, words in _commands().items() if is_qemu(words) and "tcg,thread=multi" in words]


def is_qemu(words: Sequence[str]) -> bool:
    """Whether a process is a virtual machine, by its command line."""
    return words[0].endswith("qemu-system-x86_64")


def watchers() -> list[int]:
    """The process ids of what watches over emulated machines."""
    return [pid for pid, words in _commands().items() if "pic4ser_lib.lab.stale" in words]


def _commands() -> dict[int, list[str]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace").split("\0")
    return found


def reboot_all(machines: Iterable[Machine]) -> None:
    """All at once, as after a power failure that everybody saw coming."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(Machine.reboot, machines))


def taps() -> list[str]:
    """The host's ends of virtual network cards of the lab."""
    return sorted(path.name for path in Path("/sys/class/net").glob("pic4ser*"))


def until(done: Callable[[], bool], what: str, *, seconds: float = _PATIENCE) -> None:
    """Wait for something to come true; the deadline is only there so that a broken test ends."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds:.0f} s until {what}"
        time.sleep(0.5)


def tools_are_missing() -> str:
    """What has to be installed before a virtual machine can run; "" when nothing has."""
    return ", ".join(name for name in ("qemu-system-x86_64", "qemu-img") if shutil.which(name) is None)
