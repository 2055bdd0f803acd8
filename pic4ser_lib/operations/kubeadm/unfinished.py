"""A kubeadm that began on a node and did not come to its end, because power, disk or time ran out.

A note is on the disk from before kubeadm begins until all that it made is on the disk too. Where it is still there,
what is there of a cluster is half made and by that kubeadm: nothing depends on it, and it may be taken away. Without
the note nobody knows whose it is, and nothing is taken away.
"""

from __future__ import annotations

from pic4ser_lib.operations.kubeadm.configuration import CRI_SOCKET
from pic4ser_lib.operations.kubeadm.health import ETCDCTL
from pic4ser_lib.operations.kubectl import KUBECTL
from pic4ser_lib.steps import Run

_FOLDER = "/var/lib/pic4ser"
NOTE = f"{_FOLDER}/kubeadm-began"
_BEGIN = f"mkdir -p {_FOLDER} && date -u +%FT%TZ >{NOTE} && sync {NOTE} {_FOLDER}"
# kubeadm, the kubelet and containerd sync nothing of what they write: what a power cut leaves of it are empty files.
_END = f"sync -f /etc/kubernetes /var/lib && rm -f {NOTE} && sync {_FOLDER}"
# Without a readable manifest of etcd, which a power cut may have left empty, kubeadm forgets its data. containerd takes
# an image for whole whose files a power cut has left empty, so images are fetched anew.
_RESET = (
    f"kubeadm reset -f --cri-socket {CRI_SOCKET} && rm -rf /var/lib/etcd/member && "
    "ctr -n k8s.io images ls -q | xargs -r ctr -n k8s.io images rm --sync"
)

# kubeadm's reset empties etcd's folder also when it could not take the member out, and of two members one that has
# lost its data stops both for good: so the member goes first, and nothing else if it does not go.
_NO_MEMBER = (
    f'set -o pipefail; etcdctl() {{ {ETCDCTL} "$@"; }}; '
    "id=$(etcdctl member list | awk -F ', ' '$4 == \"https://ADDRESS:2380\" {print $1}') && "
    '{ [ -z "$id" ] || etcdctl member remove "$id"; }'
)
_NO_NODE = f"{KUBECTL} delete node NAME --ignore-not-found"


def begin() -> Run:
    """The note, with the time, before kubeadm begins."""
    return Run(_BEGIN)


def end() -> Run:
    """The note is gone once what kubeadm made is on the disk."""
    return Run(_END)


def to_its_end(command: str) -> str:
    """`command`, which runs kubeadm, and the same after it; also when nobody is there any more to ask for that."""
    return f"{command} && {_END}"


def clear() -> Run:
    """What it left is gone; the note stays for the kubeadm that follows."""
    return Run(_RESET, timeout=600.0)


def no_member(address: str, *, first: str) -> Run:
    """etcd on the first control plane knows no member at this address any more."""
    return Run(_NO_MEMBER.replace("NODE", first).replace("ADDRESS", address), on=first)


def no_node(name: str, *, first: str) -> Run:
    """The cluster knows no node of this name any more: kubeadm joins none that is Ready already."""
    return Run(_NO_NODE.replace("NAME", name), on=first)
