"""Whether a node can use the export: asked before anything is installed, because the kubelet says it badly and late.

The question mounts the export where nobody else sees it (a mount namespace of its own, gone with the question) and
writes nothing. Whether root may write is asked of the server itself: NFS has a request for that, and its answer counts
a squashed root. What no question can tell is whether a write really arrives; that is the proof's part.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations.look import Finding, Look
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.storage.wanted import storage_of
from pic4ser_lib.steps import Action, Later, Shell

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

_LOOK = """
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
state=$(dpkg-query -W -f='${db:Status-Status}' nfs-common 2>/dev/null || true)
[ "$state" = installed ] || { echo "@lacking: nfs-common"; exit 0; }
address=$(getent ahostsv4 %SERVER% | awk 'NR == 1 {print $1}')
echo "@address: $address"
[ -n "$address" ] || exit 0
timeout 10 bash -c "</dev/tcp/$address/2049" 2>/dev/null || { echo "@port: closed"; exit 0; }
m=$(mktemp -d /run/pic4ser-nfs.XXXXXX); trap 'rmdir "$m"' EXIT
timeout 50 unshare --mount --propagation private bash -c '
  said=$(mount -t nfs -o soft,timeo=50,retrans=2,retry=0,noatime "$1" "$0" 2>&1) || { echo "@failed: "$said; exit 0; }
  echo "@root: $(stat -c "%a %U" "$0")"
  if [ -w "$0" ]; then echo "@writable: yes"; else echo "@writable: no"; fi
' "$m" %EXPORT% || echo "@failed: no answer within 50 seconds"
"""


@dataclass(frozen=True)
class Reach:
    """How far a node gets: a package it lacks, the server's address, its port, the mount, and root's rights there."""

    lacking: str = ""
    address: str = ""
    port_closed: bool = False
    failed: str = ""
    root: str = ""
    writable: bool = False

    def __str__(self) -> str:
        if self.lacking:
            return f"no {self.lacking}"
        if not self.address:
            return "the server's name means nothing here"
        if self.port_closed:
            return f"nothing answers on TCP 2049 of {self.address}"
        if self.failed:
            return self.failed
        return (
            "mounted, root may write" if self.writable else f"mounted, root may not write (mode and owner {self.root})"
        )


@dataclass(frozen=True)
class ExportReachable(Look):
    """The node can mount the export, and root may make folders in it."""

    server: str
    path: str
    node_address: str
    name: str = "storage.export_reachable"
    wanted: str = "the NFS export can be mounted here, and root may make folders in it"

    def probe(self) -> Shell:
        """A mount that nobody else sees, and that is gone when the answer is there."""
        export = f"{self.server}:{self.path}"
        return Shell(_LOOK.replace("%SERVER%", shlex.quote(self.server)).replace("%EXPORT%", shlex.quote(export)))

    def parse(self, raw: str) -> Reach:
        """All of it by name."""
        said = marked(raw)
        return Reach(
            lacking=said.get("lacking", ""),
            address=said.get("address", ""),
            port_closed="port" in said,
            failed=said.get("failed", ""),
            root=said.get("root", ""),
            writable=said.get("writable") == "yes",
        )

    def actions(self, seen: Reach) -> list[Action] | Later:  # type: ignore[override]
        """None, ever. Raises Refused with what is in the way."""
        if seen.lacking:
            return Later("packages.installed(nfs-common)", "the node cannot mount NFS yet")
        return super().actions(seen)

    def findings(self, seen: Reach) -> list[Finding]:
        """What is in the way, and what would mend it on the server."""
        return [Finding(str(seen), remedy) for remedy in self._remedies(seen)]

    def _remedies(self, seen: Reach) -> Iterator[str]:
        there = f"on {self.server}"
        if not seen.address:
            yield "Is storage.server in cluster.yaml right? Then DNS or /etc/hosts has to know it on every node."
        elif seen.port_closed:
            yield f"Look {there}: systemctl status nfs-server; and is there a firewall on the way?"
        elif "denied" in seen.failed or "not permitted" in seen.failed:
            yield f"Add {self.node_address} to the line of {self.path} in /etc/exports {there}; then exportfs -ra."
        elif "No such file" in seen.failed:
            yield f"Is storage.path in cluster.yaml right? {there.capitalize()}: exportfs -v lists what is exported."
        elif seen.failed:
            yield f"Try it by hand: mount -t nfs {self.server}:{self.path} /mnt; and look {there}: exportfs -v."
        elif not seen.writable:
            yield (
                "The server takes this node's root for nobody (root_squash), or exports read-only: claims would stay "
                f"Pending. {there.capitalize()}: export it rw,no_root_squash to the nodes, or chmod 0777 {self.path}."
            )


def export_reachable(site: Site, node: Node) -> ExportReachable:
    """This node can mount the site's export, and root may make folders in it."""
    storage = storage_of(site)
    return ExportReachable(storage.server, storage.path, node.address)
