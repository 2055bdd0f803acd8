"""Which versions of Kubernetes' parts go together: the version skew policy as one table."""

from __future__ import annotations

import re
from collections.abc import Mapping

OLDEST_MINOR = 31
"""kubeadm reads configuration kubeadm.k8s.io/v1beta4, which this library writes, since 1.31."""

_ALLOWED = {
    # part: how many minors it may be off the control plane's target, oldest and newest
    "kubeadm": (0, 1),  # kubeadm X installs X and X-1
    "cluster": (-1, 0),  # an API server that runs already; the target's kubeadm handles X and X-1
    "kubelet": (-3, 0),  # never newer than the API server
    "kube-proxy": (-3, 0),
    "kubectl": (-1, 1),
}


def minor(version: str) -> tuple[int, int] | None:
    """Major and minor of a version such as 1.36.3, v1.36.3 or 1.36.3-1.1; None when it is no version."""
    match = re.match(r"v?(\d+)\.(\d+)(?:[.+~-]|$)", version)
    return (int(match[1]), int(match[2])) if match else None


def skew_problems(target: str, installed: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for each part of `installed` (part to version) that does not go with control plane `target`.

    Parts: kubeadm, kubelet, kubectl, kube-proxy, and cluster (the API server that runs already). Others are ignored.
    """
    wanted = minor(target)
    if wanted is None:
        return (f"{target} is no version of Kubernetes, x.y.z.",)
    return tuple(s for part in sorted(installed) if (s := _problem(part, installed[part], target, wanted)))


def _problem(part: str, version: str, target: str, wanted: tuple[int, int]) -> str:
    if part not in _ALLOWED:
        return ""
    seen = minor(version)
    if seen is None:
        return f"{part} says version {version!r}, which is none."
    oldest, newest = _ALLOWED[part]
    if seen[0] == wanted[0] and oldest <= seen[1] - wanted[1] <= newest:
        return ""
    low, high = f"{wanted[0]}.{wanted[1] + oldest}", f"{wanted[0]}.{wanted[1] + newest}"
    fits = low if low == high else f"{low} to {high}"
    return f"{part} {version} does not go with Kubernetes {target}: the skew policy allows {fits}."
