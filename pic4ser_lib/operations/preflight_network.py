"""Preflight of a node's network: its ports, its MTU, the names it resolves, the sources it reaches."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.look import Finding, Look, shell, values
from pic4ser_lib.operations.sources import CODENAME, in_shell
from pic4ser_lib.steps import Shell

if TYPE_CHECKING:
    from pic4ser_lib.site import Sources

PORTS: dict[str, dict[int, str]] = {
    "control-plane": {
        6443: "kube-apiserver",
        2379: "etcd",
        2380: "etcd",
        10250: "kubelet",
        10257: "kube-controller-manager",
        10259: "kube-scheduler",
    },
    "worker": {10250: "kubelet", 10256: "kube-proxy"},
}
"""TCP ports of a role, and the component of a cluster that holds each."""
VXLAN_BYTES = 50
_UPSTREAM = ("registry.k8s.io", "registry-1.docker.io", "ghcr.io")


@dataclass(frozen=True)
class Listener:
    """Who listens on a port; `process` is as ss prints it (15 characters), empty if unknown."""

    port: int
    process: str


@dataclass(frozen=True)
class Listeners:
    """All listeners, and whether the node belongs to a cluster."""

    listeners: tuple[Listener, ...]
    joined: bool

    def __str__(self) -> str:
        return "held by this cluster's components" if self.joined else "free"


@dataclass(frozen=True)
class PortsFree(Look):
    """The ports of the role are free, or held by the cluster's own component on a node that belongs to one."""

    role: str
    name = "preflight.ports_free"
    wanted = "the ports of the role are free"

    def probe(self) -> Shell:
        """Every listening TCP socket; without ss, the kernel's own table, which knows no names."""
        plain = 'while read -r _ at _ state _; do [ "$state" != 0A ] || echo "port: $((16#${at##*:})) "; done'
        return shell(
            "if command -v ss >/dev/null; then",
            'ss -H -ltnp | awk \'{n=split($4,a,":"); split($0,q,"\\""); print "port:", a[n], q[2]}\'',
            f"else cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | {plain}; fi",
            "[ -e /etc/kubernetes/kubelet.conf ] && echo joined: yes || true",
        )

    def parse(self, raw: str) -> Listeners:
        """Port and process."""
        rows = [line.split(maxsplit=2)[1:] for line in raw.splitlines() if line.startswith("port: ")]
        found = {Listener(int(row[0]), row[1].strip() if len(row) > 1 else "") for row in rows}
        return Listeners(tuple(sorted(found, key=lambda x: (x.port, x.process))), values(raw).get("joined") == "yes")

    def findings(self, seen: Listeners) -> list[Finding]:
        """Each port that somebody else holds."""
        ports = PORTS[self.role]
        taken = [x for x in seen.listeners if x.port in ports and not (seen.joined and _is(x.process, ports[x.port]))]
        return [
            Finding(
                f"port {x.port} is held by {x.process or 'a process'}",
                f"Stop it ({ports[x.port]} needs the port): ss -ltnp 'sport = :{x.port}' shows its process id.",
            )
            for x in taken
        ]


@dataclass(frozen=True)
class Link:
    """The interface of the default route, and its MTU."""

    interface: str
    mtu: int

    def __str__(self) -> str:
        return f"{self.interface} with MTU {self.mtu}" if self.interface else "no default route"


@dataclass(frozen=True)
class Mtu(Look):
    """There is a default route, and its interface carries the site's MTU."""

    expected: int | None = None
    name = "preflight.mtu"
    wanted = "the default route's interface carries the site's MTU"

    def probe(self) -> Shell:
        """The default route of the lowest metric, and its interface's MTU."""
        return Shell(
            "d=$(awk '$2 ~ /^0+$/ && $8 ~ /^0+$/ {print $7, $1}' /proc/net/route | sort -n | head -n 1); d=${d#* }; "
            '[ -z "$d" ] || { echo "interface: $d"; echo "mtu: $(cat "/sys/class/net/$d/mtu")"; }'
        )

    def parse(self, raw: str) -> Link:
        """By key."""
        v = values(raw)
        return Link(v.get("interface", ""), int(v.get("mtu", 0)))

    def findings(self, seen: Link) -> list[Finding]:
        """No route; an interface that carries less than the site says."""
        if not seen.interface:
            return [Finding("no default route", "Add one: kubeadm and flannel take their address from it.")]
        if self.expected and seen.mtu < self.expected:
            remedy = f"ip link set {seen.interface} mtu {self.expected}, and make it stay, or correct network.mtu."
            return [Finding(f"{seen} instead of {self.expected}", remedy)]
        if seen.mtu < 1280 + VXLAN_BYTES:
            return [Finding(str(seen), f"VXLAN takes {VXLAN_BYTES} bytes of it: use a link with 1500.")]
        return []


@dataclass(frozen=True)
class Resolved:
    """Names, the addresses they should have and have (on this node)."""

    names: tuple[tuple[str, str, tuple[str, ...]], ...]
    own: str

    @property
    def note(self) -> str:
        """Names that nobody knows: nothing here needs them, but people do."""
        unknown = [name for name, _, seen in self.names if not seen]
        return f"{', '.join(unknown)} not known by name (DNS or /etc/hosts)" if unknown else ""

    def __str__(self) -> str:
        return ", ".join(f"{name} is {' or '.join(seen) or 'unknown'}" for name, _, seen in self.names)


@dataclass(frozen=True)
class NamesResolve(Look):
    """No node's name leads to another address than the site's. A name that is not known at all is only noted."""

    names: tuple[tuple[str, str], ...]
    own: str = ""
    name = "preflight.names_resolve"
    wanted = "the nodes' names lead to the site's addresses"

    def probe(self) -> Shell:
        """All names at once, each with a deadline: a dead DNS server may take long to say nothing."""
        words = " ".join(shlex.quote(name) for name, _ in self.names)
        ask = "$(timeout 4 getent ahostsv4 \"$n\" | awk '{print $1}' | sort -u | tr '\\n' ' ')"
        return Shell(f'for n in {words}; do (echo "$n: {ask}") & done; wait')

    def parse(self, raw: str) -> Resolved:
        """By name."""
        v = values(raw)
        return Resolved(tuple((n, a, tuple(v.get(n, "").split())) for n, a in self.names), self.own)

    def findings(self, seen: Resolved) -> list[Finding]:
        """A wrong address. A node may know itself by a loopback address, as Debian and Ubuntu write it."""
        wrong = [
            (name, address, found)
            for name, address, found in seen.names
            if found and address not in found and not (name == seen.own and all(f.startswith("127.") for f in found))
        ]
        return [
            Finding(
                f"{name} leads to {', '.join(found)}, the site has {address}", "Correct DNS, /etc/hosts or the site."
            )
            for name, address, found in wrong
        ]


_BUSY = "503"  # HTTP's "not at the moment", as a repository says that is being published


@dataclass(frozen=True)
class Reached:
    """Addresses that answered, and for the others what came instead."""

    answers: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def note(self) -> str:
        """What is there but has nothing to give at this moment; the notebook that needs it tries again by itself."""
        return "; ".join(
            f"{url} is not ready to be fetched yet ({_BUSY})" for url, answer in self.answers if answer == _BUSY
        )

    def __str__(self) -> str:
        return f"{len(self.answers) - len(self.failed)} of {len(self.answers)} sources answer"


@dataclass(frozen=True)
class SourcesReachable(Look):
    """Every source of packages, images and manifests answers this node.

    Files have to be there; of a registry any answer will do (most ask for a login first). curl may be missing yet
    (notebook 01 installs it): then only a connection is tried.
    """

    files: tuple[str, ...]
    registries: tuple[str, ...]
    name = "preflight.sources_reachable"
    wanted = "packages, images and manifests can be fetched"

    def probe(self) -> Shell:
        """All at once, each with a deadline."""
        urls = " ".join(map(in_shell, (*self.files, *self.registries)))
        return shell(
            '. /etc/os-release; echo "codename: ${VERSION_CODENAME:-}"',
            "ask() { if command -v curl >/dev/null; then curl -sSIL -o /dev/null --connect-timeout 8 --max-time 15 "
            "-w '%{http_code}' \"$1\" 2>&1 | tr -s '\\n ' ' '; return; fi",
            'h=${1#*://}; h=${h%%/*}; p=${h##*:}; [ "$p" != "$h" ] || { p=443; [ "${1%%:*}" = https ] || p=80; }',
            'timeout 8 bash -c ": </dev/tcp/${h%%:*}/$p" 2>/dev/null && echo connected || echo "no connection"; }',
            f'for u in {urls}; do (a=$(ask "$u"); echo "$u: $a") & done',
            "wait",
        )

    def parse(self, raw: str) -> Reached:
        """Address and what came."""
        came = values(raw)
        files = [url.replace(CODENAME, came.get("codename", "").strip()) for url in self.files]
        answers = {url: came.get(url, "nothing").strip() for url in (*files, *self.registries)}
        good = [url for url, answer in answers.items() if _good(answer, file=url in files)]
        return Reached(tuple(answers.items()), tuple((u, a) for u, a in answers.items() if u not in good))

    def findings(self, seen: Reached) -> list[Finding]:
        """Those that did not answer well."""
        remedy = "Look at the node's route, DNS and proxy, and at the site's sources."
        return [Finding(f"{url} answers: {answer}", remedy) for url, answer in seen.failed[:1]] + [
            Finding(f"{url} answers: {answer}", "") for url, answer in seen.failed[1:]
        ]


def ports_free(role: str) -> PortsFree:
    """The role's ports are free, or held by the cluster's own components."""
    return PortsFree(role)


def mtu(expected: int | None = None) -> Mtu:
    """The interface of the default route carries at least `expected` bytes."""
    return Mtu(expected)


def names_resolve(names: Mapping[str, str], *, own: str = "") -> NamesResolve:
    """Names lead to their addresses, if to any; `own` is the node that is asked."""
    return NamesResolve(tuple(names.items()), own)


def sources_reachable(sources: Sources) -> SourcesReachable:
    """All sources of the site answer the node."""
    files = [url for source in sources.apt.values() for url in (_release(source.url, source.suite), source.key_url)]
    files += [manifest.url for manifest in sources.manifests.values()]
    mirrors = list(sources.registries.values()) or [f"https://{host}/v2" for host in _UPSTREAM]
    return SourcesReachable(tuple(dict.fromkeys(files)), tuple(dict.fromkeys(map(_registry, mirrors))))


def _good(answer: str, *, file: bool) -> bool:
    return answer in ("connected", _BUSY, "200") or (not file and answer in ("401", "403", "404", "405"))


def _release(url: str, suite: str) -> str:
    base = url.rstrip("/")
    return f"{base}/InRelease" if suite.endswith("/") else f"{base}/dists/{suite}/InRelease"


def _registry(mirror: str) -> str:
    scheme, _, rest = mirror.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/v2/"


def _is(process: str, component: str) -> bool:
    """A process name is cut to 15 characters; without ss it is not known, and the node's word is taken."""
    return not process or process == component[:15]
