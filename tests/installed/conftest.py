"""The wheel as `pip` builds it from what the repository has, and an environment that has nothing else of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*folders: str) -> list[str]:
    """The repository's files below these folders, as git knows them."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *folders]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy: nothing that an earlier build left in the checkout can get in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the wheel installed; the other packages are lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    install = ["--python", str(folder / "bin/python"), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched last, and the .pth files there (this checkout's) are not read.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder
