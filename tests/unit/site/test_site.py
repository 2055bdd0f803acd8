"""Finding a site's folder, choosing its nodes, and what a loaded site promises."""

import pickle
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from pic4ser_lib.errors import SiteError
from pic4ser_lib.site import Network, Site, load
from pic4ser_lib.site.reading import merged, parse

BASE = Path(__file__).parent / "base"


@pytest.fixture
def site() -> Site:
    return load(BASE)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two sites; the working directory is its notebooks/."""
    for name in ("alpha", "beta"):
        shutil.copytree(BASE, tmp_path / "parameters" / name)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def sentence_of(site: str | Path) -> str:
    with pytest.raises(SiteError) as caught:
        load(site)
    return str(caught.value)


def test_a_relative_path_is_tried_from_each_parent(checkout: Path) -> None:
    assert load("parameters/beta").path == checkout / "parameters/beta"


def test_a_folder_without_cluster_yaml_on_the_way_up_is_passed_by(checkout: Path) -> None:
    (checkout / "notebooks/parameters/beta").mkdir(parents=True)
    assert load("parameters/beta").path == checkout / "parameters/beta"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_folder_that_does_not_exist_lists_those_there_are(checkout: Path, absolute: bool) -> None:
    sentence = sentence_of(checkout / "parameters/bta" if absolute else "parameters/bta")
    assert "there are: parameters/alpha, parameters/beta; did you mean parameters/beta?" in sentence


def test_a_file_is_not_taken_for_a_folder(checkout: Path) -> None:
    assert "the site's folder, not a file in it" in sentence_of("parameters/beta/cluster.yaml")


def test_a_folder_of_something_else_says_that_it_has_no_cluster_yaml(checkout: Path) -> None:
    assert "a folder with a cluster.yaml" in sentence_of("parameters")


def test_nowhere_at_all_is_still_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence_of("nowhere").endswith("parameter site: nowhere; a folder that exists")


def test_a_home_folder_may_be_written_with_a_tilde(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(checkout))
    assert load("~/parameters/alpha").name == "alpha"


def test_a_file_that_is_not_utf8_is_a_problem(checkout: Path) -> None:
    (checkout / "parameters/beta/nodes/bob.yaml").write_bytes(b"address: 192.0.2.2 # caf\xe9\n")
    assert "nodes/bob.yaml: text in UTF-8" in sentence_of("parameters/beta")


def test_editors_leftovers_are_no_nodes(checkout: Path) -> None:
    for name in ("bob.yaml~", ".bob.yaml.swp", ".#bob.yaml"):
        (checkout / "parameters/beta/nodes" / name).write_text("?")
    assert len(load("parameters/beta").nodes) == 2


def test_a_nodes_own_ssh_is_laid_over_the_shared_one(checkout: Path) -> None:
    (checkout / "parameters/beta/nodes/bob.yaml").write_text("address: 192.0.2.2\nssh: {port: 2222, user: root}\n")
    ada, bob = load("parameters/beta").nodes
    assert (ada.ssh.user, ada.ssh.port, bob.ssh.user, bob.ssh.port) == ("ops", 22, "root", 2222)


def test_defaults_are_upstreams_and_the_documents(site: Site) -> None:
    assert site.network == Network()
    assert site.sources.apt["kubernetes"].url == "https://pkgs.k8s.io/core:/stable:/v1.36/deb/"
    assert site.confirm
    assert not site.stand_ins


def test_nodes_are_in_order_and_found_by_name(site: Site) -> None:
    assert [node.name for node in site.nodes] == ["ada", "bob"]
    assert (site.first, site.workers) == (site.node("ada"), (site.node("bob"),))


def test_a_star_selects_all_and_a_name_one(site: Site) -> None:
    assert site.select("*") == site.nodes
    assert site.binding_rows("bob") == (("bob", "worker", "192.0.2.2", 2),)


@pytest.mark.parametrize(("name", "hint"), [("bobb", "; did you mean bob?"), ("", ""), ("eve", "")])
def test_a_node_that_is_not_there_names_those_that_are(site: Site, name: str, hint: str) -> None:
    with pytest.raises(SiteError) as caught:
        site.select(name)
    assert str(caught.value).endswith(f'a node of this site, ada, bob, or "*" for all{hint}')


def test_a_site_is_frozen_in_every_part(site: Site) -> None:
    for part, name in ((site, "confirm"), (site.first, "address"), (site.first.ssh, "user"), (site.network, "mtu")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, None)


def test_a_site_and_its_error_travel_between_processes(site: Site) -> None:
    assert pickle.loads(pickle.dumps(site)) == site
    with pytest.raises(SiteError) as caught:
        site.node("x")
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_laying_one_file_over_another_twice_changes_nothing() -> None:
    base = parse("ssh: {user: a, port: 1}\nworkers: [x, y]\nkubelet: {a: {b: 1}}\n", file="cluster.yaml")
    over = parse("ssh: {port: 2}\nworkers: [z]\nkubelet: 5\n", file="local.yaml")
    once = over.over(base)
    assert once.values == {"ssh": {"user": "a", "port": 2}, "workers": ["z"], "kubelet": 5}
    assert over.over(once) == once
    assert merged(once.values, over.values) == once.values


def test_what_is_laid_over_is_placed_in_its_own_file() -> None:
    base = parse("ssh:\n  user: a\n  port: 1\nworkers: [x, y]\n", file="cluster.yaml")
    whole = parse("ssh:\n  port: 2\nworkers: [z]\n", file="local.yaml").over(base)
    assert [(whole.place(key).file, whole.place(key).line) for key in (("ssh", "user"), ("ssh", "port"))] == [
        ("cluster.yaml", 2),
        ("local.yaml", 2),
    ]
    assert whole.place(("workers", 1)).file == "local.yaml"


def test_a_folded_text_is_one_line() -> None:
    assert parse("title: >-\n  a long\n  title\n", file="cluster.yaml").values == {"title": "a long title"}
