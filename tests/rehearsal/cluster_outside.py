"""Looking at a whole site from outside the library: nodes by pytest-testinfra, the API by the kubernetes client.

What is compared leaves out what a cluster does by itself at any time, and says here what that is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_outside import ADDRESSES, HOME, said

ROOT = Path(__file__).parents[2]
PIC4SER = (sys.executable, "-c", "from pic4ser_lib.cli import main; main()")
KUBECONFIG = HOME / "kubeconfig"

# Everything on a node's disk but what a running cluster and systemd write: /var/lib/{kubelet,etcd,containerd}, logs.
PLACES = (
    "/etc /usr /opt /srv /boot /home /root /var/lib/pic4ser /var/lib/dpkg /var/lib/apt /var/cache/apt"
    " /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env"
)
# kubectl keeps what it learned about an API server; reading through it is no change of the node.
_CACHE = "/root/.kube/cache"
# Said anew all the time by kubelets, controllers and the API server itself.
_HEARTBEATS = {"leases", "events", "tokenreviews", "subjectaccessreviews", "certificatesigningrequests"}
# The Prometheus operator puts the kubelets' Service and Endpoints every three minutes, as they are; the library puts
# nothing, but patches and applies.
_SYNCED = {("PUT", "services"), ("PUT", "endpoints"), ("PUT", "endpointslices")}
_ASKING = {"selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews", "localsubjectaccessreviews"}


def pic4ser(*words: str, timeout: float = 1800.0) -> subprocess.CompletedProcess[str]:
    """The command line as a person types it, with nobody there to be asked."""
    return subprocess.run(
        [*PIC4SER, *words], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout
    )


def newest_run() -> Path:
    """The folder of the run of the lab that began last."""
    return max((ROOT / "runs" / "lab").iterdir(), key=lambda folder: folder.stat().st_mtime)


def kernels_of_runs() -> list[str]:
    """The process ids of kernels that a batch run on the lab started and that still live."""
    ours = f"PIC4SER_RUN_DIR={ROOT / 'runs' / 'lab'}/".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if ours in _bytes(path)]


def records(run: Path) -> list[dict[str, Any]]:
    """Every record in a run's journals."""
    texts = [text for path in (run / "journal").glob("*.jsonl") for text in path.read_text("utf-8").splitlines()]
    return [entry for entry in map(json.loads, texts) if entry["event"] == "record"]


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not the same, one line each; [] when nothing changed."""
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return [f"{key}: {before.get(key, 'not there')} -> {after.get(key, 'not there')}" for key in keys]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # a process that has just ended, or a kernel thread


# ------------------------------------------------------------------------------------------------ nodes


@dataclass(frozen=True)
class NodeSeen:
    """What of a node would tell that somebody was there."""

    files: dict[str, str]
    services: dict[str, str]
    unit_files: dict[str, str]
    packages: dict[str, str]


def node_seen(name: str) -> NodeSeen:
    """A node as testinfra's ssh shows it. A file's ctime tells even a rewrite with the same content."""
    import testinfra

    options = f"-F none -o UserKnownHostsFile={HOME / 'known_hosts'} -o StrictHostKeyChecking=yes -o BatchMode=yes"
    host = testinfra.get_host(
        f"ssh://pic4ser@{ADDRESSES[name]}", sudo=True, ssh_identity_file=str(HOME / "id_ed25519"),
        ssh_extra_args=options, controlpersist=0,
    )  # fmt: skip
    found = host.check_output(
        f"find {PLACES} -path {_CACHE} -prune -o -printf '%p|%y %m %u:%g %s bytes, changed %C@\\n' 2>/dev/null || true"
    )
    shown = host.check_output("systemctl show --type=service --property=Id,SubState,InvocationID,NRestarts '*'")
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block]
    running = (unit for unit in units if unit.get("SubState") == "running")
    unit_files = host.check_output("systemctl list-unit-files --no-legend --no-pager --full")
    dpkg = host.check_output("dpkg-query -W -f '${Package}|${db:Status-Abbrev} ${Version}\\n'")
    return NodeSeen(
        files=dict(line.split("|", 1) for line in found.splitlines()),
        services={unit["Id"]: f"start {unit['InvocationID']}, {unit['NRestarts']} restarts" for unit in running},
        unit_files={words[0]: words[1] for words in map(str.split, unit_files.splitlines()) if len(words) > 1},
        packages=dict(line.split("|", 1) for line in dpkg.splitlines()),
    )


# --------------------------------------------------------------------------------------------------- API


def objects() -> dict[str, str]:
    """Every object of the cluster that can be listed, without its status and its resourceVersion, as JSON.

    A pod's containers are named by their ids, so a pod that was replaced or restarted differs.
    """
    from kubernetes import client, config, dynamic

    found = {}
    with client.ApiClient(config.load_kube_config(str(KUBECONFIG)) or None) as api:
        for resource in dynamic.DynamicClient(api).resources.search():
            wanted = "list" in (resource.verbs or ()) and not resource.kind.endswith("List")
            if wanted and resource.name not in _HEARTBEATS and "/" not in resource.name:
                listed = resource.get().to_dict().get("items") or []
                found.update({_name(resource, obj): _as_wanted(obj) for obj in listed})
    return found


def node_conditions() -> dict[str, str]:
    """Each node's Ready condition, as the API has it."""
    from kubernetes import client, config

    with client.ApiClient(config.load_kube_config(str(KUBECONFIG)) or None) as api:
        nodes = client.CoreV1Api(api).list_node().items
    return {n.metadata.name: c.status for n in nodes for c in n.status.conditions if c.type == "Ready"}


def writes(address: str) -> Counter[str]:
    """What this API server has counted of requests that write, but for what components say all the time."""
    from kubernetes import client, config

    settings = client.Configuration()
    config.load_kube_config(str(KUBECONFIG), client_configuration=settings)
    settings.host = f"https://{address}:6443"
    with client.ApiClient(settings) as api:
        answer = api.call_api("GET", f"{settings.host}/metrics")
        answer.read()
        text = answer.data.decode()
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if _is_write(labels):
                found[f"{labels['verb']} {labels['resource']}"] += int(float(line.rsplit(" ", 1)[1]))
    return found


def _is_write(labels: dict[str, str]) -> bool:
    writes = labels.get("verb") in {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
    counts = labels.get("resource") not in _HEARTBEATS | _ASKING and not labels.get("subresource")
    counts = counts and (labels.get("verb"), labels.get("resource")) not in _SYNCED
    return writes and counts and not labels.get("dry_run")


def _name(resource: Any, obj: dict[str, Any]) -> str:
    meta = obj["metadata"]
    return f"{resource.group_version} {resource.kind} {meta.get('namespace', '')}/{meta['name']}"


def _as_wanted(obj: dict[str, Any]) -> str:
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    # When the runbook last applied something, and that nobody else now owns fields of it.
    ours = [entry for entry in obj["metadata"].get("managedFields", []) if entry.get("manager") == "pic4ser"]
    containers = [
        (status["name"], status.get("containerID"), status["restartCount"])
        for status in obj.get("status", {}).get("containerStatuses", [])
        if obj.get("kind") == "Pod"
    ]
    kept = {k: v for k, v in obj.items() if k not in ("status", "metadata")}
    return json.dumps({**kept, "metadata": meta, "ours": ours, "containers": containers}, sort_keys=True, default=str)


# -------------------------------------------------------------------------------------------------- host

_COUNTS = re.compile(
    r"fs\.(aio-nr|dentry-state|file-nr|inode-nr|inode-state|quota)|kernel\.(ns_last_pid|pty\.nr|random\.)"
    r"|net\.netfilter\.nf_conntrack_count|kernel\.perf_event_max_sample_rate|net\.ipv4\.tcp_fastopen_key"
)


def host_seen() -> dict[str, str]:
    """This machine's swap, sysctls, firewall and routes, as its own commands print them; counters left out."""
    settings = subprocess.run(["sysctl", "-a"], capture_output=True, text=True).stdout.splitlines()
    seen = dict(line.split(" = ", 1) for line in settings if " = " in line and not _COUNTS.match(line))
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    firewall = [_without_counters(line) for tool in ("iptables-save", "ip6tables-save") for line in _lines(tool)]
    routes = [line for family in ("-4", "-6") for line in _lines("ip", family, "route") if " dev veth" not in line]
    listed = {
        "swap": sorted(line.split()[0] for line in swaps),
        "firewall": firewall,
        "nftables": _lines("nft", "-s", "list", "ruleset"),
        "routes": sorted(routes),
    }
    return seen | {name: "\n".join(lines) for name, lines in listed.items()}


def host_differs(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs of what is there both times: interfaces come and go with their settings."""
    both = before.keys() & after.keys()
    return differing({k: before[k] for k in both}, {k: after[k] for k in both})


def _lines(*words: str) -> list[str]:
    try:
        return [line for line in said(*words).splitlines() if not line.startswith("#")]
    except (FileNotFoundError, AssertionError):
        return []


def _without_counters(line: str) -> str:
    return re.sub(r" \[\d+:\d+\]$", "", line)
