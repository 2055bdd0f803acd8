"""NVIDIA integration: from the driver on each node to GPUs that Kubernetes hands out.

driver_present(node)       the driver sees as many GPUs as the site says
toolkit_pinned(site)       NVIDIA's container toolkit, at the site's version
default_runtime()          containerd starts containers by NVIDIA's runtime
containerd_current(node)   containerd has read that; a restart says first which pods run there
devices_linked()           systemd knows the devices by name, so running pods keep them
nodes_labelled(site)       the nodes that have GPUs say so
plugin_released(site)      the device plugin, by its chart
allocatable(site)          each node offers as many GPUs as the site says
vector_add_proof(site)     a pod on each such node computes on a GPU
"""

from pic4ser_lib.operations.nvidia.driver import driver_present
from pic4ser_lib.operations.nvidia.links import devices_linked
from pic4ser_lib.operations.nvidia.plugin import plugin_released
from pic4ser_lib.operations.nvidia.proof import canary_pod, vector_add_pod, vector_add_proof
from pic4ser_lib.operations.nvidia.runtime import containerd_current, default_runtime
from pic4ser_lib.operations.nvidia.scheduling import allocatable, nodes_labelled
from pic4ser_lib.operations.nvidia.toolkit import toolkit_held, toolkit_pinned

__all__ = [
    "allocatable",
    "canary_pod",
    "containerd_current",
    "default_runtime",
    "devices_linked",
    "driver_present",
    "nodes_labelled",
    "plugin_released",
    "toolkit_held",
    "toolkit_pinned",
    "vector_add_pod",
    "vector_add_proof",
]
