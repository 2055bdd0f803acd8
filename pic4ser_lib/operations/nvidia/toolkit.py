"""NVIDIA's container toolkit: two packages that are of one version, or apt refuses them.

A third, libnvidia-container-tools, comes with them in any version that they accept: only the old mode, which neither
containerd nor a recent toolkit uses, calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.operations import packages

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

PACKAGES = ("nvidia-container-toolkit", "nvidia-container-toolkit-base")


def toolkit_pinned(site: Site) -> packages.Pinned:
    """The toolkit is installed at the site's version, with the package that has to be of the same."""
    return packages.pinned(PACKAGES, site.versions.nvidia_container_toolkit)


def toolkit_held() -> packages.Held:
    """apt upgrades leave the toolkit alone: an upgrade under running pods is an operator's decision."""
    return packages.held(*PACKAGES)
