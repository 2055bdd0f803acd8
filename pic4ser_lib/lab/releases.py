"""What the mirror serves for virtual machines of another release of Debian than the lab's own: `releases` in the pins.

An artifact closure-<release> with Debian's packages, and apt-<release> with repositories that lie beside the first's.
"""

from __future__ import annotations

from collections.abc import Mapping

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import packages, repository
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Recipe


def known(pins: Pins) -> tuple[str, ...]:
    """The code names of the releases that a virtual machine may be, the lab's own first."""
    return (str(pins.debian["suite"]), *pins.debian["releases"])


def recipes(pins: Pins, made_of: Mapping[str, Recipe], release: str, *, fingerprint: str) -> dict[str, Recipe]:
    """closure-<release> and apt-<release>; none for the lab's own. Raises ArtifactError for one that no pin names."""
    if release not in known(pins):
        raise ArtifactError(artifact=release, wanted=f"a release among {', '.join(known(pins))}", seen=release)
    if release == pins.debian["suite"]:
        return {}
    pin = pins.debian["releases"][release]
    closure = packages.closure_of(f"closure-{release}", pin["closure"], made_of[f"root-vm-{release}"])
    apt = repository.another(
        f"apt-{release}",
        {**pins.debian["repositories"], "layouts": pin["layouts"]},
        {"docker": f"{packages.name_of('cluster')}/docker", repository.DEBIAN: closure.name},
        {**made_of, closure.name: closure},
        fingerprint=fingerprint,
    )
    return {closure.name: closure, apt.name: apt}
