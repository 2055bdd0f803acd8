"""A lab's folder made from a site of one's own."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import sitefolder
from pic4ser_lib.lab.like import like, nodes, taken_from, unpinned
from pic4ser_lib.site import Site, load

REAL = Path(__file__).parents[3] / "parameters" / "pic4ser"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def _with(site: Site, **changes: object) -> Site:
    return site.model_copy(update=changes)


def test_names_roles_and_gpus_are_the_sites_and_addresses_the_labs() -> None:
    real, folder = load(REAL), like(REAL)
    specs = sitefolder.nodes_of(folder)
    assert [spec.name for spec in specs] == [node.name for node in real.nodes]
    assert specs[0].address == "10.83.17.11"
    assert "gpus: 2" in (folder / "nodes" / "bonnie.yaml").read_text()


def test_a_completed_folder_is_a_site_that_loads(tmp_path: Path) -> None:
    folder, key, known = like(load(REAL)), tmp_path / "key", tmp_path / "known_hosts"
    for file in (key, known):
        file.touch(mode=0o600)
    sitefolder.write_local(folder, key=key, known_hosts=known, fingerprint="A" * 40)
    site = load(folder)
    assert site.name == "pic4ser-rehearsal"
    assert site.endpoint == load(REAL).endpoint
    assert not site.confirm
    assert site.stand_ins


def test_some_node_of_the_lab_plays_the_sites_nfs_server() -> None:
    real = load(REAL)
    assert [spec.exports for spec in sitefolder.nodes_of(like(real))] == ["", "/export/kubernetes"]
    alone = _with(real, nodes=real.nodes[:1])
    assert [spec.exports for spec in sitefolder.nodes_of(like(alone))] == ["/export/kubernetes"]
    assert real.storage
    first = _with(real, storage=real.storage.model_copy(update={"server": real.first.address, "path": "/srv"}))
    assert [spec.exports for spec in sitefolder.nodes_of(like(first))] == ["/srv", ""]


def test_a_server_that_the_runbook_sets_up_is_left_to_the_runbook() -> None:
    real = load(REAL)
    assert real.storage
    for storage in (real.storage.model_copy(update={"node": "kitt"}), None):
        folder = like(_with(real, storage=storage))
        assert sitefolder.read(folder / "cluster.yaml")["storage"]["node"] == "kitt"
        assert [spec.exports for spec in sitefolder.nodes_of(folder)] == ["", ""]


def test_written_again_it_forgets_nodes_that_the_site_lost() -> None:
    folder = like(REAL)
    (folder / "nodes" / "gone.yaml").write_text("address: 10.83.17.14\n")
    assert not (like(REAL) / "nodes" / "gone.yaml").exists()


def test_a_version_without_artifacts_is_refused_with_the_list() -> None:
    real = load(REAL)
    old = _with(real, versions=real.versions.model_copy(update={"kubernetes": "1.30.0"}))
    with pytest.raises(LabError, match=r"no artifacts for kubernetes 1\.30\.0\. The lab is pinned to kubernetes 1\."):
        like(old)


def test_only_versions_that_differ_are_missing() -> None:
    assert unpinned({"kubernetes": "1.2.3", "flannel": "4"}, {"kubernetes": "1.2.3", "flannel": "5"}) == ["flannel 4"]


def test_a_pod_range_that_would_hold_the_labs_addresses_is_not_taken() -> None:
    real = load(REAL)
    clashing = _with(real, network=real.network.model_copy(update={"pod_cidr": "10.80.0.0/12"}))
    assert "network" in taken_from(real)
    assert "network" not in taken_from(clashing)


def test_more_nodes_than_addresses_are_refused() -> None:
    real = load(REAL)
    assert ip_address(list(nodes(_with(real, nodes=real.nodes * 100)).values())[-1].split()[1])
    with pytest.raises(LabError, match="260 nodes"):
        nodes(_with(real, nodes=real.nodes * 130))
