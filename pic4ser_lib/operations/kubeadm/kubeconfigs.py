"""Who may speak to the cluster: root on a control plane, as in the document, and the operator on their own machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import files
from pic4ser_lib.operations.kubectl import ADMIN
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Action, Decision, KeepKubeconfig, Later, OwnKubeconfig, Refused, Run, Secret, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

ROOTS = "/root/.kube/config"
# Both hold a private key: a probe prints their checksums and never a line of them but the server's.
_ROOT_QUESTION = f"""
sum() {{ [ ! -e "$1" ] || sha256sum <"$1" | cut -d ' ' -f 1; }}
echo "@admin: $(sum {ADMIN})"
echo "@root: $(sum {ROOTS})"
echo "@mode: $(stat -c %a {ROOTS} 2>/dev/null || true)"
echo "@admin server: $(sed -n 's/^ *server: *//p' {ADMIN} 2>/dev/null || true)"
echo "@root server: $(sed -n 's/^ *server: *//p' {ROOTS} 2>/dev/null || true)"
"""
_COPY = (
    f"umask 077; mkdir -p /root/.kube && cp {ADMIN} /root/.kube/.config.new "
    f"&& {files.put_in_place('/root/.kube/.config.new', ROOTS)}"
)
_CERTIFICATE = f"""
[ ! -e {ADMIN} ] || sed -n 's/^ *client-certificate-data: *//p' {ADMIN} | base64 -d | sed '/-----/d' | base64 -d \\
  | sha256sum | cut -d ' ' -f 1
"""


@dataclass(frozen=True)
class RootsCopy:
    """Checksums of admin.conf and of root's kubeconfig, and the servers they name."""

    admin: str
    root: str
    mode: str
    admin_server: str
    root_server: str

    def __str__(self) -> str:
        if not self.root:
            return f"no {ROOTS}"
        same = "the same as" if self.root == self.admin else "another than"
        return f"{ROOTS} (mode {self.mode}) is {same} {ADMIN}"


@dataclass(frozen=True)
class KubeconfigForRoot(Step):
    """Root on a control plane may use kubectl."""

    name: str = "kubeadm.kubeconfig_for_root"
    wanted: str = "root uses kubectl with this cluster's admin.conf"

    def probe(self) -> Shell:
        """Checksums, never the content."""
        return Shell(_ROOT_QUESTION)

    def parse(self, raw: str) -> RootsCopy:
        """Line by line."""
        said = marked(raw)
        return RootsCopy(said["admin"], said["root"], said["mode"], said["admin server"], said["root server"])

    def actions(self, seen: RootsCopy) -> Decision:
        """Copy it as the document does; but never over a kubeconfig of another cluster."""
        if not seen.admin:
            return Later("admin.conf", "kubeadm makes it on each control plane")
        if seen.root == seen.admin and seen.mode == "600":
            return []
        if seen.root and seen.root_server != seen.admin_server:
            raise Refused(
                self.wanted, f"{ROOTS} of another cluster, {seen.root_server or 'without a server'}",
                f"Move {ROOTS} away if nobody needs it there, then run this cell again.",
            )  # fmt: skip
        return [Run(_COPY)]


@dataclass(frozen=True)
class OwnCopy:
    """The operator's kubeconfig, and the certificate that the first control plane's admin.conf has now."""

    own: dict[str, Any] | None
    certificate: str

    def __str__(self) -> str:
        if self.own is None:
            return "no kubeconfig of this site"
        current = "the" if self.own["certificate_sha256"] == self.certificate else "a former"
        return f"{current} cluster's certificate, mode {self.own['mode']}"


@dataclass(frozen=True)
class OperatorKubeconfig(Step):
    """The operator's own machine reaches the API server, and recognises it by the endpoint's name."""

    first: str
    server: str
    tls_server_name: str
    name: str = "kubeadm.operator_kubeconfig"
    wanted: str = "the operator's kubeconfig reaches this cluster and only they can read it"

    def probe(self) -> tuple[OwnKubeconfig, Shell]:
        """The operator's file, and the certificate on the first control plane."""
        return OwnKubeconfig(), Shell(_CERTIFICATE, on=self.first)

    def parse(self, raw: tuple[dict[str, Any] | None, str]) -> OwnCopy:
        """The two side by side."""
        return OwnCopy(raw[0], raw[1].strip())

    def actions(self, seen: OwnCopy) -> list[Action] | Later:
        """Fetch it when it is missing, of a former cluster, or points elsewhere."""
        if not seen.certificate:
            return Later("kubeadm.initialised", f"{self.first} has no admin.conf yet")
        wanted = {
            "server": self.server, "tls_server_name": self.tls_server_name, "mode": "600",
            "certificate_sha256": seen.certificate,
        }  # fmt: skip
        if seen.own == wanted:
            return []
        secret = Secret("admin kubeconfig", f"cat {ADMIN}", on=self.first)
        return [KeepKubeconfig((secret,), self.server, self.tls_server_name)]


def kubeconfig_for_root(site: Site, node: Node) -> KubeconfigForRoot | None:
    """Root on this node uses kubectl with admin.conf; None for a worker, which has none."""
    return KubeconfigForRoot() if node in site.control_planes else None


def operator_kubeconfig(site: Site) -> OperatorKubeconfig:
    """The operator's kubeconfig of this site, with the first control plane's address as its server."""
    server = f"https://{site.first.address}:{site.endpoint.port}"
    return OperatorKubeconfig(site.first.name, server, site.endpoint.name)
