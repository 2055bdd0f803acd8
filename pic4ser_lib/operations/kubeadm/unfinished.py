"""A kubeadm that began on a node and did not come to its end, because power, disk or time ran out.

A note is on the disk from before kubeadm begins until all that it made is on the disk too. Where it is still there,
what is there of a cluster is half made and by that kubeadm: nothing depends on it, and it may be taken away. Without
the note nobody knows whose it is, and nothing is taken away.
"""

from __future__ import annotations

from pic4ser_lib.operations.kubeadm.configuration import CRI_SOCKET
from pic4ser_lib.steps import Run

_FOLDER = "/var/lib/pic4ser"
NOTE = f"{_FOLDER}/kubeadm-began"
_BEGIN = f"mkdir -p {_FOLDER} && date -u +%FT%TZ >{NOTE} && sync {NOTE} {_FOLDER}"
# kubeadm, the kubelet and containerd sync nothing of what they write: what a power cut leaves of it are empty files.
_END = f"sync -f /etc/kubernetes /var/lib && rm -f {NOTE} && sync {_FOLDER}"
# Without a readable manifest of etcd, which a power cut may have left empty, kubeadm forgets its data.
_RESET = f"kubeadm reset -f --cri-socket {CRI_SOCKET} && rm -rf /var/lib/etcd/member"


def begin() -> Run:
    """The note, with the time, before kubeadm begins."""
    return Run(_BEGIN)


def end() -> Run:
    """The note is gone once what kubeadm made is on the disk."""
    return Run(_END)


def to_its_end(command: str) -> str:
    """`command`, which runs kubeadm, and the same after it; also when nobody is there any more to ask for that."""
    return f"{command} &&\n{_END}"


def clear() -> Run:
    """What it left is gone; the note stays for the kubeadm that follows."""
    return Run(_RESET, timeout=600.0)
