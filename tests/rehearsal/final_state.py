"""A site's final state as two runs can be compared by it: what must be equal, without what differs by its nature.

Left out: certificates, keys and tokens, uids and times, names that controllers make up, addresses that are handed out
in the order in which somebody asks.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from lab_outside import ADDRESSES, HOME, on

ETCD = "/etc/kubernetes/manifests/etcd.yaml"
PLACES = "/etc /usr/local /root/.kube /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env"
_OWN_TO_A_MACHINE = re.compile(
    r"/etc/(kubernetes/(pki/.*|.*\.conf)|ssh/.*|machine-id|ld\.so\.cache|mtab|\.pwd\.lock|.*-$|ssl/.*|alternatives/.*)"
    r"|/root/\.kube/.*"
)
# Objects that controllers make from others, or that say what happens at the moment.
_MADE = {
    "certificatesigningrequests", "controllerrevisions", "endpoints", "endpointslices", "events", "leases", "nodes",
    "nodefeatures", "pods", "replicasets", "persistentvolumes", "volumeattachments", "ipaddresses", "jobs",
}  # fmt: skip
# rulefiles: the operator names each file by its rule's uid.
_GENERATED = re.compile(
    r"rulefiles-|bootstrap-token-|-token-|kubeadm-certs|sh\.helm\.release|webhook|tls|admission|password"
)
_HANDED_OUT = {
    "caBundle", "clusterIP", "clusterIPs", "creationTimestamp", "generation", "nodePort", "managedFields",
    "resourceVersion", "selfLink", "uid", "volumeName", "healthCheckNodePort", "ownerReferences", "finalizers",
}  # fmt: skip


def files(node: str) -> dict[str, str]:
    """SHA-256 of every file that a run leaves on a node, by its path."""
    listed = on(node, f"sudo find {PLACES} -type f -print0 2>/dev/null | sudo xargs -0 sha256sum", timeout=120)
    found = {path: digest for digest, path in (line.split("  ", 1) for line in listed.splitlines())}
    if ETCD in found:
        found[ETCD] = hashlib.sha256(in_order(on(node, f"sudo cat {ETCD}")).encode()).hexdigest()
    return {path: digest for path, digest in found.items() if not _OWN_TO_A_MACHINE.fullmatch(path)}


def in_order(manifest: str) -> str:
    """etcd's manifest with its members by name: kubeadm lists them by their ids, which have the time in them."""
    return re.sub(
        r"(--initial-cluster=)(\S+)", lambda found: found[1] + ",".join(sorted(found[2].split(","))), manifest
    )


def objects() -> dict[str, str]:
    """What every object of the cluster wants, by its kind and name."""
    from kubernetes import client, config, dynamic

    config.load_kube_config(str(HOME / "kubeconfig"))
    found = {}
    with client.ApiClient() as api:
        for resource in dynamic.DynamicClient(api).resources.search():
            name = resource.name or ""
            if "list" not in (resource.verbs or ()) or resource.kind.endswith("List") or "/" in name or name in _MADE:
                continue
            for obj in resource.get().to_dict().get("items") or []:
                found.update(_wanted(resource, obj))
    return found


def whole() -> dict[str, str]:
    """All of it: files by node, objects by name."""
    on_nodes = {f"{node}:{path}": digest for node in ADDRESSES for path, digest in files(node).items()}
    return on_nodes | objects()


def _wanted(resource: Any, obj: dict[str, Any]) -> dict[str, str]:
    meta = obj["metadata"]
    if _GENERATED.search(meta["name"]) or resource.name == "secrets":
        return {}
    data = {key: value for key, value in obj.items() if key != "status"}
    if resource.name == "configmaps":
        data["data"] = {k: v for k, v in (obj.get("data") or {}).items() if "CERTIFICATE" not in str(v)}
        data["data"].pop("kubeconfig", None)
        data["data"].pop("jws-kubeconfig", None)
    data["metadata"] = {key: meta[key] for key in ("name", "namespace", "labels") if meta.get(key)}
    name = f"{resource.group_version} {resource.kind} {meta.get('namespace', '')}/{meta['name']}"
    return {name: json.dumps(_without(data), sort_keys=True, default=str)}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in _HANDED_OUT and "jws-" not in k}
    return [_without(item) for item in value] if isinstance(value, list) else value
