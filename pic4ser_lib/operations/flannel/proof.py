"""The proof that the network works: a pod on every node asks a pod on every node, the service, and the cluster's DNS.

Each server also gives a body larger than any packet: a wrong MTU lets small packets through and stops these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import pods
from pic4ser_lib.steps import Proof

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

_PORT, _BODY_KB = 8080, 64
_SERVE = f"""
mkdir -p /www && cd /www && echo "$NODE" > name && dd if=/dev/zero of=body bs=1024 count={_BODY_KB} 2>/dev/null
exec httpd -f -p {_PORT} -h /www
"""
# All tries together have a minute: right after the rollout, names and rules take some seconds to be everywhere. Names
# are looked up by nslookup and pages fetched by nc: a static busybox has no resolver, and its wget dies of that.
_ASK = f"""
inside=$(sed -n 's/^search \\([^ ]*\\).*/\\1/p' /etc/resolv.conf)
end=$(($(date +%s) + 60)); reached=0; missed=0
try() {{
  what=$1; shift
  until "$@"; do
    if [ $(date +%s) -ge $end ]; then echo "$NODE -> $what: ${{why:-no answer}}"; missed=$((missed + 1)); return; fi
    sleep 1
  done
  echo "$NODE -> $what: ok"; reached=$((reached + 1))
}}
address() {{ nslookup $1 2>/dev/null | sed -n '/^Name/,$ s/^Address[^:]*: *\\([0-9.]*\\).*/\\1/p' | head -n 1; }}
get() {{ printf 'GET /%s HTTP/1.0\\r\\n\\r\\n' $2 | nc -w 3 $1 {_PORT} 2>/dev/null; }}
found() {{ ip=$(address $1.$inside); why="no address for $1.$inside"; [ -n "$ip" ]; }}
server() {{
  found $1.servers || return 1
  why="$ip does not answer"; [ "$(get $ip name | tail -n 1)" = $2 ] || return 1
  why="$ip answers, but large packets are lost: is the MTU right?"; [ $(get $ip body | wc -c) -gt {_BODY_KB * 1024} ]
}}
service() {{ found everyone && why="$ip does not answer" && [ -n "$(get $ip name)" ]; }}
dns() {{ why="no address for kubernetes.default"; [ -n "$(address kubernetes.default.${{inside#*.}})" ]; }}
CHECKS
[ $missed = 0 ] || exit 1
echo "all $reached reached"
"""


def network_proof(site: Site) -> Proof:
    """Pods on every pair of nodes reach each other by name, a service's address answers, and names resolve."""
    names = [node.name for node in site.nodes]
    image = site.sources.images["proof"]
    checks = [f"try {name} server {pods.label(name)} {name}" for name in names]
    asks = _ASK.replace("CHECKS", "\n".join([*checks, "try 'a service address' service", "try 'the cluster DNS' dns"]))
    clients = tuple(pods.on_node(f"client-{pods.label(name)}", name, image, asks) for name in names)
    return Proof(
        name="flannel.network_proof",
        wanted="pods on every pair of nodes reach each other, and reach services and names",
        objects=(_service("servers", headless=True), _service("everyone"), *(_server(name, image) for name in names)),
        pods=clients,
        expects={client["metadata"]["name"]: f"all {len(names) + 2} reached" for client in clients},
        within=180.0,
    )


def _service(name: str, *, headless: bool = False) -> dict[str, Any]:
    spec: dict[str, Any] = {"selector": {"proof": "server"}, "ports": [{"port": _PORT}]}
    # A headless service gives each pod a name; the other one has an address of its own, which kube-proxy spreads.
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {**spec, "clusterIP": "None"} if headless else spec,
    }  # fmt: skip


def _server(node: str, image: str) -> dict[str, Any]:
    pod = pods.on_node(f"server-{pods.label(node)}", node, image, _SERVE)
    pod["metadata"]["labels"] = {"proof": "server"}
    pod["spec"] |= {"hostname": pods.label(node), "subdomain": "servers"}
    container = pod["spec"]["containers"][0]
    container["readinessProbe"] = {"httpGet": {"path": "/body", "port": _PORT}, "periodSeconds": 1}
    container["volumeMounts"] = [{"name": "www", "mountPath": "/www"}]
    pod["spec"]["volumes"] = [{"name": "www", "emptyDir": {"sizeLimit": "1Mi"}}]
    return pod
