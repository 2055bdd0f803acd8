"""Rooms have one door: which module may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "pic4ser_lib"
MODULES = sorted(LIBRARY.rglob("*.py"))

# A package (left) may be imported only below these paths of the library.
DOORS = {
    "fabric": ("host",),
    "paramiko": ("host",),
    "invoke": ("host",),
    "kubernetes": ("cluster",),
    "papermill": ("runbook",),
    "pic4ser_lib.lab": ("lab", "cli"),
}
PURE_MAY_IMPORT = ("pic4ser_lib.steps", "pic4ser_lib.errors", "pic4ser_lib.operations")
I_O = ("socket", "subprocess", "urllib.request", "requests", "shutil", "os", "pic4ser_lib.host", "pic4ser_lib.cluster")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room(path: Path) -> str:
    """The first part of a module's path: `host` for host.py and for host/channel.py."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_a_room_is_entered_by_its_own_door_only(path: Path) -> None:
    for package, rooms in DOORS.items():
        strangers = {name for name in imported(path) if within(name, package)}
        assert not strangers or room(path) in rooms, f"{path.name} imports {strangers}: only {rooms} may"


@pytest.mark.parametrize("path", sorted((LIBRARY / "operations").rglob("*.py")), ids=lambda p: p.stem)
def test_operations_import_steps_and_nothing_with_input_or_output(path: Path) -> None:
    names = imported(path)
    ours = {n for n in names if within(n, "pic4ser_lib") and not any(within(n, p) for p in PURE_MAY_IMPORT)}
    allowed = {n for n in ours if n == "pic4ser_lib" or within(n, "pic4ser_lib.site")}
    assert ours <= allowed, f"{path.name} imports {ours - allowed}"
    assert not {n for n in names for package in I_O if within(n, package)}


def test_the_lock_of_fabric_is_seen_by_this_test() -> None:
    """The test itself can fail: it sees imports inside functions."""
    assert any(within(n, "fabric") for path in MODULES if room(path) == "host" for n in imported(path))
