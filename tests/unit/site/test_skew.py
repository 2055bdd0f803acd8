"""Kubernetes' version skew policy, as a table: part, its version, the control plane's version, whether they go."""

import pytest

from pic4ser_lib.site import skew_problems
from pic4ser_lib.site.skew import minor


@pytest.mark.parametrize(
    ("part", "version", "target", "goes"),
    [
        ("kubeadm", "1.36.0", "1.36.3", True),
        ("kubeadm", "1.37.2", "1.36.3", True),  # kubeadm X installs X-1
        ("kubeadm", "1.38.0", "1.36.3", False),
        ("kubeadm", "1.35.9", "1.36.3", False),
        ("kubelet", "1.36.9", "1.36.3", True),  # the policy counts minors
        ("kubelet", "1.33.0", "1.36.3", True),
        ("kubelet", "1.32.9", "1.36.3", False),
        ("kubelet", "1.37.0", "1.36.3", False),  # never newer than the API server
        ("kube-proxy", "1.33.1", "1.36.3", True),
        ("kube-proxy", "1.37.0", "1.36.3", False),
        ("kubectl", "1.37.0", "1.36.3", True),
        ("kubectl", "1.34.0", "1.36.3", False),
        ("cluster", "1.35.4", "1.36.3", True),
        ("cluster", "1.34.4", "1.36.3", False),
        ("cluster", "1.37.0", "1.36.3", False),
        ("kubelet", "2.36.0", "1.36.3", False),
        ("kubelet", "v1.36.3", "1.36.3", True),
        ("kubelet", "1.36.3-1.1", "v1.36.3", True),
        ("containerd", "2.4.2", "1.36.3", True),  # not Kubernetes' to judge
    ],
)
def test_the_skew_policy(part: str, version: str, target: str, goes: bool) -> None:
    assert (skew_problems(target, {part: version}) == ()) == goes


def test_each_part_gets_its_sentence_in_a_fixed_order() -> None:
    assert skew_problems("1.36.3", {"kubelet": "1.37.0", "kubeadm": "1.34.1", "kubectl": "1.36.0"}) == (
        "kubeadm 1.34.1 does not go with Kubernetes 1.36.3: the skew policy allows 1.36 to 1.37.",
        "kubelet 1.37.0 does not go with Kubernetes 1.36.3: the skew policy allows 1.33 to 1.36.",
    )


@pytest.mark.parametrize("text", ["", "latest", "1", "1.x"])
def test_what_is_no_version_is_said(text: str) -> None:
    assert minor(text) is None
    assert "which is none" in skew_problems("1.36.3", {"kubelet": text})[0]
    assert "no version of Kubernetes" in skew_problems(text, {})[0]
