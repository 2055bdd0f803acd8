"""What can be said about container nodes without a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.identity import plain
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.lab.podman import Container, ContainerNode, cgroup_flags, held_bytes, mac, podman

V1 = "cache 900\nrss 5\ntotal_cache 1379262464\ntotal_rss 477425664\n"
V2 = "anon 405069824\nfile 1335439360\n"


@pytest.mark.parametrize(("told", "held"), [(V1, 477_425_664), (V2, 405_069_824), ("", 0)])
def test_memory_is_what_processes_hold_without_page_cache(told: str, held: int) -> None:
    assert held_bytes(told) == held


def test_an_address_has_one_local_unicast_card() -> None:
    assert mac("10.83.17.11") == ["--mac-address", "02:83:0a:53:11:0b"]


def test_podman_prepares_systemd_only_where_it_would_not_share_a_tree() -> None:
    assert "--systemd=false" in cgroup_flags(unified=False)
    assert "--systemd=always" in cgroup_flags(unified=True)


def test_a_failing_command_says_what_podman_said() -> None:
    with pytest.raises(LabError, match=r"podman (is not installed|.*unknown|.*unrecognized)"):
        podman("no-such-verb")


def _node(folder: Path) -> ContainerNode:
    spec = NodeSpec("kitt", "10.83.17.12")
    made = plain(spec, (), user_key="", apt_key="", host_key=("", ""))
    return ContainerNode(spec=spec, image="localhost/i:1", folder=folder, lab="/state", plain=made)


def test_a_container_is_prepared_only_when_its_files_were_put_into_it(tmp_path: Path) -> None:
    node = _node(tmp_path)
    seen = Container("pic4ser-kitt", "abc", node.config, "/state", "created", False)
    assert not node.prepared(None)
    assert not node.prepared(seen)
    (tmp_path / "prepared").write_text("an older one")
    assert not node.prepared(seen)
    (tmp_path / "prepared").write_text("abc")
    assert node.prepared(seen)


def test_a_new_identity_alone_makes_no_other_node(tmp_path: Path) -> None:
    assert _node(tmp_path).config == _node(tmp_path).config
