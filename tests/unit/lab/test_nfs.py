"""The files of NFS's stand-ins: a client everywhere, a server where the site has one or the runbook installs one."""

from __future__ import annotations

from pathlib import Path

from pic4ser_lib.lab import nfs
from pic4ser_lib.lab.nodes import NodeSpec

KITT = NodeSpec("kitt", "10.83.17.12", exports="/export/kubernetes")
ROVER = NodeSpec("rover", "10.83.17.13")


def _files(node: NodeSpec, folder: Path) -> dict[str, str | bytes]:
    program = folder / "nfs"
    program.write_bytes(b"\x7fELF")
    return {file.path: file.content or file.target for file in nfs.files(node, program=program)}


def test_only_the_sites_own_server_exports_from_the_start_and_only_to_the_lab(tmp_path: Path) -> None:
    assert _files(KITT, tmp_path)["/etc/exports"] == (
        "/export/kubernetes\t10.83.17.0/24(rw,sync,no_subtree_check,no_root_squash)\n"
    )
    assert "/etc/exports" not in _files(ROVER, tmp_path)
    assert {path for path in _files(KITT, tmp_path) if ".wants/pic4ser-nfs-server" in path}
    assert not {path for path in _files(ROVER, tmp_path) if ".wants/" in path and "server" in path}


def test_the_packages_unit_is_ours_and_starts_only_once_the_package_is_there(tmp_path: Path) -> None:
    unit = str(_files(ROVER, tmp_path)["/etc/systemd/system/nfs-server.service"])
    assert "ConditionPathExists=/usr/sbin/exportfs\n" in unit
    assert "ExecStart=/usr/local/lib/pic4ser/nfs serve\n" in unit


def test_every_node_has_the_program_and_a_unit_that_puts_it_in_the_place_of_the_packages(tmp_path: Path) -> None:
    files = _files(ROVER, tmp_path)
    assert files["/usr/local/lib/pic4ser/nfs"] == b"\x7fELF"
    links = {path: content for path, content in files.items() if ".wants/" in path}
    assert links
    assert set(links.values()) <= set(files)
