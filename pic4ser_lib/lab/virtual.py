"""A lab's site folder with virtual machines in it: the same nodes, without what only containers need.

Left out: the kubelet's, kubeadm's, kube-proxy's and containerd's settings for a shared kernel, and stand-ins of what a
kernel can do itself. The NFS server is not there already: notebook 06 sets it up on the node that the site names.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import sitefolder, state
from pic4ser_lib.lab.nodes import VIRTUAL, NodeSpec

FOR_CONTAINERS = ("kubelet", "kube_proxy", "kubeadm", "containerd")
"""Keys of cluster.yaml that parameters/lab says for containers only."""

_TITLE = ", on virtual machines"
_STAND_IN = {
    "name": "virtual machines on this machine's disk and clock, emulated where it has no KVM",
    "instead_of": "machines of their own",
    "does_not_prove": "that firmware, disks and network cards have their drivers, that clocks agree when each machine "
    "has its own, that a wire carries VXLAN at its MTU, or how long anything takes",
}


def virtual(site: str | Path, release: str = "") -> Path:
    """Writes the folder (anew, if it is there) and returns it; `lab up` boots it. Raises LabError.

    `release` is what Debian all nodes get, by code name; "" leaves each what its own file says.
    """
    source = sitefolder.found(site)
    nodes = sitefolder.nodes_of(source)
    folder = state.folder().parent / "sites" / f"{source.name.removesuffix('-vm')}-vm"
    head = f"# Made by `pic4ser lab up --nodes vm` from {json.dumps(str(source))}; written anew each time.\n"
    own = {node.name: sitefolder.read(source / "nodes" / f"{node.name}.yaml") for node in nodes}
    files = {"cluster.yaml": head + _yaml(cluster(sitefolder.read(source / "cluster.yaml"), nodes))}
    made = {"kind": VIRTUAL} | ({"release": release} if release else {})
    files |= {f"nodes/{name}.yaml": _yaml({**told, **made}) for name, told in own.items()}
    # All is read by now: the folder may be the very one that is written.
    shutil.rmtree(folder / "nodes", ignore_errors=True)
    for name, text in files.items():
        state.write(folder / name, text, mode=0o644)
    return folder


def cluster(told: Mapping[str, Any], nodes: tuple[NodeSpec, ...]) -> dict[str, Any]:
    """What cluster.yaml says when all nodes are virtual machines."""
    kept = {key: value for key, value in told.items() if key not in FOR_CONTAINERS}
    kept["title"] = f"{str(told.get('title', 'Rehearsal lab')).removesuffix(_TITLE)}{_TITLE}"
    # The machine with the server's address serves: kitt, as in the document.
    if serving := [node.name for node in nodes if node.exports]:
        kept["storage"] = {**told["storage"], "node": serving[0]}
    others = (each for each in told.get("stand_ins") or () if each != _STAND_IN and not _for_containers(each))
    kept["stand_ins"] = [_STAND_IN, *others]
    return kept


def _for_containers(stand_in: Any) -> bool:
    return isinstance(stand_in, dict) and stand_in.get("containers") is True


def _yaml(told: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 4096
    yaml.dump(dict(told), text)
    return text.getvalue()
