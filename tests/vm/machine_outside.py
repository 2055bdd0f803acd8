"""One virtual machine of the lab from outside the library: by ssh, /proc and ip, and by a signal that cuts power."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIC4SER = (sys.executable, "-c", "from pic4ser_lib.cli import main; main()")
STATE = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "pic4ser"
HOME = STATE / "lab"
NAME, ADDRESS = "vera", "10.83.17.40"
_PATIENCE = 300.0  # for a boot, emulated, on a machine that does other things too


def pic4ser(*words: str, timeout: float = 1800.0) -> subprocess.CompletedProcess[str]:
    """The command line as a person types it, with nobody there to be asked."""
    return subprocess.run(
        [*PIC4SER, *words], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout
    )


def site_of_one(folder: Path) -> Path:
    """The lab's own site with one node, a control plane with a GPU, and nothing else changed."""
    import yaml

    told = yaml.safe_load((ROOT / "parameters/lab/cluster.yaml").read_text("utf-8"))
    told |= {"control_planes": [NAME], "workers": [], "storage": {**told["storage"], "server": ADDRESS}}
    (folder / "nodes").mkdir(parents=True)
    (folder / "cluster.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    (folder / "nodes" / f"{NAME}.yaml").write_text(f"address: {ADDRESS}\ngpus: 1\n")
    return folder


def up(site: Path) -> Path:
    """The machine runs; returns the folder that was written for it. What it said is in the error."""
    done = pic4ser("lab", "up", str(site), "--nodes", "vm")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return STATE / "sites" / f"{site.name}-vm"


def down() -> subprocess.CompletedProcess[str]:
    """The lab is taken away."""
    return pic4ser("lab", "down")


def on(script: str, *, timeout: float = 120.0) -> str:
    """What a script printed on the machine, as root, over SSH with the host key checked."""
    done = _ssh(script, timeout)
    assert done.returncode == 0, f"{script}: {done.stderr}"
    return done.stdout.strip()


def qemu() -> list[int]:
    """The process ids of the lab's virtual machines, from their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0") if path.exists() else []
        if words[0].endswith(b"qemu-system-x86_64") and f"pic4ser-{NAME}".encode() in words:
            found.append(int(path.parent.name))
    return found


def cut_the_power() -> None:
    """Nothing in the machine gets to finish anything."""
    (pid,) = qemu()
    os.kill(pid, signal.SIGKILL)
    _until(lambda: not qemu(), "QEMU is gone")


def reboot() -> None:
    """As an administrator does it; returns when the machine has booted again and settled."""
    before = on("cat /proc/sys/kernel/random/boot_id")
    _ssh("systemctl reboot", 60)
    _until(lambda: _boot_id() not in ("", before), "it has booted again")
    on("systemctl is-system-running --wait || true", timeout=_PATIENCE)


def taps() -> list[str]:
    """The host's ends of virtual network cards of the lab."""
    return sorted(path.name for path in Path("/sys/class/net").glob("pic4ser*"))


def _boot_id() -> str:
    return _ssh("cat /proc/sys/kernel/random/boot_id", 20).stdout.strip()


def _ssh(script: str, timeout: float) -> subprocess.CompletedProcess[str]:
    trust = [f"UserKnownHostsFile={HOME / 'known_hosts'}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    options = [word for option in (*trust, "ConnectTimeout=10") for word in ("-o", option)]
    words = ["ssh", "-F", "none", "-i", str(HOME / "id_ed25519"), *options, f"pic4ser@{ADDRESS}", "sudo", "bash", "-s"]
    try:
        return subprocess.run(words, input=script, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 255, "", f"no answer within {timeout:.0f} s")


def _until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < end, f"waited {_PATIENCE:.0f} s until {what}"
        time.sleep(0.5)


def tools_are_missing() -> str:
    """What has to be installed before a virtual machine can run; "" when nothing has."""
    return ", ".join(name for name in ("qemu-system-x86_64", "qemu-img") if shutil.which(name) is None)
