"""The proof of default storage: what a pod wrote on one node, pods on the other nodes read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import pods
from pic4ser_lib.steps import Proof

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

CLAIM = "claim"
_WRITE = 'echo "written on $NODE" >/claim/proof && sync && exec sleep 600'
# A client may remember for some seconds that a file was not there.
_READ = """
end=$(($(date +%s) + 90))
until [ -s /claim/proof ]; do
  [ $(date +%s) -lt $end ] || { echo "no file of the other node in the claim"; exit 1; }
  sleep 1
done
echo "read on $NODE:"; cat /claim/proof
"""


def claim_proof(site: Site) -> Proof:
    """A claim that names no class is bound; one pod writes into it, and pods on all other nodes read that."""
    image = site.sources.images["proof"]
    first, others = site.nodes[0].name, [node.name for node in site.nodes[1:]] or [site.nodes[0].name]
    writer = _with_claim(first, f"writer-{pods.label(first)}", image, _WRITE)
    written = {"exec": {"command": ["test", "-s", "/claim/proof"]}, "periodSeconds": 1}
    writer["spec"]["containers"][0]["readinessProbe"] = written
    readers = tuple(_with_claim(name, f"reader-{pods.label(name)}", image, _READ) for name in others)
    return Proof(
        name="storage.claim_proof",
        wanted="a claim is bound, and what one node writes into it the other nodes read",
        objects=(_claim(), writer),
        pods=readers,
        expects={reader["metadata"]["name"]: f"written on {first}" for reader in readers},
        within=180.0,
    )


def _claim() -> dict[str, Any]:
    # Without a storageClassName: the default class is what is to be shown.
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}


def _with_claim(node: str, name: str, image: str, script: str) -> dict[str, Any]:
    """A pod on a given node, placed by the scheduler: a class may wait for it before it binds the claim."""
    made = pods.pod(name, image, script)
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    made["spec"] |= {
        "affinity": {"nodeAffinity": required},
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "claim", "mountPath": "/claim"}]
    return made
