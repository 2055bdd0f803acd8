"""Where upstream serves everything, as of November 2026: what a site's `sources` means where it says nothing."""

from __future__ import annotations

from typing import Any

from pic4ser_lib.site.explain import nearest
from pic4ser_lib.site.reading import Document, merged
from pic4ser_lib.site.scalars import is_version

FLANNEL_SHA256 = {
    # Documentation/kube-flannel.yml in the sources of that tag. The release's asset is published from the same file;
    # that the two are equal to the byte could not be looked up when this was written.
    "0.28.10": "944a3c1f925f117727a1b7272a323c80965da642498397ec7e6ea9bef0f9e6c5",
}
NEWEST_FLANNEL = "0.28.10"
HELM_SHA256 = {
    # As get.helm.sh publishes it beside the archive for linux-amd64. That of 4.3.1 could not be looked up when this
    # was written: notebook 05 shows the sum of what it fetched and where to write it once it has been compared.
    "4.3.0": "86584a54def73570558f66f5111cc53dfed56689637ae32c1201205d494f54fb",
}
CHARTS = {
    "nfs-subdir-external-provisioner": ("https://kubernetes-sigs.github.io/nfs-subdir-external-provisioner/", "4.0.18"),
    "nvidia-device-plugin": ("https://nvidia.github.io/k8s-device-plugin", "0.20.0"),
    "kube-prometheus-stack": ("https://prometheus-community.github.io/helm-charts", "88.5.3"),
    "dcgm-exporter": ("https://nvidia.github.io/dcgm-exporter/helm-charts", "4.8.2"),
}

_DOCKER = {
    "url": "https://download.docker.com/linux/ubuntu",
    "suite": "noble",
    "components": ["stable"],
    "key_url": "https://download.docker.com/linux/ubuntu/gpg",
    "fingerprint": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    "keyring": "/etc/apt/keyrings/docker.asc",
    "list_file": "/etc/apt/sources.list.d/docker.list",
}
_NVIDIA = {
    "url": "https://nvidia.github.io/libnvidia-container/stable/deb/amd64",
    "suite": "/",
    "components": [],
    "key_url": "https://nvidia.github.io/libnvidia-container/gpgkey",
    "fingerprint": "C95B321B61E88C1809C4F759DDCAE044F796ECB0",
    "keyring": "/etc/apt/keyrings/nvidia-container-toolkit.asc",
    "list_file": "/etc/apt/sources.list.d/nvidia-container-toolkit.list",
}


def upstream(*, kubernetes: str, flannel: str, helm: str = "4.3.1", training_operator: str = "1.9.4") -> dict[str, Any]:
    """Upstream's sources for these versions, in the form of cluster.yaml's `sources`.

    Ubuntu 24.04 (noble) is assumed for Docker's repository, as the document has Ubuntu. A flannel whose checksum is
    not known here gets none, so that the site has to say it.
    """
    repository = f"https://pkgs.k8s.io/core:/stable:/v{'.'.join(kubernetes.split('.')[:2])}/deb/"
    manifest = {"url": f"https://github.com/flannel-io/flannel/releases/download/v{flannel}/kube-flannel.yml"}
    if flannel in FLANNEL_SHA256:
        manifest["sha256"] = FLANNEL_SHA256[flannel]
    return {
        "apt": {"docker": dict(_DOCKER), "kubernetes": _kubernetes(repository), "nvidia": dict(_NVIDIA)},
        "manifests": {"flannel": manifest},
        "archives": _archives(helm, training_operator),
        "charts": {
            name: {"repository": url, "name": name, "version": version} for name, (url, version) in CHARTS.items()
        },
        "images": {
            "proof": "docker.io/library/busybox:1.37.0",
            "vector-add": "nvcr.io/nvidia/k8s/cuda-sample:vectoradd-cuda10.2",
            "training": "docker.io/tensorflow/tensorflow:2.21.0-gpu",
        },
    }


def with_upstream(whole: Document) -> Document:
    """The document with upstream's sources wherever it names none; a source that nobody asks for is a problem."""
    said = whole.values.get("sources", {})
    if not isinstance(said, dict):
        return whole
    known = upstream(**_versions(whole))
    strangers = [(g, name) for g in known if isinstance(said.get(g), dict) for name in said[g] if name not in known[g]]
    problems = tuple(whole.problem(("sources", g, name), nearest(name, known[g])) for g, name in strangers)
    sources = merged(known, said)
    for group, name in strangers:
        sources[group] = {each: value for each, value in sources[group].items() if each != name}
    values = {**whole.values, "sources": sources}
    return Document(whole.file, values, whole.places, whole.problems + problems, whole.misread)


def _versions(whole: Document) -> dict[str, str]:
    said = whole.values.get("versions")
    parts = said if isinstance(said, dict) else {}
    right = {part: text for part, text in parts.items() if isinstance(text, str) and is_version(text)}
    newest = {"kubernetes": "0.0.0", "flannel": NEWEST_FLANNEL, "helm": "4.3.1", "training_operator": "1.9.4"}
    return {part: right.get(part, version) for part, version in newest.items()}


def _archives(helm: str, training_operator: str) -> dict[str, Any]:
    return {
        "helm": {
            "url": f"https://get.helm.sh/helm-v{helm}-linux-amd64.tar.gz",
            "sha256": HELM_SHA256.get(helm, ""),
        },
        "training-operator": {
            "url": f"https://github.com/kubeflow/trainer/archive/refs/tags/v{training_operator}.tar.gz",
            "sha256": "",
        },
    }


def _kubernetes(repository: str) -> dict[str, Any]:
    return {
        "url": repository,
        "suite": "/",
        "components": [],
        "key_url": f"{repository}Release.key",
        "fingerprint": "DE15B14486CD377B9E876E1A234654DA9A296436",
        "keyring": "/etc/apt/keyrings/kubernetes-apt-keyring.asc",
        "list_file": "/etc/apt/sources.list.d/kubernetes.list",
    }
