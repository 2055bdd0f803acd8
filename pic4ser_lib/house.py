"""Where the runbook lies: notebooks/, parameters/ and training/, in a checkout or copy, or as pip installed it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from pic4ser_lib.errors import Problem, SiteError

PARTS = ("notebooks", "parameters", "training")
"""What stands beside the library and belongs to the runbook."""

_BESIDE = Path(__file__).parents[1]  # the checkout, or where pip keeps packages
_NOTEBOOK = "[0-9][0-9]_*.ipynb"
_NOT_COPIED = shutil.ignore_patterns("local.yaml", ".*", "__pycache__")  # what belongs to one machine


def house_of(site: Path) -> Path:
    """The folder where a site's notebooks are executed and its runs are kept, beside notebooks/ or parameters/.

    That is the nearest folder with notebooks, from the site's folder upward, then from here, then this checkout.
    """
    if house := next(_with_notebooks(site), None):
        return house
    if _has_notebooks(_BESIDE):
        return _BESIDE
    return site.resolve().parent.parent if site.resolve().parent.name == "parameters" else Path.cwd()


def notebooks_of(site: Path) -> Path:
    """The folder of the notebooks that a site is run with: the nearest ones, else those that pip installed."""
    return (next(_with_notebooks(site), None) or shared()) / "notebooks"


def shared() -> Path:
    """The folder that came with this library and has PARTS in it: its checkout, else what pip installed."""
    return _BESIDE if _has_notebooks(_BESIDE) else _installed() or _BESIDE


def copy(folder: Path) -> Path:
    """A copy of the runbook to edit and run; returns where it is. Raises SiteError if something is there already."""
    if there := [part for part in PARTS if (folder / part).exists()]:
        allowed = f"a folder without {', '.join(there)}: nothing is overwritten"
        raise SiteError(path=str(folder), problems=(Problem("FOLDER", "", str(folder), allowed),))
    for part in PARTS:
        shutil.copytree(shared() / part, folder / part, ignore=_NOT_COPIED)
    return folder


def _with_notebooks(site: Path) -> Iterator[Path]:
    starts = (site.resolve(), Path.cwd())
    return (folder for start in starts for folder in (start, *start.parents) if _has_notebooks(folder))


def _has_notebooks(folder: Path) -> bool:
    return any((folder / "notebooks").glob(_NOTEBOOK))


def _installed() -> Path | None:
    """Where this very installation put its files: pip's own list knows, whichever scheme it followed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("pic4ser").files or ()
    except PackageNotFoundError:
        return None
    found = (Path(str(file.locate())).resolve() for file in files if file.match(f"pic4ser/notebooks/{_NOTEBOOK}"))
    return next((path.parents[1] for path in found), None)
