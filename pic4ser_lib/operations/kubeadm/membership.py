"""What a node says about belonging to a cluster: the files kubeadm leaves, and whether what they start is running."""

from __future__ import annotations

from dataclasses import dataclass

from pic4ser_lib.operations.kubeadm.unfinished import NOTE
from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.operations.marked import marked

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""The manifests of a complete control plane."""

# Each line starts with @, because what kubectl prints may stand between them.
_QUESTIONS = """
e=/etc/kubernetes
note=NOTE
server() { [ -e "$1" ] || return 0; s=$(sed -n 's/^ *server: *//p' "$1" | head -n 1); echo "${s:-unknown}"; }
yes() { if "$@" >/dev/null 2>&1; then echo yes; fi; }
echo "@kubeadm: $(kubeadm version -o short 2>/dev/null || true)"
echo "@running: $(pgrep -x -a kubeadm | head -n 1 || true)"
echo "@kubelet.conf: $(server $e/kubelet.conf)"
echo "@admin.conf: $(server $e/admin.conf)"
echo "@rotates: $(yes grep -q kubelet-client-current.pem $e/kubelet.conf)"
echo "@bootstrap: $(yes test -e $e/bootstrap-kubelet.conf)"
echo "@manifests: $(ls $e/manifests 2>/dev/null | sed -n 's/[.]yaml$//p' | tr '\\n' ' ')"
echo "@etcd: $(yes test -d /var/lib/etcd/member)"
echo "@ca: $(sha256sum 2>/dev/null <$e/pki/ca.crt | cut -d ' ' -f 1 || true)"
echo "@began: $(yes test -e $note)"
echo "@given: $([ ! -e $e/pki/ca.crt ] || yes test $e/pki/ca.crt -ot $note)"
torn() { find $e /var/lib/kubelet/*.* /var/lib/kubelet/pki -xdev -type f -name '[!.]*.*' -empty 2>/dev/null; }
echo "@torn: $(torn | sort | tr '\\n' ' ')"
echo "@kubelet: $(systemctl is-active kubelet 2>/dev/null || true)"
echo "@seconds: $(( $(date +%s) - $(stat -c %Y $e/kubelet.conf 2>/dev/null || echo 0) ))"
names() { sed -n 's/.*users:(("\\([^"]*\\)".*/\\1/p' | sort -u | tr '\\n' ' '; }
echo "@listens: $(ss -Hltnp 'sport = :PORT' 2>/dev/null | names)"
"""
_READYZ = """
if [ -e $e/admin.conf ]; then
  k="KUBECTL --server https://ADDRESS:PORT"
  ready=$($k get --raw /readyz 2>&1 || true)
  echo "@readyz: $(echo "$ready" | tr '\\n' ' ')"
fi
""".replace("KUBECTL", KUBECTL)


@dataclass(frozen=True)
class Membership:
    """A node's own side of belonging to a cluster; empty texts stand for files that are not there.

    `joined_seconds` is the age of kubelet.conf: how long ago the node got its credentials. `began` says that a kubeadm
    of ours did not come to its end, `given` that the CA was there before it, `torn` which files are empty.
    """

    kubeadm: str
    running: str
    kubelet_server: str
    admin_server: str
    rotates: bool
    bootstrap: bool
    manifests: tuple[str, ...]
    etcd: bool
    ca: str
    kubelet: str
    joined_seconds: float
    listens: str
    readyz: str
    began: bool = False
    given: bool = False
    torn: tuple[str, ...] = ()

    @property
    def traces(self) -> tuple[str, ...]:
        """What is here of a cluster, besides certificates; nothing on a fresh machine."""
        found = {
            "kubelet.conf": self.kubelet_server,
            "bootstrap-kubelet.conf": self.bootstrap,
            "admin.conf": self.admin_server,
            "control-plane manifests": self.manifests,
            "an etcd member": self.etcd,
        }
        return tuple(name for name, there in found.items() if there)

    @property
    def is_control_plane(self) -> bool:
        """Whether all of a control plane's manifests are here."""
        return set(CONTROL_PLANE) <= set(self.manifests)

    @property
    def is_serving(self) -> bool:
        """Whether the API server of this very node says that it is ready, its etcd included."""
        return self.readyz == "ok"

    def __str__(self) -> str:
        if not self.traces:
            return "no trace of a cluster"
        parts = [f"here are {', '.join(self.traces)}", f"the kubelet is {self.kubelet or 'not installed'}"]
        if self.readyz:
            parts.append("the API server is ready" if self.is_serving else f"the API server says: {self.readyz}")
        if self.torn:
            parts.append(f"empty, as a power cut leaves them, are {', '.join(self.torn)}")
        return "; ".join(parts)


def question(address: str, port: int) -> str:
    """The snippet for a node with this address and API port."""
    return (_QUESTIONS + _READYZ).replace("NOTE", NOTE).replace("ADDRESS", address).replace("PORT", str(port))


def membership(raw: str) -> Membership:
    """What the snippet's answer means."""
    said = marked(raw)
    return Membership(
        kubeadm=said["kubeadm"], running=said["running"], kubelet_server=said["kubelet.conf"],
        admin_server=said["admin.conf"], rotates=said["rotates"] == "yes", bootstrap=said["bootstrap"] == "yes",
        manifests=tuple(said["manifests"].split()), etcd=said["etcd"] == "yes", ca=said["ca"],
        kubelet=said["kubelet"], joined_seconds=float(said["seconds"]), listens=said["listens"],
        readyz=said.get("readyz", ""), began=said.get("began") == "yes", given=said.get("given") == "yes",
        torn=tuple(said.get("torn", "").split()),
    )  # fmt: skip
