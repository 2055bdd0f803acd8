"""The documentation as it is built: no warning, no link that leads nowhere, every notebook with its outputs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from docs.__main__ import build
from docs.links import broken

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; building it takes a quarter of a minute, and warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    assert build(folder) == 0
    return folder


def text(page: Path) -> str:
    """What a reader sees of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8"))).split())


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > len(NOTEBOOKS)
    assert broken(site) == []


@EACH
def test_every_notebook_is_a_chapter_that_the_index_leads_to(site: Path, notebook: Path) -> None:
    assert f'href="chapters/{notebook.stem}.html"' in (site / "index.html").read_text("utf-8")


@EACH
def test_a_chapter_shows_every_output_that_is_committed(site: Path, notebook: Path) -> None:
    shown = text(site / f"chapters/{notebook.stem}.html")
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    said = [o["data"]["text/plain"] for c in cells for o in c.get("outputs", ()) if "text/plain" in o.get("data", {})]
    for output in said:
        assert " ".join("".join(output).split()) in shown
    assert bool(said) != ("has not been run for this site yet" in shown)


def test_the_site_asks_no_other_machine_for_anything(site: Path) -> None:
    """It is read where there is no way out, and nobody learns who reads it."""
    fetched = re.compile(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+\"")
    assert [found for page in site.rglob("*.html") for found in fetched.findall(page.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("other.html", True),
        ("other.html#here", True),
        ("#own", True),
        ("https://example.org/nowhere", True),
        ("gone.html", False),
        ("other.html#gone", False),
        ("#gone", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str, leads: bool) -> None:
    (tmp_path / "index.html").write_text(f'<p id="own"><a href="{link}">there</a></p>')
    (tmp_path / "other.html").write_text('<p id="here">')
    assert broken(tmp_path) == ([] if leads else [f"index.html: {link} leads nowhere"])
