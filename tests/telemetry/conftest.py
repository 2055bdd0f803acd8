"""A real Prometheus on loopback, filled with known series by its own promtool.

It is taken from PIC4SER_PROMETHEUS (a folder with `prometheus` and `promtool`), from the lab's artifacts, or from the
path. Without one these tests are skipped, and say so. It has to be Prometheus 3, as the charts install it: version 2
(Debian 12's) counts a sample between two windows in both.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from samples import Known, Scraped, Started, open_metrics

from pic4ser_lib.telemetry.prometheus import Prometheus, direct

_CONFIG = "global: {scrape_interval: 1h}\n"
_SCRAPING = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: exporter, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


@pytest.fixture(scope="session")
def binaries() -> dict[str, str]:
    """Where prometheus and promtool are."""
    places = [os.environ.get("PIC4SER_PROMETHEUS"), *_artifacts(), os.environ.get("PATH", "")]
    found = {name: _first(name, places) for name in ("prometheus", "promtool")}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.skip(f"no {' and no '.join(missing)}: set PIC4SER_PROMETHEUS or build the lab")
    if not (version := _version(found["prometheus"])).startswith("3."):
        pytest.skip(f"{found['prometheus']} is Prometheus {version}, and these tests need 3")
    return {name: path for name, path in found.items() if path}


@pytest.fixture(scope="module")
def prometheus_in(binaries: dict[str, str]) -> Iterator[Callable[[Path], Prometheus]]:
    """A function that starts a Prometheus in a folder that has its `prometheus.yml` and maybe its `data`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> Prometheus:
        port = _free_port()
        command = [
            binaries["prometheus"], "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            running.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        _wait_ready(port, running[-1], folder / "log")
        return direct(f"http://127.0.0.1:{port}")

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def prometheus_with(
    binaries: dict[str, str], prometheus_in: Callable[[Path], Prometheus], tmp_path_factory: pytest.TempPathFactory
) -> Started:
    """A function that starts a Prometheus that holds the given series and nothing else."""

    def start(series: Iterable[Known]) -> Prometheus:
        folder = tmp_path_factory.mktemp("prometheus")
        (folder / "known.txt").write_text(open_metrics(series))
        (folder / "prometheus.yml").write_text(_CONFIG)
        backfill = [binaries["promtool"], "tsdb", "create-blocks-from", "openmetrics", "known.txt", "data"]
        subprocess.run(backfill, cwd=folder, check=True, capture_output=True)
        return prometheus_in(folder)

    return start


@pytest.fixture(scope="module")
def scraping(prometheus_in: Callable[[Path], Prometheus], tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    """A function that starts a Prometheus that scrapes a port of loopback once a second."""

    def start(port: int) -> Prometheus:
        folder = tmp_path_factory.mktemp("prometheus")
        (folder / "prometheus.yml").write_text(_SCRAPING.format(port=port))
        return prometheus_in(folder)

    return start


def _artifacts() -> list[str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pic4ser" / "artifacts"
    return [str(folder) for name in ("prometheus", "promtool") for folder in sorted((cache / name).glob("*"))]


def _version(prometheus: str | None) -> str:
    told = subprocess.run([str(prometheus), "--version"], capture_output=True, text=True, check=True)
    return (told.stdout + told.stderr).partition("version ")[2].partition(" ")[0]


def _first(name: str, places: Iterable[str | None]) -> str | None:
    return next((path for place in places if place and (path := shutil.which(name, path=place))), None)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"Prometheus did not become ready; its log ends: {log.read_text()[-2000:]}")
