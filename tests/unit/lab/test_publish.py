"""Files for the mirror: there whole or not, replaced in place, and gone when nothing serves them any more."""

from __future__ import annotations

from pathlib import Path

from pic4ser_lib.lab.publish import publish


def _tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _seen(top: Path) -> dict[str, str]:
    return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}


def test_trees_lie_below_their_paths(tmp_path: Path) -> None:
    apt, files = _tree(tmp_path / "apt", debian__Packages="p"), _tree(tmp_path / "files", helm="h")
    publish([("", apt), ("files", files)], tmp_path / "www", tmp_path / "list")
    assert _seen(tmp_path / "www") == {"debian/Packages": "p", "files/helm": "h"}


def test_what_is_there_already_is_not_touched(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "1", a="a")
    publish([("", tree)], tmp_path / "www", tmp_path / "list")
    before = (tmp_path / "www/a").stat()
    publish([("", tree)], tmp_path / "www", tmp_path / "list")
    assert (tmp_path / "www/a").stat() == before


def test_a_newer_tree_replaces_and_removes(tmp_path: Path) -> None:
    publish([("", _tree(tmp_path / "1", a="old", b="gone"))], tmp_path / "www", tmp_path / "list")
    publish([("", _tree(tmp_path / "2", a="newer", c="more"))], tmp_path / "www", tmp_path / "list")
    assert _seen(tmp_path / "www") == {"a": "newer", "c": "more"}


def test_one_stage_leaves_the_files_of_another(tmp_path: Path) -> None:
    first, second = _tree(tmp_path / "1", a="a"), _tree(tmp_path / "2", b="b")
    publish([("", first), ("", second)], tmp_path / "www", tmp_path / "components.txt")
    publish([("", first)], tmp_path / "www", tmp_path / "cluster.txt")
    assert _seen(tmp_path / "www") == {"a": "a", "b": "b"}


def test_what_a_killed_one_left_does_no_harm(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "1", a="whole")
    (tmp_path / "www").mkdir()
    (tmp_path / "www/.a.new").write_text("ha")
    publish([("", tree)], tmp_path / "www", tmp_path / "list")
    assert _seen(tmp_path / "www") == {"a": "whole"}
