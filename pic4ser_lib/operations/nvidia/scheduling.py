"""GPUs that Kubernetes can hand out: the label that brings the device plugin there, and what each node offers.

The plugin's DaemonSet goes to nodes with one of three labels. The one that comes by itself needs node-feature-discovery
on the node, which does not tolerate the taint of a control plane; without a label there are 0 pods and no error. The
site knows where the GPUs are, so it says so by the label that is meant for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.workloads import Around, why_not_ready
from pic4ser_lib.steps import Decision, Later, Patch, Read, Settling, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

RESOURCE, LABEL = "nvidia.com/gpu", "nvidia.com/gpu.present"
NAMESPACE, PLUGIN = "nvidia-device-plugin", "app.kubernetes.io/name=nvidia-device-plugin"
CONTAINER = "nvidia-device-plugin-ctr"
_LINES = 4
# The last lines that the plugin wrote, on nodes that offer fewer GPUs than the site says: they usually name the cause.
_LOGS = """
[ -e /etc/kubernetes/admin.conf ] || exit 0
k="KUBECTL"
for pair in PAIRS; do
  node=${pair%=*}
  seen=$($k get node "$node" -o jsonpath='{.status.allocatable.nvidia\\.com/gpu}' 2>/dev/null)
  [ "${seen:-0}" -lt "${pair#*=}" ] || continue
  for pod in $($k -n NAMESPACE get pods -l LABELS --field-selector spec.nodeName="$node" -o name 2>/dev/null); do
    $k -n NAMESPACE logs "$pod" --tail=LINES --all-containers 2>/dev/null | sed "s/^/@$node: /" || true
  done
done
""".replace("KUBECTL", KUBECTL)


@dataclass(frozen=True)
class Labels:
    """The nodes of the cluster, and those among them that carry the label."""

    nodes: tuple[str, ...]
    labelled: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.labelled) or 'no node'} said to have GPUs"


@dataclass(frozen=True)
class NodesLabelled(Step):
    """The nodes with GPUs say so. A label that somebody put on another node is left there."""

    gpu_nodes: tuple[str, ...]
    name: str = "nvidia.nodes_labelled"
    wanted: str = "the nodes that have GPUs say so by a label"

    def probe(self) -> Read:
        """All nodes."""
        return Read("v1", "Node")

    def parse(self, raw: Sequence[dict[str, Any]]) -> Labels:
        """Names, and which of them have the label."""
        names = sorted(node["metadata"]["name"] for node in raw)
        labelled = {n["metadata"]["name"] for n in raw if n["metadata"].get("labels", {}).get(LABEL) == "true"}
        return Labels(tuple(names), tuple(sorted(labelled)))

    def actions(self, seen: Labels) -> Decision:
        """The label, where it is missing."""
        if missing := [name for name in self.gpu_nodes if name not in seen.nodes]:
            return Later("kubeadm.joined", f"{', '.join(missing)} not in the cluster")
        body = {"metadata": {"labels": {LABEL: "true"}}}
        return [Patch("v1", "Node", name, body) for name in self.gpu_nodes if name not in seen.labelled]


@dataclass(frozen=True)
class Offer:
    """What one node offers, and what speaks against more: the causes in the order in which one would look."""

    node: str
    wanted: int
    seen: int
    causes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.node}: {self.seen} of {self.wanted}" + (f" ({'; '.join(self.causes)})" if self.causes else "")


@dataclass(frozen=True)
class Offers:
    """All nodes with GPUs."""

    nodes: tuple[Offer, ...]
    plugin: bool

    def __str__(self) -> str:
        return ", ".join(f"{one.node}: {one.seen} of {one.wanted}" for one in self.nodes) or "no node has GPUs"


@dataclass(frozen=True)
class Allocatable(Step):
    """Kubernetes can hand out as many GPUs on each node as the site says."""

    gpus: tuple[tuple[str, int], ...]
    first: str
    name: str = "nvidia.allocatable"
    wanted: str = "each node offers as many GPUs as the site says"
    settles_within: float = 180.0

    def probe(self) -> tuple[Read, Read, Read, Shell]:
        """Nodes, the plugin's DaemonSets and pods, and its log where GPUs are missing."""
        pairs = " ".join(f"{node}={count}" for node, count in self.gpus)
        logs = _LOGS.replace("PAIRS", pairs).replace("NAMESPACE", NAMESPACE).replace("LABELS", PLUGIN)
        return (
            Read("v1", "Node"),
            Read("apps/v1", "DaemonSet", namespace=NAMESPACE, labels=PLUGIN),
            Read("v1", "Pod", namespace=NAMESPACE, labels=PLUGIN),
            Shell(logs.replace("LINES", str(_LINES)), on=self.first),
        )

    def parse(self, raw: tuple[Any, Any, Any, str]) -> Offers:
        """Wanted and seen for each node, with the causes where they differ."""
        nodes, daemons, pods, logs = raw
        by_name = {node["metadata"]["name"]: node for node in nodes}
        plugins = list(filter(_is_plugin, daemons))
        offers = (self._offer(by_name.get(name), name, count, plugins, pods, logs) for name, count in self.gpus)
        return Offers(tuple(offers), bool(plugins))

    def actions(self, seen: Offers) -> Decision:
        """Nothing but to wait, saying which node offers too few and why."""
        if all(one.seen == one.wanted for one in seen.nodes):
            return []
        if not seen.plugin:
            return Later("nvidia.plugin_released", "there is no device plugin")
        return Settling("; ".join(str(one) for one in seen.nodes if one.seen != one.wanted))

    def _offer(
        self, node: dict[str, Any] | None, name: str, count: int, plugins: list[Any], pods: list[Any], logs: str
    ) -> Offer:
        if node is None:
            return Offer(name, count, 0, ("not in the cluster",))
        seen = int(node["status"].get("allocatable", {}).get(RESOURCE, 0))
        if seen == count:
            return Offer(name, count, seen)
        if seen > count:
            return Offer(name, count, seen, ("more than the site says: correct gpus in its nodes/ folder",))
        said = [line.partition(": ")[2] for line in logs.splitlines() if line.startswith(f"@{name}: ")]
        return Offer(name, count, seen, tuple(_causes(node, plugins, pods, said)))


def nodes_labelled(site: Site) -> NodesLabelled:
    """The site's nodes with GPUs say so by a label, which brings device plugin and exporter there."""
    return NodesLabelled(tuple(node.name for node in site.nodes if node.gpus))


def allocatable(site: Site) -> Allocatable:
    """Each node offers as many GPUs as the site says."""
    return Allocatable(tuple((node.name, node.gpus) for node in site.nodes if node.gpus), site.first.name)


def _causes(node: dict[str, Any], plugins: list[Any], pods: list[Any], said: list[str]) -> list[str]:
    name, causes = node["metadata"]["name"], list[str]()
    if node["metadata"].get("labels", {}).get(LABEL) != "true":
        causes.append(f"it lacks the label {LABEL}=true")
    for taint in node.get("spec", {}).get("taints", []):
        if not any(_tolerated(taint, plugin) for plugin in plugins):
            causes.append(f"the plugin does not tolerate its taint {taint['key']}:{taint['effect']}")
    own = [pod for pod in pods if pod.get("spec", {}).get("nodeName") == name and _is_plugin(pod)]
    if not own and not causes:
        causes.append("no pod of the plugin is there yet")
    causes += [why for pod in own if (why := why_not_ready(pod, Around()))]
    if any("NVML" in line or ("auto" in line.lower() and "strategy" in line) for line in said):
        causes.append("the plugin sees no driver: is nvidia the default runtime there (nvidia.default_runtime)?")
    if said:
        causes.append(f"its log ends: {' | '.join(said)}"[:400])
    elif own and not any(why_not_ready(pod, Around()) for pod in own):
        causes.append("the plugin runs and has not told the kubelet of its GPUs yet")
    return causes


def _is_plugin(obj: dict[str, Any]) -> bool:
    """Whether a DaemonSet or pod is the plugin itself; its chart has more of both under the same labels."""
    spec = obj.get("spec", {})
    inner = spec.get("template", {}).get("spec", spec)
    return any(one.get("name") == CONTAINER for one in inner.get("containers", []))


def _tolerated(taint: dict[str, Any], daemons: dict[str, Any]) -> bool:
    # A DaemonSet's pods tolerate what Kubernetes itself puts on a node that is not ready or under pressure.
    if str(taint["key"]).startswith("node.kubernetes.io/") or taint["effect"] == "PreferNoSchedule":
        return True
    for one in daemons["spec"]["template"]["spec"].get("tolerations", []):
        same_effect = one.get("effect") in (None, "", taint["effect"])
        same_key = one.get("key") in (None, "", taint["key"])
        same_value = one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", "")
        if same_effect and same_key and same_value:
            return True
    return False
