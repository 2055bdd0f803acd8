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

_DOCKER = {
    "url": "https://download.docker.com/linux/ubuntu",
    "suite": "noble",
    "components": ["stable"],
    "key_url": "https://download.docker.com/linux/ubuntu/gpg",
    "fingerprint": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    "keyring": "/etc/apt/keyrings/docker.asc",
    "list_file": "/etc/apt/sources.list.d/docker.list",
}


def upstream(*, kubernetes: str, flannel: str) -> dict[str, Any]:
    """Upstream's sources for these versions, in the form of cluster.yaml's `sources`.

    Ubuntu 24.04 (noble) is assumed for Docker's repository, as the document has Ubuntu. A flannel whose checksum is
    not known here gets none, so that the site has to say it.
    """
    repository = f"https://pkgs.k8s.io/core:/stable:/v{'.'.join(kubernetes.split('.')[:2])}/deb/"
    manifest = {"url": f"https://github.com/flannel-io/flannel/releases/download/v{flannel}/kube-flannel.yml"}
    if flannel in FLANNEL_SHA256:
        manifest["sha256"] = FLANNEL_SHA256[flannel]
    return {
        "apt": {"docker": dict(_DOCKER), "kubernetes": _kubernetes(repository)},
        "manifests": {"flannel": manifest},
        "images": {"proof": "docker.io/library/busybox:1.37.0"},
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
    return {"kubernetes": right.get("kubernetes", "0.0.0"), "flannel": right.get("flannel", NEWEST_FLANNEL)}


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
