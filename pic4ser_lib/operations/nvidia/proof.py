"""Pods that use a GPU: the document's vector addition on every node, and the canary that watches its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import pods
from pic4ser_lib.operations.nvidia.scheduling import RESOURCE
from pic4ser_lib.steps import Proof

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

PASSED = "Test PASSED"
LOST = "lost"
# Opens the pod's devices anew, again and again: a file that is open already would go on working after the permission
# has been taken away. The numbers rise, so that a reader of the log sees that it still looks.
_WATCH = """
turn=0
while [ $turn -lt TURNS ]; do
  turn=$((turn + 1)); opened=0; lost=
  for device in /dev/nvidia[0-9]*; do
    [ -c "$device" ] || continue
    if (exec 3<>"$device") 2>/dev/null; then opened=$((opened + 1)); else lost="$lost $device"; fi
  done
  if [ -n "$lost" ] || [ $opened = 0 ]; then echo "$turn LOST:${lost:- no device}"; else echo "$turn holds $opened"; fi
  sleep 0.2 2>/dev/null || sleep 1
done
"""


def vector_add_proof(site: Site) -> Proof:
    """The document's pod on each node with GPUs: two vectors are added on a GPU, and the sum is right."""
    names = [node.name for node in site.nodes if node.gpus]
    made = tuple(vector_add_pod(name, site.sources.images["vector-add"]) for name in names)
    return Proof(
        name="nvidia.vector_add_proof",
        wanted="on each node with GPUs a pod computes on one of them, and the result is right",
        pods=made,
        expects={pod["metadata"]["name"]: PASSED for pod in made},
        within=300.0,
    )


def vector_add_pod(node: str, image: str) -> dict[str, Any]:
    """The document's gpu-pod, for one node; the scheduler has to find a free GPU there."""
    return _gpu_pod(f"vector-add-{pods.label(node)}", node, {"name": "cuda-container", "image": image})


def canary_pod(node: str, image: str, *, gpus: int = 1, turns: int = 100_000) -> dict[str, Any]:
    """A pod that holds GPUs and says several times a second whether it can still open them.

    Its log says `<turn> holds <number>`, or `<turn> LOST: <devices>`. With `gpus=0` it holds none: what the canary is
    compared with.
    """
    script = _WATCH.strip().replace("TURNS", str(turns))
    container = {"name": "canary", "image": image, "command": ["/bin/sh", "-c", script]}
    return _gpu_pod(f"canary-{pods.label(node)}", node, container, gpus=gpus)


def _gpu_pod(name: str, node: str, container: dict[str, Any], *, gpus: int = 1) -> dict[str, Any]:
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    required = {"nodeSelectorTerms": [{"matchFields": fields}]}
    limits = {"resources": {"limits": {RESOURCE: gpus}}} if gpus else {}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "containers": [{**container, "imagePullPolicy": "IfNotPresent", **limits}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
