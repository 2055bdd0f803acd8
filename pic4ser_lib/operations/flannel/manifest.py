"""Network plugin: flannel's manifest as its authors publish it, with the site's pod range, until it runs everywhere.

The manifest is fetched on the first control plane (the nodes reach the site's sources, the operator's machine need
not), compared with its pinned checksum, and applied server-side.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations.kubectl import ADMIN, KUBECTL
from pic4ser_lib.steps import Apply, Decision, Later, Read, Refused, Settling, Shell, Step, object_name

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

NAMESPACE, DAEMON_SET = "kube-flannel", "kube-flannel-ds"
# flannel reads its configuration when it starts: with this on its pods, a changed configuration rolls them.
STAMP = "pic4ser/net-conf-sha256"
_FETCH = """
f=$(mktemp) && trap 'rm -f "$f" "$f.error"' EXIT
if ! command -v curl >/dev/null; then echo "@no curl"; exit 0; fi
if ! curl -fsSL --connect-timeout 10 --max-time 60 -o "$f" URL 2>"$f.error"; then
  echo "@failed: $(tr '\\n' ' ' <"$f.error")"; exit 0
fi
echo "@sha256: $(sha256sum <"$f" | cut -d ' ' -f 1)"
if [ -e ADMIN ]; then
  echo "@live:"
  KUBECTL get -f "$f" --ignore-not-found -o json || exit 1
fi
echo "@manifest:"
cat "$f"
""".replace("ADMIN", ADMIN).replace("KUBECTL", KUBECTL)


@dataclass(frozen=True)
class Fetched:
    """The manifest as it was fetched, and the objects that the cluster has of it; None: there is no cluster yet."""

    sha256: str
    manifest: str
    live: tuple[dict[str, Any], ...] | None
    failed: str = ""

    def __str__(self) -> str:
        if self.failed:
            return self.failed
        if not self.live:
            return "no flannel"
        return "flannel " + ", ".join(sorted({image.rpartition(":")[2] for image in _images(self.live)}))


@dataclass(frozen=True)
class Applied(Step):
    """The cluster holds flannel's pinned manifest with the site's pod range."""

    url: str
    sha256: str
    pod_cidr: str
    mtu: int | None
    first: str
    name: str = "flannel.applied"
    wanted: str = "the cluster holds flannel's pinned manifest with the site's pod range"

    def probe(self) -> Shell:
        """Fetched by the first control plane, with what the cluster has of it."""
        return Shell(_FETCH.replace("URL", shlex.quote(self.url)), on=self.first)

    def parse(self, raw: str) -> Fetched:
        """Three parts: a checksum or an error, the cluster's objects as JSON, the manifest as it came."""
        head, _, manifest = raw.partition("@manifest:\n")
        first, _, live = head.partition("@live:\n")
        mark, _, value = first.strip().partition(": ")
        if mark != "@sha256":
            return Fetched("", "", None, failed=value or "no curl")
        return Fetched(value, manifest, _listed(live) if "@live:" in head else None)

    def actions(self, seen: Fetched) -> Decision:
        """Apply what differs; refuse what is not the pinned manifest."""
        if seen.failed == "no curl":
            return Later("curl", "notebook 01 installs it")
        if seen.failed:
            remedy = "Is the source up, and is its URL in cluster.yaml right?"
            raise Refused(f"{self.url} on {self.first}", seen.failed, remedy)
        if seen.sha256 != self.sha256:
            raise Refused(f"a manifest with checksum {self.sha256}", f"{seen.sha256} at {self.url}", _OTHER_BYTES)
        if seen.live is None:
            return Later("kubeadm.initialised", f"{self.first} has no cluster yet")
        wanted = self._objects(seen.manifest)
        live = {_identity(one): one for one in seen.live}
        different = [one for one in wanted if not covers(live.get(_identity(one)), one)]
        return [Apply(tuple(different))] if different else []

    def _objects(self, manifest: str) -> list[dict[str, Any]]:
        """The manifest's objects with the site's pod range (and MTU) in flannel's configuration."""
        import yaml

        objects = [one for one in yaml.safe_load_all(manifest) if one]
        conf = next(one for one in objects if one["kind"] == "ConfigMap" and "net-conf.json" in one.get("data", {}))
        net = json.loads(conf["data"]["net-conf.json"])
        net["Network"] = self.pod_cidr
        if self.mtu:
            net["Backend"]["MTU"] = self.mtu
        conf["data"]["net-conf.json"] = text = json.dumps(net, indent=2) + "\n"
        for one in objects:
            if one["kind"] == "DaemonSet":
                meta = one["spec"]["template"]["metadata"]
                stamp = hashlib.sha256(text.encode()).hexdigest()[:16]
                meta["annotations"] = {**meta.get("annotations", {}), STAMP: stamp}
        return objects


@dataclass(frozen=True)
class Rollout:
    """How far flannel's DaemonSet is: counts of pods, and for each pod that is not ready where it is and why."""

    wanted: int
    ready: int
    is_current: bool
    missing: tuple[str, ...]
    exists: bool = True

    def __str__(self) -> str:
        return f"flannel runs on {self.ready} of {self.wanted} nodes" if self.exists else "no flannel"


@dataclass(frozen=True)
class RolledOut(Step):
    """flannel runs on every node of the site."""

    nodes: int
    name: str = "flannel.rolled_out"
    wanted: str = "flannel runs on every node"
    settles_within: float = 180.0

    def probe(self) -> tuple[Read, Read, Read]:
        """The DaemonSet, its pods, and the nodes."""
        return (
            Read("apps/v1", "DaemonSet", DAEMON_SET, NAMESPACE),
            Read("v1", "Pod", namespace=NAMESPACE, labels="app=flannel"),
            Read("v1", "Node"),
        )

    def parse(self, raw: tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]]]) -> Rollout:
        """The DaemonSet's own counts; it must have seen its newest generation."""
        daemons, pods, nodes = raw
        if daemons is None:
            return Rollout(len(nodes), 0, False, (), exists=False)
        status = daemons.get("status", {})
        is_current = status.get("observedGeneration", 0) >= daemons["metadata"].get("generation", 0)
        updated = status.get("updatedNumberScheduled", 0) >= len(nodes)
        ready = min(status.get("numberReady", 0), status.get("desiredNumberScheduled", 0))
        return Rollout(len(nodes), ready, is_current and updated, tuple(_unready(pods, nodes)))

    def actions(self, seen: Rollout) -> Later | Settling | list[Any]:
        """Nothing but to wait, saying for which node and why."""
        if not seen.exists:
            return Later("flannel.applied", "there is no DaemonSet of flannel")
        if seen.wanted < self.nodes:
            return Later("kubeadm.joined", f"the cluster has {seen.wanted} of the site's {self.nodes} nodes")
        if seen.ready >= seen.wanted and seen.is_current and not seen.missing:
            return []
        return Settling("; ".join(seen.missing) or f"flannel's newest pods: {seen.ready} of {seen.wanted} are ready")


def applied(site: Site) -> Applied:
    """flannel as the site pins it, with the site's pod range and MTU."""
    manifest = site.sources.manifests["flannel"]
    return Applied(manifest.url, manifest.sha256, site.network.pod_cidr, site.network.mtu, site.first.name)


def rolled_out(site: Site) -> RolledOut:
    """flannel's newest pods are ready on every node of the cluster."""
    return RolledOut(len(site.nodes))


def covers(live: Any, wanted: Any) -> bool:
    """Whether each field of `wanted` has that value in `live`; what else the server filled in does not matter."""
    if wanted in ({}, [], None):
        return live in ({}, [], None) or isinstance(live, type(wanted))
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(covers(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)


def _unready(pods: Sequence[dict[str, Any]], nodes: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is missing, node by node."""
    by_node = {pod.get("spec", {}).get("nodeName"): pod for pod in pods}
    for name in sorted(node["metadata"]["name"] for node in nodes):
        pod = by_node.get(name)
        if pod is None:
            yield f"{name}: no pod of flannel yet"
        elif why := _why_not_ready(pod.get("status", {})):
            yield f"{name}: {why}"


def _why_not_ready(status: dict[str, Any]) -> str:
    if any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])):
        return ""
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if waiting := container.get("state", {}).get("waiting"):
            return ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    return f"pod {status.get('phase', 'Pending')}, not ready yet"


def _images(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for one in objects:
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            yield container["image"]


def _listed(text: str) -> tuple[dict[str, Any], ...]:
    found = json.loads(text) if text.strip() else {"items": []}
    return tuple(found["items"] if found.get("kind") == "List" or "items" in found else [found])


def _identity(obj: dict[str, Any]) -> str:
    return f"{obj['apiVersion']} {object_name(obj)}"


_OTHER_BYTES = (
    "Somebody changed what stands at this URL, or the pin is of another version. Read the manifest, and if it is the "
    "one you want, put its checksum into cluster.yaml."
)
