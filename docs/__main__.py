"""python -m docs [FOLDER]: the site, from the committed notebooks and what is generated from the library.

Every page is a file in FOLDER (build/docs). A warning is an error, and so is a link inside
the site that leads nowhere.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.generate.markdown import without_files
from docs.generate.pages import pages
from docs.links import broken

HOUSE = Path(__file__).parents[1]


def main() -> int:
    """Build the site and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m docs", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HOUSE / "build/docs", help="where the site goes")
    return build(parser.parse_args().folder)


def build(into: Path) -> int:
    """Build the site into a folder that may hold an older one. 0: all is well."""
    with tempfile.TemporaryDirectory() as temporary:
        stage(HOUSE, Path(temporary))
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html", temporary, str(into)]
        shutil.rmtree(into, ignore_errors=True)
        made = subprocess.run(command, cwd=HOUSE, env={**os.environ, "PYTHONPATH": str(HOUSE)}, check=False)
    if made.returncode:
        return made.returncode
    shutil.rmtree(into / ".doctrees", ignore_errors=True)
    found = broken(into)
    print("\n".join(found) if found else f"{into / 'index.html'}: {len(list(into.rglob('*.html')))} pages")
    return 1 if found else 0


def stage(house: Path, into: Path) -> None:
    """Put together what Sphinx reads: texts, generated pages, chapters, and the other pages of docs/."""
    shutil.copytree(house / "docs/text", into, dirs_exist_ok=True)
    shutil.copytree(house / "docs/static", into / "static")
    shutil.copy(house / "docs/conf.py", into)
    generated = pages(house)
    for name, text in generated.items():
        (into / name).parent.mkdir(exist_ok=True)
        (into / name).write_text(text, "utf-8")
    (into / "more").mkdir()
    for page in sorted((house / "docs").glob("*.md")):
        if page.name.replace("_", "-") not in generated:  # what README links to of those subjects, the site says itself
            (into / "more" / page.name).write_text(without_files(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
