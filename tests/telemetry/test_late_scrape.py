"""A scrape that comes too late, in a real Prometheus: it calls every series of that exporter stale at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from samples import Scraped

from pic4ser_lib.operations.monitoring.exporter import ENERGY, ENOUGH, METRIC, WINDOW, GpusSampled, Samples
from pic4ser_lib.steps import ProxyGet
from pic4ser_lib.telemetry.prometheus import Prometheus

STEP = GpusSampled((("kitt", 1),))


class Exporter(ThreadingHTTPServer):
    """One GPU of kitt, whose counter rises with every scrape; it keeps silent while `late` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.late, self.ended, self.scrapes = Event(), Event(), 0


class _Answers(BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        if self.server.late.is_set():
            self.server.ended.wait(60)
            return
        self.server.scrapes += 1
        labels, energy = '{node="kitt",gpu="0"}', 1000 * self.server.scrapes
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(f"{METRIC}{labels} 40\n{ENERGY}{labels} {energy}\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


def test_the_gpus_of_a_late_scrape_are_not_called_silent(scraping: Scraped, exporter: Exporter) -> None:
    prometheus = scraping(exporter.server_port)
    _until(lambda: seen(prometheus).gpus and seen(prometheus).gpus[0].samples >= ENOUGH)
    exporter.late.set()
    _until(lambda: not prometheus.at(METRIC, prometheus.now()))  # an instant query finds none from here on
    (kitt,) = seen(prometheus).gpus
    assert kitt.age < WINDOW  # not infinite; how long ago it is depends on how busy this machine is


def test_a_gpu_that_is_never_scraped_is_missing(scraping: Scraped, exporter: Exporter) -> None:
    exporter.late.set()
    prometheus = scraping(exporter.server_port)
    _until(lambda: [one["value"][1] for one in prometheus.at("up", prometheus.now())] == ["0"])
    assert seen(prometheus).missing == ("kitt: 0 of 1 GPUs sampled",)


def seen(prometheus: Prometheus) -> Samples:
    """What the step sees, its questions put to this Prometheus itself, all at one moment."""
    now = prometheus.now()
    *questions, _ = STEP.probe()
    return STEP.parse((*(_answer(prometheus, one, now) for one in questions), []))  # type: ignore[arg-type]


def _answer(prometheus: Prometheus, question: ProxyGet, now: float) -> dict[str, object]:
    return {"data": {"result": prometheus.at(dict(question.query)["query"], now)}}


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, "Prometheus never came to this"
        time.sleep(0.2)
