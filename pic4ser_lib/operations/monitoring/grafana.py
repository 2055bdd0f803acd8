"""Grafana: a password that nobody has seen, and the way to its page.

The document's password `prom-operator` is public; newer charts make one at random, and another one whenever they are
rendered without the cluster. So one is made once, on the first control plane, and the chart is pointed at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.monitoring.prometheus import NAMESPACE
from pic4ser_lib.steps import Decision, Forward, Later, Run, Secret, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

SECRET, USER_KEY, PASSWORD_KEY = "grafana-admin", "admin-user", "admin-password"
EXISTING_SECRET = {"existingSecret": SECRET, "userKey": USER_KEY, "passwordKey": PASSWORD_KEY}
_LOOK = f"""
[ -e /etc/kubernetes/admin.conf ] || exit 0
keys=$({KUBECTL} -n {NAMESPACE} get secret {SECRET} --ignore-not-found \\
  -o go-template='{{{{range $key, $value := .data}}}}{{{{if $value}}}}{{{{$key}}}} {{{{end}}}}{{{{end}}}}') || exit 1
echo "@cluster: there"
echo "@keys: $keys"
"""
# What a release of the chart made before is taken over: Grafana's own database keeps the first password it was given.
_MADE_BY = f"""
old=$({KUBECTL} -n {NAMESPACE} get secret prometheus-grafana --ignore-not-found \\
  -o jsonpath='{{.data.{PASSWORD_KEY}}}' | base64 -d)
if [ -n "$old" ]; then echo "$old"; else head -c 64 /dev/urandom | base64 -w 0 | tr -dc A-Za-z0-9 | head -c 24; fi
"""


@dataclass(frozen=True)
class Keys:
    """The keys of the Secret that hold something; the values are never read. None: there is no cluster yet."""

    names: tuple[str, ...] | None

    def __str__(self) -> str:
        if self.names is None:
            return "no cluster yet"
        return "a password" if PASSWORD_KEY in self.names else "no password"


@dataclass(frozen=True)
class GrafanaPassword(Step):
    """Grafana's administrator has a password made at random, kept in the cluster and printed nowhere."""

    first: str
    name: str = "monitoring.grafana_password"
    wanted: str = "Grafana's administrator has a random password, kept in a Secret"

    def probe(self) -> Shell:
        """The names of the Secret's keys."""
        return Shell(_LOOK, on=self.first)

    def parse(self, raw: str) -> Keys:
        """By name."""
        said = marked(raw)
        return Keys(tuple(said.get("keys", "").split()) if "cluster" in said else None)

    def actions(self, seen: Keys) -> Decision:
        """The namespace and the Secret; the password travels from the node to the node and to nobody else's eyes."""
        if seen.names is None:
            return Later("kubeadm.initialised", f"{self.first} has no cluster yet")
        if {USER_KEY, PASSWORD_KEY} <= set(seen.names):
            return []
        secret = Secret("Grafana's password", _MADE_BY.strip(), self.first)
        head, tail = _OBJECTS.split("PASSWORD")
        # Server-side: a client-side apply would keep the password in an annotation once more.
        command = f"{KUBECTL} apply --server-side --field-manager=pic4ser -f -"
        return [Run(command, stdin=(head, secret, tail), on=self.first)]


def grafana_password(site: Site) -> GrafanaPassword:
    """Grafana's password exists; `pic4ser grafana SITE` shows it."""
    return GrafanaPassword(site.first.name)


def grafana_page(site: Site) -> Forward:
    """Grafana on a port of your own machine for half an hour, as the document's port-forward has it."""
    return Forward(
        name="monitoring.grafana_page",
        wanted="Grafana answers on a port of this machine",
        namespace=NAMESPACE,
        service="prometheus-grafana",
        port=80,
        local_port=3000,
        check="/api/health",
    )


_OBJECTS = f"""apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
---
apiVersion: v1
kind: Secret
metadata:
  name: {SECRET}
  namespace: {NAMESPACE}
stringData:
  {USER_KEY}: admin
  {PASSWORD_KEY}: "PASSWORD"
"""
