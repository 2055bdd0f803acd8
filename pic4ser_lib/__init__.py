"""What a notebook imports, and nothing else: `bind`, the operations, telemetry and training by their names.

    from pic4ser_lib import bind, kernel, swap

Each is loaded when it is first asked for, so that importing the library costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pic4ser_lib import telemetry, training
    from pic4ser_lib.binding import bind
    from pic4ser_lib.operations import (
        charts,
        containerd,
        flannel,
        kernel,
        kubeadm,
        monitoring,
        nvidia,
        packages,
        preflight,
        services,
        storage,
        swap,
        taints,
        training_operator,
    )

_MODULES = {
    "charts": "pic4ser_lib.operations.charts",
    "containerd": "pic4ser_lib.operations.containerd",
    "flannel": "pic4ser_lib.operations.flannel",
    "kernel": "pic4ser_lib.operations.kernel",
    "kubeadm": "pic4ser_lib.operations.kubeadm",
    "monitoring": "pic4ser_lib.operations.monitoring",
    "nvidia": "pic4ser_lib.operations.nvidia",
    "packages": "pic4ser_lib.operations.packages",
    "preflight": "pic4ser_lib.operations.preflight",
    "services": "pic4ser_lib.operations.services",
    "storage": "pic4ser_lib.operations.storage",
    "swap": "pic4ser_lib.operations.swap",
    "taints": "pic4ser_lib.operations.taints",
    "telemetry": "pic4ser_lib.telemetry",
    "training": "pic4ser_lib.training",
    "training_operator": "pic4ser_lib.operations.training_operator",
}

__all__ = [
    "bind",
    "charts",
    "containerd",
    "flannel",
    "kernel",
    "kubeadm",
    "monitoring",
    "nvidia",
    "packages",
    "preflight",
    "services",
    "storage",
    "swap",
    "taints",
    "telemetry",
    "training",
    "training_operator",
]


def __getattr__(name: str) -> Any:
    if name == "bind":
        return importlib.import_module("pic4ser_lib.binding").bind
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'pic4ser_lib' has no attribute {name!r}")
