"""The lab's own network: a bridge without a way out, and the proof that nodes reach each other over it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import HOST_ADDRESS, NETWORK, SUBNET, NodeSpec
from pic4ser_lib.lab.podman import podman

_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_PATIENCE = 3


@dataclass(frozen=True)
class Route:
    """One route of the host."""

    to: str
    device: str


def exists() -> bool:
    """Whether podman has the lab's network; its bridge is there as long as a container is connected."""
    return NETWORK in podman("network", "ls", "--format", "{{.Name}}").split()


def bridge() -> str:
    """The bridge's interface on the host, as podman named it."""
    name: str = json.loads(podman("network", "inspect", NETWORK))[0]["network_interface"]
    return name


def carries() -> bool:
    """Whether the host has the network now: lab addresses mean lab nodes, not somebody outside."""
    return exists() and Path("/sys/class/net", bridge()).exists()


def ensure() -> None:
    """Creates the network: internal, no name server, no firewall rules. Raises LabError when its range is taken."""
    if exists():
        return
    if taken := clashes(_routes()):
        seen = ", ".join(f"{route.to} on {route.device}" for route in taken)
        raise LabError(
            what=f"create the network {SUBNET}",
            seen=f"this machine already routes {seen}",
            remedy="Leave that network (a VPN, another container network) while the lab runs.",
        )
    flags = ("--internal", "--disable-dns", "--subnet", str(SUBNET), "--gateway", HOST_ADDRESS)
    podman("network", "create", *flags, NETWORK)


def remove() -> list[str]:
    """Deletes the network and its bridge; one that is gone already is fine. Names containers that still use it."""
    if not exists():
        return []
    # Not --force: that would delete containers which are not the lab's.
    if users := podman("ps", "--all", "--filter", f"network={NETWORK}", "--format", "{{.Names}}").split():
        return [f"network {NETWORK} stays: containers that are not the lab's use it: {', '.join(users)}"]
    device = bridge()
    podman("network", "rm", NETWORK)
    # Podman removes the bridge with its last container; a killed one can leave it.
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["ip", "link", "delete", device], capture_output=True, timeout=10)
    return []


def clashes(routes: Iterable[Route], *, subnet: IPv4Network = SUBNET) -> list[Route]:
    """Routes that already lead part of the lab's range elsewhere; a default route does not count."""
    return [r for r in routes if r.to != "default" and IPv4Network(r.to, strict=False).overlaps(subnet)]


def prove(nodes: Sequence[NodeSpec], *, ask: Callable[..., str] = podman) -> None:
    """Every node opens a connection to every other one's sshd. Raises LabError naming pairs and the likely cause."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        failed = [pair for pairs in pool.map(lambda node: _unreached(node, nodes, ask), nodes) for pair in pairs]
    if failed:
        cause = blame(_forward_policy(), bridges_filtered=_bridges_filtered())
        raise LabError(what="traffic from node to node", seen=f"none on {', '.join(failed)}", remedy=cause)


def blame(policy: str, *, bridges_filtered: bool) -> str:
    """Why nodes on one bridge do not reach each other, and what to do."""
    if bridges_filtered and policy == "DROP":
        return (
            "This machine's firewall drops forwarded packets (chain FORWARD, policy DROP: Docker or ufw set it), those "
            "of bridges too (bridge-nf-call-iptables is 1). Let the lab's through while it runs: "
            f"iptables -I FORWARD -s {SUBNET} -d {SUBNET} -j ACCEPT"
        )
    if bridges_filtered:
        return (
            "This machine filters packets on bridges (bridge-nf-call-iptables is 1): look for the rule with iptables "
            f"-vL FORWARD and nft list ruleset, and let {SUBNET} through."
        )
    return f"No firewall of this machine filters bridges; look at `podman network inspect {NETWORK}` and at the nodes."


def forward_policy(rules: str) -> str:
    """The policy of chain FORWARD in what `iptables-save` printed; "" when there is none."""
    found = re.search(r"^:FORWARD (\w+)", rules, flags=re.MULTILINE)
    return found[1] if found else ""


def _unreached(node: NodeSpec, nodes: Sequence[NodeSpec], ask: Callable[..., str]) -> list[str]:
    others = {other.address: other.name for other in nodes if other != node}
    probe = f"timeout {_PATIENCE} bash -c 'exec 3<>/dev/tcp/$a/22' 2>/dev/null || echo $a"
    script = f"for a in {' '.join(others)}; do export a; ({probe}) & done; wait"
    said = ask("exec", node.container, "bash", "-c", script, timeout=_PATIENCE + 30.0)
    return [f"{node.name} -> {others[address]}" for address in said.split()]


def _routes() -> list[Route]:
    said = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, timeout=10, check=True)
    return [Route(entry["dst"], entry.get("dev", "?")) for entry in json.loads(said.stdout or "[]")]


def _forward_policy() -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return forward_policy(subprocess.run(["iptables-save"], capture_output=True, text=True, timeout=10).stdout)
    return ""


def _bridges_filtered() -> bool:
    return _BRIDGE_FILTER.exists() and _BRIDGE_FILTER.read_text().strip() == "1"
