"""JupyterLab in a real browser, on notebooks made for the purpose that work on one real node of the lab.

The node is a spare machine of the lab, so that nobody who works on the lab's cluster meanwhile is in the way.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_house import House
from playwright.sync_api import Page, sync_playwright
from spare_outside import joined

from pic4ser_lib.site import Node

STEPS = (Path(__file__).parent / "steps_on_show.py").read_text()
SITE = """\
title: One machine
control_planes: [spare]
confirm: {confirm}
endpoint: {{name: k8s-api.test.internal}}
versions: {{kubernetes: 1.36.3, containerd: 2.4.2, flannel: 0.28.10}}
ssh: {{user: {user}, key: "{key}", known_hosts: "{known_hosts}"}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the lab."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The spare machine, running."""
    return joined(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def house(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with two sites, one that wants to be asked and one that does not, and a server that shows it."""
    path = tmp_path_factory.mktemp("house")
    (path / "notebooks").mkdir()
    (path / "notebooks" / "steps_on_show.py").write_text(STEPS)
    for name, confirm in (("quiet", "false"), ("asking", "true")):
        place = path / "parameters" / name
        (place / "nodes").mkdir(parents=True)
        ssh = node.ssh
        text = SITE.format(confirm=confirm, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts)
        (place / "cluster.yaml").write_text(text)
        (place / "nodes" / "spare.yaml").write_text(f"address: {node.address}\n")
    words = ["lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--notebook-dir={path}"]
    with (path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", *words, "--ServerApp.terminals_enabled=False"],
            env={**os.environ, "XDG_STATE_HOME": str(path / "state"), "JUPYTER_CONFIG_DIR": str(path / "config")},
            stdout=log,
            stderr=log,
        )
    try:
        house = House(path, _address(path / "server.log", server))
        _wait_for_kernels(house, server)
        yield house
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def page() -> Iterator[Page]:
    """A window of Debian's Chromium."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.fail("chromium is missing: apt-get install chromium", pytrace=False)
    with sync_playwright() as player:
        window = player.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = window.new_page(viewport={"width": 1300, "height": 1000})
        # On a busy machine JupyterLab may not have found the notebook's kernel in time, and asks, sometimes twice in a
        # row: a person says yes, each time.
        asked = shown.locator(".jp-Dialog", has_text="Select Kernel")
        shown.add_locator_handler(asked, lambda dialog: dialog.locator(".jp-mod-accept").click(), no_wait_after=True)
        yield shown
        window.close()


def _wait_for_kernels(house: House, server: subprocess.Popen[bytes]) -> None:
    """Who opens a notebook before the server has found its kernels is asked for one; it has two minutes for that.

    Jupyter says where it listens before it does: the first thing that its loop does is to bind the port.
    """
    for _ in range(1200):
        try:
            urllib.request.urlopen(house.url.replace("/lab?", "/api/kernelspecs?"), timeout=120).close()
            return
        except urllib.error.URLError as error:
            refused = error.reason
        if not isinstance(refused, ConnectionRefusedError) or server.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"JupyterLab does not answer: {refused}", pytrace=False)


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    """Where the server listens, as it says itself; it has two minutes to start."""
    for _ in range(1200):
        if found := re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", log.read_text()):
            return found[0]
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}", pytrace=False)
