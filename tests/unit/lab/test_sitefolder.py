"""The part of a site's folder that the lab itself reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import sitefolder
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.site.schema import Dilation


def _site(folder: Path, **addresses: str) -> Path:
    (folder / "nodes").mkdir(parents=True)
    first, *rest = addresses
    (folder / "cluster.yaml").write_text(f"control_planes: [{first}]\nworkers: [{', '.join(rest)}]\n")
    for name, address in addresses.items():
        (folder / "nodes" / f"{name}.yaml").write_text(f"address: {address}\n")
    return folder


def test_nodes_are_read_in_the_order_of_the_site(tmp_path: Path) -> None:
    nodes = sitefolder.nodes_of(_site(tmp_path / "s", kitt="10.83.17.12", bonnie="10.83.17.11"))
    assert nodes == (NodeSpec("kitt", "10.83.17.12"), NodeSpec("bonnie", "10.83.17.11"))


def test_gpus_and_the_export_belong_to_the_node_that_the_site_names(tmp_path: Path) -> None:
    site = _site(tmp_path / "s", bonnie="10.83.17.11", kitt="10.83.17.12")
    (site / "nodes" / "bonnie.yaml").write_text("address: 10.83.17.11\ngpus: 2\n")
    with (site / "cluster.yaml").open("a") as file:
        file.write("storage: {server: 10.83.17.12, path: /export/kubernetes}\n")
    assert [(n.gpus, n.exports) for n in sitefolder.nodes_of(site)] == [(2, ""), (0, "/export/kubernetes")]


def test_a_server_that_the_runbook_sets_up_is_not_played_by_the_lab(tmp_path: Path) -> None:
    site = _site(tmp_path / "s", kitt="10.83.17.12")
    with (site / "cluster.yaml").open("a") as file:
        file.write("storage: {server: 10.83.17.12, path: /export, node: kitt}\n")
    assert [node.exports for node in sitefolder.nodes_of(site)] == [""]


@pytest.mark.parametrize("address", ["192.0.2.11", "10.83.17.2", "10.83.17.255", "", "bonnie.example.org"])
def test_an_address_outside_the_lab_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(LabError, match=r"bonnie has .*; the lab's nodes live in 10.83.17.0/24"):
        sitefolder.nodes_of(_site(tmp_path / "s", bonnie=address))


@pytest.mark.parametrize(
    ("told", "said"),
    [("kind: vm\nrelease: woody", "releases of Debian are bookworm, trixie"), ("release: trixie", "make it a virtual")],
)
def test_a_release_that_there_is_no_image_of_is_refused(tmp_path: Path, told: str, said: str) -> None:
    site = _site(tmp_path / "s", bonnie="10.83.17.11")
    (site / "nodes" / "bonnie.yaml").write_text(f"address: 10.83.17.11\n{told}\n")
    with pytest.raises(LabError, match=said):
        sitefolder.nodes_of(site)


def test_two_nodes_with_one_address_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="two nodes have the same address"):
        sitefolder.nodes_of(_site(tmp_path / "s", a="10.83.17.11", b="10.83.17.11"))


def test_a_node_cannot_be_called_like_the_mirror(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="name of the lab's mirror"):
        sitefolder.nodes_of(_site(tmp_path / "s", mirror="10.83.17.11"))


def test_a_relative_folder_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = _site(tmp_path / "parameters" / "s", bonnie="10.83.17.11")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert sitefolder.found("parameters/s") == site
    with pytest.raises(LabError, match=r"no cluster.yaml there"):
        sitefolder.found("parameters/none")


def _completed(folder: Path) -> Path:
    return sitefolder.write_local(folder, key=Path("/k"), known_hosts=Path("/h"), fingerprint="A" * 40)


def test_local_yaml_is_written_once_and_removed(tmp_path: Path) -> None:
    path = _completed(tmp_path)
    written = path.stat().st_mtime_ns
    assert _completed(tmp_path).stat().st_mtime_ns == written
    sitefolder.remove_local(tmp_path)
    sitefolder.remove_local(tmp_path)
    assert not path.exists()


def test_local_yaml_says_what_differs_from_machine_to_machine() -> None:
    from ruamel.yaml import YAML

    text = sitefolder.local(
        key=Path("/a b/k"),
        known_hosts=Path("/h"),
        fingerprint="A" * 40,
        machine="m1",
        interface="podman3",
        archives={"helm": "b" * 64},
    )
    told = YAML(typ="safe").load(text)
    assert told == {
        "valid_on": "m1",
        "valid_while": "podman3",
        "ssh": {"key": "/a b/k", "known_hosts": "/h"},
        "sources": {
            "apt": {name: {"fingerprint": "A" * 40} for name in ("docker", "kubernetes", "nvidia")},
            "archives": {"helm": {"sha256": "b" * 64}},
        },
    }


def test_slow_machines_are_waited_for_longer_and_others_as_usual() -> None:
    told = {"key": Path("/k"), "known_hosts": Path("/h")}
    texts = [sitefolder.local(**told, fingerprint="", machine="m", patience=patience) for patience in (1, 10)]
    assert ["patience: 10" in text.splitlines() for text in texts] == [False, True]
    assert ["containerd: {stats_collect_period: 30s}" in text.splitlines() for text in texts] == [False, True]
    assert "patience" not in texts[0]
    assert "containerd" not in texts[0]


def test_what_time_it_is_on_slowed_machines_is_said() -> None:
    told = {"key": Path("/k"), "known_hosts": Path("/h"), "fingerprint": "", "machine": "m"}
    from ruamel.yaml import YAML

    text = sitefolder.local(**told, dilation=Dilation(since=1_700_000_000.25, times=4))
    assert YAML(typ="safe").load(text)["dilation"] == {"since": 1_700_000_000.25, "times": 4}
    assert "dilation" not in sitefolder.local(**told)


def test_a_machine_without_an_id_of_its_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(LabError, match=r"systemd-machine-id-setup"):
        sitefolder.machine_id([tmp_path / "empty", tmp_path / "missing"])
