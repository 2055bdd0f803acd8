"""The folder of a lab's site, as far as the lab itself has to do with it: who its nodes are, and local.yaml.

local.yaml holds what differs from machine to machine. `lab up` writes it and `lab down` removes it, so a site whose
lab is not there cannot be loaded, and nobody sends anything to its addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import state
from pic4ser_lib.lab.nodes import (
    CONTAINER,
    FIRST_NODE_ADDRESS,
    KINDS,
    MIRROR,
    RELEASE,
    RELEASES,
    SUBNET,
    VIRTUAL,
    NodeSpec,
)
from pic4ser_lib.site.schema import Dilation

LOCAL = "local.yaml"
SIGNED = ("docker", "kubernetes", "nvidia")
# containerd 2.4 asks the shim of every container each second how much processor time it took, for nobody here: a
# quarter of all that an emulated control plane does which has nothing to do.
_SELDOM = ("containerd: {stats_collect_period: 30s}",)
"""The apt repositories that the mirror signs with the lab's own key."""
DEFAULT = Path("parameters/lab")
_REMEDY = "See parameters/lab for a folder that works, or make one from your own site with --like."


def found(folder: str | Path) -> Path:
    """The absolute path of a site's folder; a relative one is tried from here and from each parent."""
    asked = Path(folder)
    for base in (Path.cwd(), *Path.cwd().parents):
        if (base / asked / "cluster.yaml").is_file():
            return (base / asked).absolute()
    raise LabError(what=f"read the site {asked}", seen="no cluster.yaml there", remedy=_REMEDY)


def nodes_of(folder: Path) -> tuple[NodeSpec, ...]:
    """The nodes to boot, control planes first. Raises LabError when an address is not one of the lab's."""
    cluster = read(folder / "cluster.yaml")
    names = [*_names(cluster, "control_planes"), *_names(cluster, "workers")]
    nodes = tuple(_node(name, read(folder / "nodes" / f"{name}.yaml"), cluster.get("storage")) for name in names)
    if wrong := [f"{node.name} has {node.address or 'no address'}" for node in nodes if not _ours(node.address)]:
        seen = f"{', '.join(wrong)}; the lab's nodes live in {SUBNET} from {FIRST_NODE_ADDRESS} on"
        raise LabError(what=f"read the site {folder}", seen=seen, remedy=_REMEDY)
    if seen := _unfit(nodes):
        raise LabError(what=f"read the site {folder}", seen=seen, remedy=_REMEDY)
    return nodes


def write_local(
    folder: Path,
    *,
    key: Path,
    known_hosts: Path,
    fingerprint: str,
    interface: str = "",
    archives: Mapping[str, str] | None = None,
    online: bool = False,
    patience: int = 1,
    dilation: Dilation | None = None,
) -> Path:
    """Completes the site for this machine; a file that says the same already stays untouched.

    In an `online` lab, the stand-ins that upstream's charts and images have replaced are none. `patience` is how many
    times longer than usual a wait may take, `dilation` how slowly the nodes' time passes.
    """
    path = folder / LOCAL
    text = local(
        key=key,
        known_hosts=known_hosts,
        fingerprint=fingerprint,
        machine=machine_id(),
        interface=interface,
        archives=archives,
        stand_ins=left(read(folder / "cluster.yaml")) if online else None,
        patience=patience,
        dilation=dilation,
    )
    if not path.exists() or path.read_text() != text:
        state.write(path, text, mode=0o644)
    return path


def remove_local(folder: Path) -> None:
    """From now on this site is not complete: its lab is not there."""
    (folder / LOCAL).unlink(missing_ok=True)


def local(
    *,
    key: Path,
    known_hosts: Path,
    fingerprint: str,
    machine: str,
    interface: str = "",
    archives: Mapping[str, str] | None = None,
    stand_ins: Sequence[Any] | None = None,
    patience: int = 1,
    dilation: Dilation | None = None,
) -> str:
    """The text of local.yaml.

    `interface` is the host's end of the lab's network, gone when the lab is. `archives` is the sha256 of each of
    `sources.archives` as the mirror serves it: built here, and so not the same bytes on every machine. `stand_ins`
    goes in place of what cluster.yaml names.
    """
    sums = sorted((archives or {}).items())
    return "\n".join(
        (
            "# Written by `pic4ser lab up` and removed by `pic4ser lab down`: what differs from machine to machine.",
            f"valid_on: {json.dumps(machine)}",
            *([f"valid_while: {json.dumps(interface)}"] if interface else []),
            *([f"patience: {patience}", *_SELDOM] if patience != 1 else []),
            *([f"dilation: {dilation.model_dump_json()}"] if dilation else []),
            "ssh:",
            f"  key: {json.dumps(str(key))}",
            f"  known_hosts: {json.dumps(str(known_hosts))}",
            "sources:",
            "  apt:",
            *(f"    {name}: {{fingerprint: {json.dumps(fingerprint)}}}" for name in SIGNED),
            *(["  archives:"] if sums else []),
            *(f"    {name}: {{sha256: {json.dumps(checksum)}}}" for name, checksum in sums),
            *([] if stand_ins is None else ["stand_ins:" if stand_ins else "stand_ins: []"]),
            *(f"  - {json.dumps(stand_in)}" for stand_in in stand_ins or ()),
            "",
        )
    )


def left(cluster: Mapping[str, Any]) -> list[Any]:
    """The stand-ins that an online lab still has. One that does not say `online: true` stays named."""
    named = cluster.get("stand_ins")
    every = named if isinstance(named, list) else []
    return [each for each in every if not (isinstance(each, dict) and each.get("online") is True)]


def machine_id(paths: Iterable[Path] = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))) -> str:
    """This machine's own name for itself. Raises LabError when it has none."""
    for path in paths:
        if path.exists() and (known := path.read_text().strip()):
            return known
    seen = "/etc/machine-id is missing or empty"
    raise LabError(what="bind the lab to this machine", seen=seen, remedy="systemd-machine-id-setup")


def read(path: Path) -> dict[str, Any]:
    """What a file of the folder says; nothing if it is not a mapping. Raises LabError when it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        told = YAML(typ="safe", pure=True).load(path)
    except (OSError, YAMLError) as error:
        raise LabError(what=f"read {path}", seen=str(error), remedy=_REMEDY) from error
    return told if isinstance(told, dict) else {}


def _node(name: str, told: dict[str, Any], storage: Any) -> NodeSpec:
    # A site without a storage.node has its NFS server already: whoever has the server's address plays it.
    address, gpus = str(told.get("address", "")), told.get("gpus", 0)
    serves = isinstance(storage, dict) and storage.get("server") == address and not storage.get("node")
    exports = str(storage.get("path", "")) if serves else ""
    kind, release = str(told.get("kind", CONTAINER)), str(told.get("release", RELEASE))
    gpus = gpus if isinstance(gpus, int) else 0
    return NodeSpec(name, address, gpus=gpus, exports=exports, kind=kind, release=release)


def _unfit(nodes: Sequence[NodeSpec]) -> str:
    if not nodes:
        return "no nodes"
    if any(node.container == MIRROR for node in nodes):
        return "a node has the name of the lab's mirror"
    if odd := [f"{node.name} is a {node.kind}" for node in nodes if node.kind not in KINDS]:
        return f"{', '.join(odd)}; kinds of nodes are {', '.join(KINDS)}"
    if odd := [f"{node.name} is of {node.release}" for node in nodes if node.release not in RELEASES]:
        return f"{', '.join(odd)}; releases of Debian are {', '.join(RELEASES)}"
    if odd := [node.name for node in nodes if node.kind != VIRTUAL and node.release != RELEASE]:
        return f"{odd[0]} is a container, and those are of {RELEASE} only: make it a virtual machine (kind: vm)"
    if unserved := [node.name for node in nodes if node.exports and node.kind == VIRTUAL]:
        return f"nobody sets up the NFS server on {unserved[0]}, a virtual machine: name it as storage.node"
    return "two nodes have the same address" if len({node.address for node in nodes}) < len(nodes) else ""


def _ours(address: str) -> bool:
    try:
        return IPv4Address(FIRST_NODE_ADDRESS) <= IPv4Address(address) < SUBNET.broadcast_address
    except AddressValueError:
        return False


def _names(cluster: dict[str, Any], key: str) -> list[str]:
    listed = cluster.get(key) or []
    return [str(name) for name in listed] if isinstance(listed, list) else []
