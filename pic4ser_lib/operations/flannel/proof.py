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
# Names are looked up once per try: CoreDNS may answer a little later than the servers run.
_ASK = f"""
reached=0; missed=0
try() {{
  what=$1; shift; n=0
  until "$@"; do
    n=$((n + 1))
    if [ $n -ge 20 ]; then echo "$NODE -> $what: no answer"; missed=$((missed + 1)); return; fi
    sleep 1
  done
  echo "$NODE -> $what: ok"; reached=$((reached + 1))
}}
get() {{ wget -q -T 3 -O - "http://$1:{_PORT}/$2" 2>/dev/null; }}
server() {{ [ "$(get $1.servers name)" = "$2" ] && [ "$(get $1.servers body | wc -c)" = {_BODY_KB * 1024} ]; }}
service() {{ [ -n "$(get everyone name)" ]; }}
dns() {{ nslookup kubernetes.default.svc.$DOMAIN >/dev/null 2>&1; }}
DOMAIN=$(sed -n 's/^search [^ ]*[.]svc[.]\\([^ ]*\\) .*/\\1/p' /etc/resolv.conf | head -n 1)
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
