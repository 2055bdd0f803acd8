"""Simulated GPUs of a node, as the files and devices that NVIDIA's driver would bring.

What cannot be faked is not there: no PCI device, no kernel module, no /proc/driver/nvidia (procfs is the kernel's).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.lab.identity import File
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.lab.pins import FILES

DRIVER = "/usr/lib/pic4ser-gpu"
LIST = f"{DRIVER}/gpus.csv"
CDI = "/etc/cdi/nvidia.yaml"
_SMI = "/usr/bin/nvidia-smi"
_UNIT = "/etc/systemd/system/pic4ser-gpus.service"
_SOURCES = FILES / "node-gpu"
_NAMESPACE = uuid.UUID("0b5ffb1c-7bb0-4f0a-9a3d-6b6f1f0c3a5e")  # a node's GPUs have the same UUIDs in every lab
_MODEL, _MEMORY_MIB, _DRIVER_VERSION = "NVIDIA Simulated GPU", 8192, "580.00"


@dataclass(frozen=True)
class Gpu:
    """One simulated GPU."""

    index: int
    uuid: str

    @property
    def device(self) -> str:
        """Its device node."""
        return f"/dev/nvidia{self.index}"

    @property
    def line(self) -> str:
        """What the stand-ins are told about it."""
        bus = f"00000000:{self.index + 1:02X}:00.0"
        return f"{self.index}, {self.uuid}, {bus}, {_MODEL}, {_MEMORY_MIB}, {_DRIVER_VERSION}\n"


def of(node: NodeSpec) -> tuple[Gpu, ...]:
    """The GPUs of this node, as many as the site says."""
    return tuple(Gpu(n, f"GPU-{uuid.uuid5(_NAMESPACE, f'{node.name}/{n}')}") for n in range(node.gpus))


def files(node: NodeSpec) -> tuple[File, ...]:
    """Devices at boot, nvidia-smi and the CDI specification; () for a node without GPUs."""
    gpus = of(node)
    if not gpus:
        return ()
    return (
        File(LIST, "".join(gpu.line for gpu in gpus)),
        File(f"{DRIVER}/devices", (_SOURCES / "pic4ser-gpus.sh").read_text(), mode=0o755),
        File(_SMI, (_SOURCES / "nvidia-smi.sh").read_text(), mode=0o755),
        File(CDI, json.dumps(cdi(gpus), indent=1) + "\n"),
        File(_UNIT, (_SOURCES / "pic4ser-gpus.service").read_text()),
        File("/etc/systemd/system/sysinit.target.wants/pic4ser-gpus.service", target=_UNIT),
    )


def cdi(gpus: tuple[Gpu, ...]) -> dict[str, Any]:
    """What a container runtime does for nvidia.com/gpu=0, =GPU-..., =all: devices, the driver's files, nvidia-smi."""
    names = {name: (gpu,) for gpu in gpus for name in (str(gpu.index), gpu.uuid)} | {"all": gpus}
    devices = [{"name": name, "containerEdits": {"deviceNodes": _nodes(*chosen)}} for name, chosen in names.items()]
    mounts = [
        {"hostPath": path, "containerPath": path, "options": ["ro", "nosuid", "nodev", "bind"]} for path in (LIST, _SMI)
    ]
    edits = {"deviceNodes": [{"path": "/dev/nvidiactl", "permissions": "rw"}], "mounts": mounts}
    return {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits}


def _nodes(*gpus: Gpu) -> list[dict[str, str]]:
    return [{"path": gpu.device, "permissions": "rw"} for gpu in gpus]
