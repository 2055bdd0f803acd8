"""A lab's folder with virtual machines: the same site, without what only containers need."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from pic4ser_lib.cli.lab import lab
from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import machines, sitefolder
from pic4ser_lib.lab.like import like
from pic4ser_lib.lab.nodes import NEXT_RELEASE, RELEASE, RELEASES
from pic4ser_lib.lab.virtual import FOR_CONTAINERS, virtual
from pic4ser_lib.site import Site, load
from pic4ser_lib.site.schema import Release

ROOT = Path(__file__).parents[3]
LAB = ROOT / "parameters" / "lab"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def _loaded(folder: Path, files: Path) -> Site:
    key, known = files / "key", files / "known_hosts"
    for file in (key, known):
        file.touch(mode=0o600)
    sitefolder.write_local(folder, key=key, known_hosts=known, fingerprint="A" * 40)
    return load(folder)


def test_its_nodes_are_the_same_and_virtual_machines() -> None:
    before, after = sitefolder.nodes_of(LAB), sitefolder.nodes_of(virtual(LAB))
    assert [(n.name, n.address, n.gpus) for n in after] == [(n.name, n.address, n.gpus) for n in before]
    assert {n.kind for n in before} == {"container"}
    assert {n.kind for n in after} == {"vm"}


def test_all_of_them_or_some_may_be_of_the_next_release() -> None:
    assert {n.release for n in sitefolder.nodes_of(virtual(LAB))} == {RELEASE}
    folder = virtual(LAB, NEXT_RELEASE)
    assert {n.release for n in sitefolder.nodes_of(folder)} == {NEXT_RELEASE}
    (folder / "nodes" / "kitt.yaml").write_text("address: 10.83.17.12\ngpus: 1\nkind: vm\n")
    nodes = sitefolder.nodes_of(folder)
    assert {n.name: n.release for n in nodes} == {"bonnie": NEXT_RELEASE, "kitt": RELEASE, "rover": NEXT_RELEASE}
    assert machines.releases(nodes) == (RELEASE, NEXT_RELEASE)


def test_a_release_can_be_told_by_command_and_by_file_alike() -> None:
    (option,) = (each for each in lab.commands["up"].params if each.name == "release")
    assert tuple(option.type.choices) == get_args(Release) == RELEASES


def test_a_release_for_containers_is_refused_before_anything_starts() -> None:
    said = CliRunner().invoke(lab, ["up", "--release", NEXT_RELEASE])
    assert said.exit_code == 2
    assert "--release is for virtual machines" in said.output


def test_it_loads_and_has_no_setting_for_a_shared_kernel(tmp_path: Path) -> None:
    site = _loaded(virtual(LAB), tmp_path)
    assert site.name == "lab-vm"
    for key in FOR_CONTAINERS:
        assert getattr(site, key) == type(site).model_fields[key].get_default(call_default_factory=True)
    assert not site.confirm


def test_notebook_06_sets_up_the_server_that_the_lab_played(tmp_path: Path) -> None:
    folder = virtual(LAB)
    site = _loaded(folder, tmp_path)
    assert site.storage
    assert (site.storage.node, site.storage.server, site.storage.path) == ("kitt", "10.83.17.12", "/export/kubernetes")
    assert [node.exports for node in sitefolder.nodes_of(folder)] == ["", "", ""]


def test_a_kernel_of_its_own_is_no_stand_in_but_a_virtual_machine_is(tmp_path: Path) -> None:
    names = {stand_in.name for stand_in in _loaded(virtual(LAB), tmp_path).stand_ins}
    assert not [name for name in names if "container nodes" in name or "mount.nfs" in name]
    assert [name for name in names if name.startswith("virtual machines on this machine")]
    assert len(names) == len(sitefolder.read(LAB / "cluster.yaml")["stand_ins"]) - 1


def test_a_rehearsal_of_ones_own_site_can_have_them_too(tmp_path: Path) -> None:
    site = _loaded(virtual(like(ROOT / "parameters" / "pic4ser")), tmp_path)
    assert site.name == "pic4ser-rehearsal-vm"
    assert site.storage
    assert site.storage.node == "kitt"


def test_written_from_itself_it_stays_where_it_is() -> None:
    folder = virtual(LAB)
    before = (folder / "cluster.yaml").read_text()
    again = virtual(folder)
    assert again == folder
    assert (again / "cluster.yaml").read_text().splitlines()[1:] == before.splitlines()[1:]


def test_a_kind_of_node_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "cluster.yaml").write_text("control_planes: [a]\n")
    (tmp_path / "nodes" / "a.yaml").write_text("address: 10.83.17.11\nkind: toaster\n")
    with pytest.raises(LabError, match="a is a toaster; kinds of nodes are container, vm"):
        sitefolder.nodes_of(tmp_path)


def test_a_virtual_machine_plays_no_nfs_server(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "cluster.yaml").write_text("control_planes: [a]\nstorage: {server: 10.83.17.11, path: /e}\n")
    (tmp_path / "nodes" / "a.yaml").write_text("address: 10.83.17.11\nkind: vm\n")
    with pytest.raises(LabError, match=r"name it as storage\.node"):
        sitefolder.nodes_of(tmp_path)
