"""What a whole run leaves on the lab's nodes and in its API, as final_state.txt has it: a name and a hash a line.

`python tests/rehearsal/final_state.py` writes that file from the lab as it is, after a run that nobody disturbed. It is
as committed as the notebooks' outputs, and as much a part of a change as they are.

Left out: what a package owns, certificates, keys and tokens, uids and times, names that controllers make up, addresses
that are handed out in the order in which somebody asks. Without a hash: what is built or signed on each machine anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_outside import ADDRESSES, HOME, on

COMMITTED = Path(__file__).with_name("final_state.txt")
ETCD = "/etc/kubernetes/manifests/etcd.yaml"
PLACES = "/etc /usr/local /root/.kube /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env"
_OWN_TO_A_MACHINE = re.compile(
    r"/etc/(kubernetes/(pki/.*|.*\.conf)|ssh/.*|machine-id|ld\.so\.cache|mtab|\.pwd\.lock|.*-$|ssl/.*|alternatives/.*)"
    r"|/root/\.kube/.*"
)
# Where the runbook writes, and what would be there as well if it had written half of something.
_OURS = re.compile(
    r"/etc/(apt/sources|cdi/|cni/|containerd/|exports|fstab|hosts$|kubernetes/|modules-load\.d/|sysctl\.d/)"
    r"|/var/lib/kubelet/"
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
    """SHA-256 of every file that is on a node and in no package, by its path; "-" for what is not the runbook's."""
    owned = "cat /var/lib/dpkg/info/*.list | sort -u"
    listed = on(
        node,
        f"sudo find {PLACES} -type f 2>/dev/null | sort | comm -23 - <({owned}) | sudo xargs -d '\\n' sha256sum",
        timeout=120,
    )
    found = {path: digest for digest, path in (line.split("  ", 1) for line in listed.splitlines())}
    if ETCD in found:
        found[ETCD] = _hash(in_order(on(node, f"sudo cat {ETCD}")))
    kept = {path: digest for path, digest in found.items() if not _OWN_TO_A_MACHINE.fullmatch(path)}
    return {path: digest if _OURS.match(path) else "-" for path, digest in kept.items()}


def in_order(manifest: str) -> str:
    """etcd's manifest with its members by name: kubeadm lists them by their ids, which have the time in them."""
    return re.sub(
        r"(--initial-cluster=)(\S+)", lambda found: found[1] + ",".join(sorted(found[2].split(","))), manifest
    )


def objects() -> dict[str, str]:
    """A hash of what every object of the cluster wants, by its kind and name."""
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
    """All of it, name to hash: `path on nodes`, and `version kind namespace/name`."""
    nodes_with = defaultdict(list)
    for node in ADDRESSES:
        for path, digest in files(node).items():
            nodes_with[path, digest].append(node)
    on_nodes = {f"{path} on {' '.join(nodes)}": digest for (path, digest), nodes in nodes_with.items()}
    return {name: digest[:12] for name, digest in (on_nodes | objects()).items()}


def committed() -> dict[str, str]:
    """What an undisturbed run has left, name to hash."""
    return {name: digest for digest, _, name in (line.partition("  ") for line in COMMITTED.read_text().splitlines())}


def written(state: Mapping[str, str]) -> str:
    """The text of final_state.txt."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(state.items()))


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
    return {name: _hash(json.dumps(_without(data), sort_keys=True, default=str))}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in _HANDED_OUT and "jws-" not in k}
    return [_without(item) for item in value] if isinstance(value, list) else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    COMMITTED.write_text(written(whole()))
