"""Makes many artifacts: each after those it needs, two at a time, one of the heavy ones at a time, with progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pic4ser_lib.lab import processes
from pic4ser_lib.lab.recipes import Recipe

Progress = Callable[[str, str, float], None]

_WORKERS = 2
_BEAT_SECONDS = 1.5  # a sign of life at least every 2 s


class _Plan:
    """What is still to be made, what is being made, and the first error."""

    def __init__(self, recipes: tuple[Recipe, ...], root: Path, progress: Progress) -> None:
        self.root, self.progress = root, progress
        self.waiting = [recipe for recipe in recipes if not recipe.folder(root).is_dir()]
        self.running: dict[str, tuple[Recipe, float]] = {}
        self.error: BaseException | None = None
        self.changed = threading.Condition()

    @property
    def finished(self) -> bool:
        return not self.running and (not self.waiting or self.error is not None)

    def take(self) -> Recipe | None:
        """The next recipe to make; waits until one is ready; None when there is nothing left to do."""
        with self.changed:
            self.changed.wait_for(lambda: self.error or not self.waiting or self._next())
            recipe = None if self.error else self._next()
            if recipe is not None:
                self.waiting.remove(recipe)
                self.running[recipe.name] = (recipe, time.monotonic())
            return recipe

    def done(self, recipe: Recipe, error: BaseException | None) -> None:
        with self.changed:
            _, since = self.running.pop(recipe.name)
            if error is not None and self.error is None:
                self.error = error
                processes.stop_all()
            self.changed.notify_all()
        self.progress(recipe.name, "failed" if error else "ready", time.monotonic() - since)

    def _next(self) -> Recipe | None:
        missing = {recipe.name for recipe in self.waiting} | set(self.running)
        busy = any(recipe.heavy for recipe, _ in self.running.values())
        for recipe in self.waiting:
            if not (recipe.heavy and busy) and not missing & {need.name for need in recipe.needs}:
                return recipe
        return None


def build_all(recipes: tuple[Recipe, ...], root: Path, progress: Progress) -> None:
    """Makes those that are missing, in the order given where nothing forbids it.

    The first error stops the others and is raised; so does Ctrl-C. What is complete by then stays.
    """
    processes.allow()
    plan = _Plan(recipes, root, progress)
    for recipe in recipes:
        progress(recipe.name, "waiting" if recipe in plan.waiting else "cached", 0.0)
    workers = [threading.Thread(target=_work, args=(plan,), name=f"artifacts-{n}") for n in range(_WORKERS)]
    with _stopping(plan):
        for worker in workers:
            worker.start()
        while not plan.finished:
            _beat(plan)
    for worker in workers:
        worker.join()
    if plan.error is not None:
        raise plan.error


def _work(plan: _Plan) -> None:
    while (recipe := plan.take()) is not None:
        try:
            recipe.ensure(plan.root)
        except BaseException as error:
            plan.done(recipe, error)
        else:
            plan.done(recipe, None)


def _beat(plan: _Plan) -> None:
    with plan.changed:
        plan.changed.wait_for(lambda: plan.finished, timeout=_BEAT_SECONDS)
        running = list(plan.running.items())
    for name, (_, since) in running:
        plan.progress(name, "building", time.monotonic() - since)


@contextmanager
def _stopping(plan: _Plan) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        with plan.changed:
            plan.error = plan.error or error
            processes.stop_all()
            plan.changed.notify_all()
        raise
