"""Small pods for proofs: they want nothing of a node, run no longer than they must, and end at once."""

from __future__ import annotations

from typing import Any

_USER = 65534


def label(node: str) -> str:
    """A node's name as one DNS label, for the name of a pod."""
    return node.replace(".", "-").lower()


def pod(name: str, image: str, script: str) -> dict[str, Any]:
    """A pod that runs a shell script once, as nobody. The scheduler places it; `$NODE` says where it was placed."""
    container = {
        "name": "proof",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script.strip()],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def on_node(name: str, node: str, image: str, script: str) -> dict[str, Any]:
    """The same on a given node, whatever taints it has: not the scheduler but its kubelet is asked."""
    made = pod(name, image, script)
    made["spec"] |= {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
    return made
