"""The NFS server itself, for a site that has none yet: on the node that the site names, for its nodes only."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pic4ser_lib.operations import files, packages
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.services import at_boot
from pic4ser_lib.operations.storage.wanted import storage_of
from pic4ser_lib.steps import Action, Decision, Later, Refused, Run, Shell, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

PATH, UNIT = "/etc/exports.d/pic4ser.exports", "nfs-server.service"
# The provisioner makes and renames folders as root; the pods' own files belong to their own users.
OPTIONS = "rw,sync,no_subtree_check,no_root_squash"


@dataclass(frozen=True)
class Exports:
    """What the server has: its file, other files with the same folder, the folder, and what is exported right now."""

    installed: bool
    file: files.File | None
    others: tuple[str, ...]
    folder: bool
    active: frozenset[str]
    running: bool

    def __str__(self) -> str:
        if not self.installed:
            return "no NFS server"
        return f"exported to {', '.join(sorted(self.active)) or 'nobody'}" + (
            "" if self.running else ", server stopped"
        )


@dataclass(frozen=True)
class Exported(Step):
    """The folder is exported to the site's nodes, and the server runs."""

    folder: str
    clients: tuple[str, ...]
    name: str = "storage.exported"
    wanted: str = "the folder for claims is exported to the site's nodes, and to them only"

    def probe(self) -> Shell:
        """Our file, others that name the folder, and the server's own view."""
        folder = shlex.quote(self.folder)
        return Shell(
            "export PATH=$PATH:/usr/sbin:/sbin; "
            "command -v exportfs >/dev/null || { echo '@lacking: nfs-kernel-server'; exit 0; }; "
            f"{files.show(PATH)}; [ ! -d {folder} ] || echo '@folder: there'; "
            f"echo \"@others: $(grep -lsE -- '^\"?'{folder}'\"?[[:space:]]' /etc/exports /etc/exports.d/*.exports "
            f"| grep -vxF {PATH} | paste -sd ' ')\"; "
            f'echo "@running: $(systemctl is-active {UNIT} || true)"; '
            'exportfs -s 2>/dev/null | awk \'{print "@export " NR ": " $0}\''
        )

    def parse(self, raw: str) -> Exports:
        """Which clients have the folder with our options."""
        said = marked(raw)
        lines = [line.split() for key, line in said.items() if key.startswith("export ")]
        return Exports(
            "lacking" not in said,
            files.shown(raw).get(PATH),
            tuple(said.get("others", "").split()),
            "folder" in said,
            frozenset(client for words in lines if words[:1] == [self.folder] for client in map(_client, words[1:])),
            said.get("running") == "active",
        )

    def actions(self, seen: Exports) -> Decision:
        """The folder, our file, and the server told to read it."""
        if not seen.installed:
            return Later("storage.server_installed", "there is no NFS server yet")
        if seen.others:
            remedy = (
                "Somebody set it up already: leave storage.node empty in cluster.yaml, or take it out of that file."
            )
            raise Refused(self.wanted, f"{self.folder} is exported by {', '.join(seen.others)}", remedy)
        lines = "".join(f"    {client}({OPTIONS}) \\\n" for client in self.clients).removesuffix(" \\\n")
        written = files.edited(PATH, seen.file, f"{self.folder} \\\n{lines}\n")
        folder = shlex.quote(self.folder)
        made: list[Action] = [] if seen.folder else [Run(f"install -d -m 0755 {folder} && sync -f {folder}")]
        if not (made or written) and seen.running and set(self.clients) <= seen.active:
            return []
        return [*made, *written, Run("exportfs -ra") if seen.running else at_boot("enable --now", UNIT)]


def server_installed(site: Site, node: Node) -> packages.Installed | None:
    """The NFS server's package, on the node that the site names for it; nothing elsewhere."""
    return packages.installed("nfs-kernel-server") if storage_of(site).node == node.name else None


def exported(site: Site, node: Node) -> Exported | None:
    """The export for the site's nodes, on the node that the site names for it; nothing elsewhere."""
    storage = storage_of(site)
    clients = tuple(each.address for each in site.nodes)
    return Exported(storage.path, clients) if storage.node == node.name else None


def _client(word: str) -> str:
    """The client of `10.0.0.1(rw,no_root_squash,...)`, if it may write and its root is root; else nothing."""
    found = re.fullmatch(r"([^()]+)\((.*)\)", word)
    options = found[2].split(",") if found else []
    return found[1] if found and "rw" in options and "no_root_squash" in options else ""
