"""The helm command, from its pinned archive."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations import archives, files
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.steps import Decision, Later, Run, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

PATH = "/usr/local/bin/helm"
# root's own helm, with the cluster's own credentials, whatever the login that became root had set.
ENVIRONMENT = "HOME=/root KUBECONFIG=/etc/kubernetes/admin.conf"
_LOOK = """
command -v curl >/dev/null || echo "@lacking: curl"
version() { "$1" version --template '{{.Version}}' 2>/dev/null || echo "no answer"; }
[ ! -x PATH ] || echo "@version: $(version PATH)"
others=$(type -aP helm | grep -vxF PATH | sort -u | while read -r f; do echo "$f $(version "$f")"; done | paste -sd ';')
echo "@others: $others"
"""


@dataclass(frozen=True)
class Helms:
    """The helm at its place (empty: none), others in root's path, and the archive where it had to be looked at."""

    version: str
    others: str
    lacking: str
    archive: archives.Seen

    @property
    def note(self) -> str:
        """What else is there and could be taken for it."""
        old = "Helm 3 is replaced; its releases go on under Helm 4" if self.version.startswith("3.") else ""
        return "; ".join(filter(None, (old, f"also on this node: {self.others}" if self.others else "")))

    def __str__(self) -> str:
        if not self.version:
            return "no helm"
        return f"helm {self.version}" + (" (Helm 3)" if self.version.startswith("3.") else "")


@dataclass(frozen=True)
class HelmInstalled(Step):
    """The pinned helm is in /usr/local/bin."""

    version: str
    url: str
    sha256: str
    name: str = "charts.helm_installed"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the version."""
        return f"helm {self.version} is installed"

    def probe(self) -> Shell:
        """The version at its place and elsewhere; an archive without a checksum is fetched for its sum."""
        look = _LOOK.replace("PATH", PATH)
        if not self.sha256:
            there = f"[ \"$(version {PATH})\" = 'v{self.version}' ]"
            look += f"{there} || {archives.look(self.url)}\n"
        return Shell(look)

    def parse(self, raw: str) -> Helms:
        """All of it by name."""
        said = marked(raw)
        version = re.sub(r"^v|\+.*$", "", said.get("version", ""))
        return Helms(version, said.get("others", ""), said.get("lacking", ""), archives.seen(said))

    def actions(self, seen: Helms) -> Decision:
        """Fetch, compare, unpack beside, try it, and only then put it in place in one move."""
        if seen.version == self.version:
            return []
        if seen.lacking:
            return Later("packages.dependencies", f"{seen.lacking} not installed")
        archives.judged(self, "helm", seen.archive, published=f"{self.url}.sha256sum")
        return [Run(self._install(), timeout=700)]

    def _install(self) -> str:
        beside = f"{posixpath.dirname(PATH)}/.helm.new"
        version = '"$("$t/helm" version --template \'{{.Version}}\')"'
        return (
            "(t=$(mktemp -d) && trap 'rm -rf \"$t\"' EXIT && "
            f"{archives.checked(self, '$t/archive')} && "
            'tar -xzf "$t/archive" -C "$t" --strip-components=1 && '
            f"{{ [ {version} = v{self.version} ] || {{ echo 'the archive holds helm '{version} >&2; exit 1; }}; }} && "
            f'install -m 0755 "$t/helm" {beside} && {files.put_in_place(beside, PATH)})'
        )


def helm_installed(site: Site) -> HelmInstalled:
    """The site's version of helm is in /usr/local/bin of this node; another one there is replaced."""
    archive = site.sources.archives["helm"]
    return HelmInstalled(site.versions.helm, archive.url, archive.sha256)
