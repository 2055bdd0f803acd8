"""NVIDIA's container toolkit: four packages that are of one version, or do not work together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.operations import packages

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)


def toolkit_pinned(site: Site) -> packages.Pinned:
    """The toolkit is installed at the site's version, with the packages that belong to it."""
    return packages.pinned(PACKAGES, site.versions.nvidia_container_toolkit)


def toolkit_held() -> packages.Held:
    """apt upgrades leave the toolkit alone: an upgrade under running pods is an operator's decision."""
    return packages.held(*PACKAGES)
