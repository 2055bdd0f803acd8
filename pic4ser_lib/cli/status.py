"""pic4ser status: the cluster as its API shows it now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from pic4ser_lib.cli.lab import LAB, lab_runs

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class NodeState:
    """One node of the site: what the cluster says of it. `state` is Ready, NotReady or "not in the cluster"."""

    name: str
    state: str
    role: str = ""
    version: str = ""
    gpus: int = 0

    def __str__(self) -> str:
        return f"{self.name:<12}  {self.state:<18}  {self.role:<13}  {self.version:<9}  {self.gpus} GPUs".rstrip()


@click.command(short_help="Show the cluster's nodes.")
@click.argument("site", default=LAB, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a node.")
def status(site: str, as_json: bool) -> int:
    """Show the nodes of a site's cluster; only reads.

    Example: pic4ser status parameters/lab
    """
    from pic4ser_lib.site import load

    loaded = load(site)
    if loaded.valid_on:
        lab_runs(loaded.path)
    states = seen(loaded)
    click.echo("\n".join(json.dumps(asdict(state)) if as_json else str(state) for state in states))
    return 0 if all(state.state == "Ready" for state in states) else 1


def seen(site: Site) -> tuple[NodeState, ...]:
    """Every node of the site, and those that the cluster has besides. Raises ClusterError without a cluster."""
    from pic4ser_lib.cluster import Cluster
    from pic4ser_lib.errors import ClusterError
    from pic4ser_lib.ports import state_folder
    from pic4ser_lib.steps import Read

    kubeconfig = state_folder(site.name) / "kubeconfig"
    if not kubeconfig.exists():
        reason = f"you have no kubeconfig of {site.name} yet"
        raise ClusterError(reason=reason, remedy="Run `pic4ser run` on it: notebook 02 makes one.")
    found = Cluster(kubeconfig, patience=site.patience).ask([Read("v1", "Node")])[0]
    return states([node.name for node in site.nodes], found if isinstance(found, list) else [])


def in_one_line(states: Sequence[NodeState]) -> str:
    """All of it in a line: `bonnie Ready, kitt Ready (v1.36.3)`."""
    versions = sorted({state.version for state in states if state.version})
    return ", ".join(f"{state.name} {state.state}" for state in states) + f" ({', '.join(versions)})"


def states(names: Sequence[str], nodes: Sequence[dict[str, Any]]) -> tuple[NodeState, ...]:
    """The nodes of these names, in their order, then any others: from the API's Node objects."""
    known = {node["metadata"]["name"]: _state(node) for node in nodes}
    listed = tuple(known.pop(name, NodeState(name, "not in the cluster")) for name in names)
    return (*listed, *known.values())


def _state(node: dict[str, Any]) -> NodeState:
    said = node.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in said.get("conditions", []))
    return NodeState(
        name=node["metadata"]["name"],
        state="Ready" if ready else "NotReady",
        role="control-plane" if _CONTROL_PLANE in node["metadata"].get("labels", {}) else "worker",
        version=said.get("nodeInfo", {}).get("kubeletVersion", ""),
        gpus=int(said.get("allocatable", {}).get("nvidia.com/gpu", 0)),
    )
