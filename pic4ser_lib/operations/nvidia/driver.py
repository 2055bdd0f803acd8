"""The driver: it answers, for as many GPUs as the site says; if not, what to do about it.

Nothing here installs a driver: which one fits depends on the GPU, on Secure Boot and on what else runs on the
machine, and it takes a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.look import Finding, Look
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Shell

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

_FIELDS = "index,name,uuid,driver_version,memory.total"
_ASK = f"""
pci=0
for vendor in /sys/bus/pci/devices/*/vendor; do
  [ "$(cat "$vendor" 2>/dev/null)" = 0x10de ] || continue
  case $(cat "${{vendor%vendor}}class") in 0x03*) pci=$((pci + 1)) ;; esac
done
echo "@pci: $pci"
if [ -d /sys/module/nouveau ]; then echo "@nouveau: $(ls -d /sys/bus/pci/drivers/nouveau/0* 2>/dev/null | wc -l)"; fi
if [ -e /sys/module/nvidia/version ]; then echo "@module: $(cat /sys/module/nvidia/version)"; fi
echo "@system: $(. /etc/os-release; echo "$ID")"
echo "@kernel: $(uname -r)"
if ! command -v nvidia-smi >/dev/null; then echo "@smi: absent"; exit 0; fi
said=$(timeout 30 nvidia-smi --query-gpu={_FIELDS} --format=csv,noheader 2>&1); echo "@smi: $?"
printf '%s\\n' "$said" | head -n 64 | sed 's/^/| /'
"""
_LATE = "124"


@dataclass(frozen=True)
class Gpu:
    """One GPU, as the driver names it."""

    index: str
    model: str
    uuid: str
    driver: str
    memory: str


@dataclass(frozen=True)
class Driver:
    """What the driver says (`smi`: its tool's exit code, or absent), and what else there is to see of it."""

    smi: str
    said: str
    gpus: tuple[Gpu, ...]
    on_pci: int
    nouveau: int | None
    module: str
    system: str
    kernel: str

    @property
    def note(self) -> str:
        """Model and memory of each GPU, and the driver's version."""
        models = ", ".join(f"{gpu.model} {gpu.memory}" for gpu in self.gpus)
        return f"driver {self.gpus[0].driver}: {models}" if self.gpus else ""

    def __str__(self) -> str:
        if self.smi == "absent":
            return "no nvidia-smi"
        if self.smi != "0":
            return f"nvidia-smi ended with {self.smi}: {self.said}"
        return f"{len(self.gpus)} GPU{'' if len(self.gpus) == 1 else 's'}"


@dataclass(frozen=True)
class DriverPresent(Look):
    """NVIDIA's driver answers with as many GPUs as the site says."""

    gpus: int
    name: str = "nvidia.driver_present"
    wanted: str = "NVIDIA's driver sees as many GPUs as the site says"

    def probe(self) -> Shell:
        """The GPUs on the bus, the kernel's drivers for them, and what nvidia-smi says."""
        return Shell(_ASK)

    def parse(self, raw: str) -> Driver:
        """One row a GPU."""
        v = marked(raw)
        lines = [line[2:].strip() for line in raw.splitlines() if line.startswith("| ")]
        rows = [[cell.strip() for cell in line.split(",")] for line in lines]
        answered = v.get("smi") == "0"
        return Driver(
            smi=v.get("smi", "absent"),
            said="" if answered else " ".join(lines)[:300],
            gpus=tuple(Gpu(*row) for row in rows if len(row) == 5) if answered else (),
            on_pci=int(v.get("pci", 0)),
            nouveau=int(v["nouveau"]) if "nouveau" in v else None,
            module=v.get("module", ""),
            system=v.get("system", ""),
            kernel=v.get("kernel", ""),
        )

    def findings(self, seen: Driver) -> list[Finding]:
        """No driver, one that does not answer, or another number of GPUs."""
        if seen.smi == "0":
            return self._counted(seen)
        return [self._silent(seen)]

    def _silent(self, seen: Driver) -> Finding:
        if seen.nouveau:
            return Finding(f"the driver Nouveau holds {seen.nouveau} GPU(s)", _NOUVEAU)
        if seen.smi == "absent":
            return Finding("there is no NVIDIA driver (no nvidia-smi)", _INSTALL.get(seen.system, _INSTALL["debian"]))
        if seen.smi == _LATE:
            return Finding("nvidia-smi does not answer within 30 s", _HANGS)
        if "mismatch" in seen.said:
            return Finding(f"nvidia-smi: {seen.said}", _MISMATCH)
        if not seen.module:
            return Finding(f"the kernel has no module nvidia ({seen.said or f'exit code {seen.smi}'})",
                           _NO_MODULE.format(kernel=seen.kernel))  # fmt: skip
        return Finding(f"nvidia-smi ended with {seen.smi}: {seen.said}", _HANGS)

    def _counted(self, seen: Driver) -> list[Finding]:
        if len(seen.gpus) == self.gpus:
            return []
        lost = f", of {seen.on_pci} on the PCI bus" if seen.on_pci > len(seen.gpus) else ""
        return [Finding(f"{seen}{lost}, where the site says {self.gpus}", _OTHER_COUNT)]


def driver_present(node: Node) -> DriverPresent:
    """NVIDIA's driver sees as many GPUs on this node as the site says."""
    return DriverPresent(node.gpus)


_REBOOT = "reboot (drain the node first if it has pods), and run this cell again."
_NOUVEAU = (
    "Install NVIDIA's driver, keep Nouveau away (`blacklist nouveau` and `options nouveau modeset=0` in "
    f"/etc/modprobe.d/nouveau-off.conf, then update-initramfs -u), {_REBOOT}"
)
_INSTALL = {
    "ubuntu": f"Install it: `ubuntu-drivers install --gpgpu`, and nvidia-utils of the same series; {_REBOOT}",
    "debian": f"Install it: packages linux-headers-amd64 and nvidia-driver from the component non-free; {_REBOOT}",
}
_MISMATCH = f"The driver was upgraded and the old one is still in the kernel: {_REBOOT}"
_NO_MODULE = (
    "Is it built for kernel {kernel} (`dkms status`), and signed if Secure Boot is on (`mokutil --sb-state`)? Then "
    "`modprobe nvidia` says what is wrong."
)
_HANGS = f"Look for NVRM and Xid in `dmesg`: a GPU may have fallen off its bus. Then {_REBOOT}"
_OTHER_COUNT = (
    "If a GPU is missing, look for NVRM and Xid in `dmesg`; if not, correct gpus in nodes/ of the site's folder."
)
