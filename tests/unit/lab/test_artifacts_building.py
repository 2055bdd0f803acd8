"""Making many artifacts: in order, side by side where allowed, with a sign of life, and stopped at the first error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.building import build_all
from pic4ser_lib.lab.recipes import Made, Recipe


class _Told:
    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def __call__(self, artifact: str, state: str, seconds: float) -> None:
        self.states.append((artifact, state))


def _made(into: Path, made: Made) -> None:
    cache.write(
        into / "from", " ".join(sorted(path.joinpath("from").read_text() for path in made.values())) or "nothing"
    )


def test_each_artifact_is_made_after_those_it_needs(tmp_path: Path) -> None:
    stone = Recipe(name="stone", inputs={}, make=_made)
    wall = Recipe(name="wall", inputs={}, make=_made, needs=(stone,))
    house = Recipe(name="house", inputs={}, make=_made, needs=(wall, stone))
    told = _Told()
    build_all((house, wall, stone), tmp_path, told)
    assert [name for name, state in told.states if state == "ready"] == ["stone", "wall", "house"]
    assert (house.folder(tmp_path) / "from").read_text() == "nothing nothing"


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    stone = Recipe(name="stone", inputs={}, make=_made)
    build_all((stone,), tmp_path, _Told())
    told = _Told()
    build_all((stone,), tmp_path, told)
    assert told.states == [("stone", "cached")]


def test_only_one_heavy_artifact_is_made_at_a_time(tmp_path: Path) -> None:
    alone = threading.Lock()

    def heavy(into: Path, made: Made) -> None:
        assert alone.acquire(blocking=False), "another heavy one is being made"
        processes.run("heavy", ["sleep", "0.05"])
        alone.release()

    build_all(tuple(Recipe(name=f"h{n}", inputs={}, make=heavy, heavy=True) for n in range(4)), tmp_path, _Told())


def test_the_first_error_ends_the_running_command_and_starts_nothing_more(tmp_path: Path) -> None:
    running = threading.Event()

    def long(into: Path, made: Made) -> None:
        running.set()
        processes.run("long", ["sleep", "600"])

    def bad(into: Path, made: Made) -> None:
        assert running.wait(10)
        processes.run("bad", ["sh", "-c", "echo no such stone >&2; exit 3"])

    never = Recipe(name="never", inputs={}, make=_made)
    told = _Told()
    with pytest.raises(ArtifactError, match="it ended with 3 and said: no such stone") as caught:
        build_all(
            (Recipe(name="long", inputs={}, make=long), Recipe(name="bad", inputs={}, make=bad), never), tmp_path, told
        )
    assert caught.value.artifact == "bad"
    assert [state for name, state in told.states if name == "never"] == ["waiting"]
    assert ("long", "failed") in told.states


def test_a_long_build_gives_a_sign_of_life(tmp_path: Path) -> None:
    seen = threading.Event()

    def until_seen(into: Path, made: Made) -> None:
        assert seen.wait(30)

    def tell(artifact: str, state: str, seconds: float) -> None:
        if state == "building":
            seen.set()

    build_all((Recipe(name="slow", inputs={}, make=until_seen),), tmp_path, tell)
    assert seen.is_set()
