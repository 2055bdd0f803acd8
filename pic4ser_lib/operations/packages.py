"""Packages: installed, at the pinned version, held (document: Setup nodes, from "Install dependencies" on)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pic4ser_lib.operations import apt
from pic4ser_lib.operations.sources import dead_sources_removed, keyring, source
from pic4ser_lib.steps import Action, Decision, Later, Refused, Run, Shell, Step

__all__ = ["dead_sources_removed", "dependencies", "held", "installed", "keyring", "pinned", "source"]

DEPENDENCIES = ("apt-transport-https", "ca-certificates", "curl", "gnupg", "lsb-release")
"""The document's, but for gnupg2 (an old name of gnupg) and software-properties-common (add-apt-repository, which
nothing here uses, and which Debian 13 no longer has)."""


@dataclass(frozen=True)
class Installed(Step):
    """Packages of the distribution are installed, in whatever version."""

    names: tuple[str, ...]
    name: str = "packages.installed"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the packages in it."""
        return f"{', '.join(self.names)} {_are(self.names)} installed"

    def probe(self) -> Shell:
        """dpkg's state, and what the lists offer if something is missing."""
        return Shell(apt.ask(self.names))

    def parse(self, raw: str) -> apt.Packages:
        """dpkg's state."""
        return apt.read(raw, self.names)

    def actions(self, seen: apt.Packages) -> list[Action]:
        """Mend dpkg if it was interrupted; read the lists if they are old or lack a package; install."""
        missing = [package.name for package in seen.packages if not package.version]
        if not missing:
            return []
        known = all(seen.versions(name) for name in missing)
        return [*_mended(seen), Run(_fetched(apt.install(missing), update=not (known and seen.fresh)))]


@dataclass(frozen=True)
class Pinned(Step):
    """Packages are installed at a version; 1.36.3 means any build of it (1.36.3-*)."""

    names: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the packages in it."""
        return f"packages.pinned({', '.join(self.names)})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With names and versions."""
        return f"{', '.join(self.names)} {_are(self.names)} installed at {self.version}"

    def probe(self) -> Shell:
        """dpkg's state, what the lists offer if something is to do, and whether the node belongs to a cluster."""
        return Shell(apt.ask(self.names, unless=f"^[^ ]+ {re.escape(self.version)}(-.*)?$"))

    def parse(self, raw: str) -> apt.Packages:
        """dpkg's state."""
        return apt.read(raw, self.names)

    def actions(self, seen: apt.Packages) -> Decision:
        """Install what is missing or another version; on a node of a cluster another version is refused."""
        wrong = [package for package in seen.packages if not _matches(package.version, self.version)]
        if not wrong:
            return []
        if seen.joined and (other := [package for package in wrong if package.version]):
            raise Refused(self.wanted, f"{', '.join(map(str, other))}, on a node of a cluster", _UPGRADE)
        unknown = [package.name for package in wrong if not seen.versions(package.name)]
        if unknown:
            return Later("packages.source", f"no apt source of this node has {' or '.join(unknown)} yet")
        offered = all(any(_matches(v, self.version) for v in seen.versions(package.name)) for package in wrong)
        words = [f"{package.name}={self.version}-*" for package in wrong]
        command = apt.install(words, options="--allow-change-held-packages --allow-downgrades")
        return [*_mended(seen), Run(_fetched(command, update=not (offered and seen.fresh)))]


_UPGRADE = (
    "A new version goes through the upgrade procedure, one node at a time: kubeadm upgrade plan and apply (for "
    "containerd: kubectl drain, install, restart, uncordon). Until then let the site's versions name the installed one."
)


@dataclass(frozen=True)
class Held(Step):
    """apt upgrades leave the packages alone."""

    names: tuple[str, ...]
    name: str = "packages.held"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the packages in it."""
        return f"{', '.join(self.names)} {_are(self.names)} held"

    def probe(self) -> Shell:
        """dpkg's state."""
        return Shell(apt.ask(self.names))

    def parse(self, raw: str) -> apt.Packages:
        """dpkg's state."""
        return apt.read(raw, self.names)

    def actions(self, seen: apt.Packages) -> Decision:
        """`apt-mark hold`."""
        missing = [package.name for package in seen.packages if not package.version]
        if missing:
            return Later("packages.pinned", f"{', '.join(missing)} {_are(missing)} not installed")
        free = [package.name for package in seen.packages if not package.held]
        return [Run(f"apt-mark hold {' '.join(free)}")] if free else []


def installed(*names: str) -> Installed:
    """These packages are installed, in the distribution's version."""
    return Installed(names)


def dependencies() -> Installed:
    """What the following steps need: curl, gnupg and the like."""
    return Installed(DEPENDENCIES, "packages.dependencies")


def pinned(names: str | Sequence[str], version: str) -> Pinned:
    """One package, or several together, at a version: `pinned(("kubelet", "kubeadm", "kubectl"), "1.36.3")`."""
    return Pinned((names,) if isinstance(names, str) else tuple(names), version)


def held(*names: str) -> Held:
    """apt upgrades leave these packages alone."""
    return Held(names)


def _mended(seen: apt.Packages) -> list[Action]:
    return [Run(apt.mend())] if seen.interrupted else []


def _fetched(install: str, *, update: bool) -> str:
    return f"{apt.update()} && {install}" if update else install


def _matches(installed: str, version: str) -> bool:
    return installed == version or installed.startswith(f"{version}-")


def _are(things: Sequence[str]) -> str:
    return "is" if len(things) == 1 else "are"
