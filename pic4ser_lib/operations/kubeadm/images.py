"""What a control plane runs is on the machine before kubeadm makes it (upstream: kubeadm config images pull).

Machines fetch at the same time, while no API server and no etcd run yet that would have to keep up meanwhile; and a
registry that cannot be reached says so before anything of a cluster exists.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.kubeadm.configuration import CRI_SOCKET
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Decision, Later, Run, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

_MADE = "/etc/kubernetes/manifests/kube-apiserver.yaml"
# Which images those are is kubeadm's knowledge; where it does not say, its pull will say why. An image that is half
# there has no name yet.
_QUESTION = f"""
echo "@made: $([ ! -e {_MADE} ] || echo yes)"
echo "@kubeadm: $(kubeadm version -o short 2>/dev/null || true)"
if [ ! -e {_MADE} ]; then
  wanted=$(kubeadm config images list OF 2>/dev/null) || wanted=unknown
  there=$(ctr -n k8s.io images ls -q || true)
  echo "@missing: $(echo "$wanted" | grep -vxF -e "$there" | tr '\\n' ' ')"
fi
"""


@dataclass(frozen=True)
class Images:
    """Whether a control plane has been made here already, whose images were all there then; else what is missing."""

    made: bool
    kubeadm: str
    missing: tuple[str, ...]

    def __str__(self) -> str:
        if self.made:
            return "a control plane was made here"
        return f"{len(self.missing)} not there: {', '.join(self.missing)}" if self.missing else "all are there"


@dataclass(frozen=True)
class ImagesPulled(Step):
    """The images of a control plane are on the node, at the site's version, before one is made there."""

    version: str
    repository: str
    name: str = "kubeadm.images_pulled"
    wanted: str = "what a control plane runs is on the node"

    @property
    def _of(self) -> str:
        return f"--kubernetes-version v{self.version} --image-repository {shlex.quote(self.repository)}"

    def probe(self) -> Shell:
        """kubeadm's list, without those that containerd has."""
        return Shell(_QUESTION.replace("OF", self._of))

    def parse(self, raw: str) -> Images:
        """The images' full names."""
        said = marked(raw)
        return Images(said["made"] == "yes", said["kubeadm"], tuple(said.get("missing", "").split()))

    def actions(self, seen: Images) -> Decision:
        """Nothing on a node that is a control plane: what its kubelet then fetches or clears away is its own affair."""
        if seen.made:
            return []
        if seen.kubeadm != f"v{self.version}":
            return Later("kubeadm", "notebook 01 installs it, at the site's version")
        if not seen.missing:
            return []
        pull = f"kubeadm config images pull --cri-socket {CRI_SOCKET} {self._of}"
        # containerd syncs no file that it unpacks, and takes an image for whole that a power cut has left empty.
        return [Run(f"{pull} && sync -f /var/lib/containerd", timeout=900.0)]


def images_pulled(site: Site, node: Node) -> ImagesPulled | None:
    """The control plane's images are on this node; nothing on a worker, which fetches its one when it joins."""
    if node.role != "control-plane":
        return None
    return ImagesPulled(site.versions.kubernetes, site.sources.image_repository)
