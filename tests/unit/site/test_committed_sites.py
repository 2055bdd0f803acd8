"""The two folders in parameters/ are sites, and mean what the document and the lab mean."""

import hashlib
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from pic4ser_lib.errors import SiteError
from pic4ser_lib.site import Site, load, upstream

PARAMETERS = Path(__file__).parents[3] / "parameters"
FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The committed lab with a local.yaml as `pic4ser lab up` writes it."""
    folder = tmp_path / "lab"
    shutil.copytree(PARAMETERS / "lab", folder, ignore=shutil.ignore_patterns("local.yaml"))
    (tmp_path / "id_ed25519").touch(mode=0o600)
    (tmp_path / "known_hosts").touch()
    (folder / "local.yaml").write_text(
        f"valid_on: 0af1\nssh: {{key: {tmp_path}/id_ed25519, known_hosts: ../known_hosts}}\n"
        "sources: {apt: {"
        + ", ".join(f"{name}: {{fingerprint: {FINGERPRINT}}}" for name in ("docker", "kubernetes", "nvidia"))
        + "}}\n"
    )
    return folder


def test_the_lab_is_a_site_with_its_local_yaml(lab: Path) -> None:
    site = load(lab, this_machine="0af1")
    assert site.binding_rows() == (
        ("bonnie", "control-plane", "10.83.17.11", 2),
        ("kitt", "control-plane", "10.83.17.12", 1),
        ("rover", "worker", "10.83.17.13", 1),
    )
    assert (site.name, site.first.name, site.confirm, site.valid_on) == ("lab", "bonnie", False, "0af1")


@pytest.mark.parametrize(("interface", "down"), [("lo", False), ("pic4ser-none", True)])
def test_a_lab_whose_network_is_not_there_is_refused_before_anything_is_sent(
    lab: Path, interface: str, down: bool
) -> None:
    with (lab / "local.yaml").open("a") as local:
        local.write(f"valid_while: {interface}\n")
    with pytest.raises(SiteError, match=r"the lab is down.*pic4ser lab up") if down else nullcontext():
        load(lab, this_machine="0af1")


def test_the_lab_takes_what_differs_by_machine_from_local_yaml(lab: Path) -> None:
    site = load(lab, this_machine="0af1")
    assert {source.fingerprint for source in site.sources.apt.values()} == {FINGERPRINT}
    assert {node.ssh.key for node in site.nodes} == {lab.parent / "id_ed25519"}
    assert all(node.ssh.known_hosts and node.ssh.known_hosts.is_file() for node in site.nodes)


def test_nothing_of_the_lab_is_fetched_from_outside(lab: Path) -> None:
    sources = load(lab, this_machine="0af1").sources
    urls = [*sources.registries.values(), *(manifest.url for manifest in sources.manifests.values())]
    urls += [each.url for each in (*sources.archives.values(), *sources.dashboards.values())]
    urls += [chart.repository for chart in sources.charts.values()]
    urls += [url for source in sources.apt.values() for url in (source.url, source.key_url)]
    assert [url for url in urls if not url.startswith(("http://10.83.17.2/", "http://10.83.17.2:5000/"))] == []
    assert {image.split("/")[0] for image in sources.images.values()} <= set(sources.registries)


def test_the_lab_of_another_machine_is_refused(lab: Path) -> None:
    with pytest.raises(SiteError, match="the lab of another machine"):
        load(lab, this_machine="b0b")


def test_the_lab_without_its_local_yaml_names_who_writes_it(lab: Path) -> None:
    (lab / "local.yaml").unlink()
    with pytest.raises(SiteError) as caught:
        load(lab, this_machine="0af1")
    assert [(p.key, p.value) for p in caught.value.problems] == [("completed_by", "pic4ser lab up")]


def test_bonnie_and_kitt_are_a_site_with_upstreams_own_sources() -> None:
    site = load(PARAMETERS / "pic4ser")
    assert [node.name for node in site.control_planes] == ["bonnie", "kitt"]
    assert site.workers == ()
    assert site.confirm
    assert site.storage is not None
    assert (site.storage.server, site.storage.path) == ("kitt2.polito.it", "/export/kubernetes")


def test_what_the_example_writes_out_is_what_a_site_gets_that_says_nothing() -> None:
    """So that the example's comment stays true, and nobody has to keep two lists in mind."""
    site = load(PARAMETERS / "pic4ser")
    said = {name: getattr(site.versions, name) for name in ("kubernetes", "flannel", "helm", "training_operator")}
    known = upstream(**said)
    written = site.sources.model_dump(mode="json")
    assert {group: written[group] for group in known} == known


def test_both_sites_pin_the_same_versions_and_the_same_manifest(lab: Path) -> None:
    here, there = load(lab, this_machine="0af1"), load(PARAMETERS / "pic4ser")
    only_here = here.versions.model_copy(update={"training_operator": there.versions.training_operator})
    assert only_here == there.versions
    assert here.sources.manifests["flannel"].sha256 == there.sources.manifests["flannel"].sha256


def test_every_field_of_the_schema_is_described() -> None:
    models = [Site.model_json_schema(), *Site.model_json_schema()["$defs"].values()]
    bare = [(m["title"], name) for m in models for name, field in m["properties"].items() if "description" not in field]
    assert bare == []
    assert [model["title"] for model in models if not model.get("description")] == []


def test_the_pinned_checksum_is_that_of_the_manifest_in_flannels_sources() -> None:
    module = Path.home() / ".cache/pic4ser/go/mod/github.com/flannel-io/flannel@v0.28.10"
    if not module.is_dir():
        pytest.skip("flannel's sources are not in the lab's cache yet")
    manifest = (module / "Documentation/kube-flannel.yml").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == load(PARAMETERS / "pic4ser").sources.manifests["flannel"].sha256
