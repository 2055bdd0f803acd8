"""What the nodes of a healthy cluster say of their own membership."""

from __future__ import annotations

from shlex import quote

import pytest
from lab_outside import ADDRESSES, on

from pic4ser_lib.operations.kubeadm.membership import Membership, membership, question


def asked(node: str) -> Membership:
    """As kubeadm's steps ask a node."""
    return membership(on(node, f"sudo bash -c {quote(question(ADDRESSES[node], 6443))}"))


@pytest.mark.parametrize("node", ADDRESSES)
def test_nothing_on_a_healthy_node_looks_as_a_power_cut_leaves_it(node: str) -> None:
    assert on(node, "sudo find /etc/kubernetes /var/lib/kubelet -name .kubelet-keep -empty") != ""
    assert asked(node).torn == ()


def test_an_empty_file_of_kubeadms_does() -> None:
    on("rover", "sudo touch /etc/kubernetes/pki/test.crt")
    try:
        assert asked("rover").torn == ("/etc/kubernetes/pki/test.crt",)
    finally:
        on("rover", "sudo rm /etc/kubernetes/pki/test.crt")
