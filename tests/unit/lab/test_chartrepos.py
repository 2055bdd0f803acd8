"""Charts from a repository on loopback: what is taken, and what is said of one that is away, short or changed."""

from __future__ import annotations

import hashlib
import itertools
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import chartrepos, charts, pins
from pic4ser_lib.site import upstream

NAME, VERSION = "dcgm-exporter", "4.8.2"
TGZ = f"{NAME}-{VERSION}.tgz"


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    """A chart as helm packs it."""
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text(f"apiVersion: v2\nname: {NAME}\nversion: {VERSION}\n")
    return charts.pack(tmp_path / "chart").content


class Repository:
    """A chart repository below /helm, which answers with what a test puts into it."""

    def __init__(self, server: HTTPServer, packed: bytes) -> None:
        self.server, self.url = server, server.url_for("/helm")
        self.served: dict[str, bytes | Response] = {f"/helm/{TGZ}": packed}
        self.index(f"  {NAME}:\n  - {{version: 4.8.3}}\n{_entry(packed)}")
        server.expect_request(re.compile(".*")).respond_with_handler(self._answer)

    def index(self, entries: str) -> None:
        """What index.yaml lists from now on."""
        self.served["/helm/index.yaml"] = f"apiVersion: v1\nentries:\n{entries}".encode()

    def asked(self, path: str) -> int:
        """How often."""
        return [request.path for request, _ in self.server.log].count(path)

    def _answer(self, request: Request) -> Response:
        found = self.served.get(request.path)
        return found if isinstance(found, Response) else Response(found, 404 if found is None else 200)


@pytest.fixture
def repository(httpserver: HTTPServer, packed: bytes) -> Repository:
    """A repository that has the chart."""
    return Repository(httpserver, packed)


@pytest.fixture
def wanted(repository: Repository) -> chartrepos.Wanted:
    """That chart, from there."""
    return chartrepos.Wanted(NAME, repository.url, VERSION)


def _entry(content: bytes, url: str = TGZ) -> str:
    return f"  - {{version: {VERSION}, digest: {hashlib.sha256(content).hexdigest()}, urls: [{url}]}}\n"


def _left(root: Path) -> list[str]:
    return [path.name for path in (root / "artifacts").rglob("*") if path.is_file()]


def _refusal(root: Path, wanted: chartrepos.Wanted, seconds: float = 20) -> str:
    with pytest.raises(ArtifactError) as caught:
        chartrepos.fetched(root, [wanted], seconds=seconds)
    assert not _left(root)
    assert caught.value.remedy
    return str(caught.value)


def test_a_chart_comes_byte_for_byte_into_a_folder_that_the_lab_can_serve(
    tmp_path: Path, wanted: chartrepos.Wanted, packed: bytes
) -> None:
    folder = chartrepos.fetched(tmp_path / "cache", [wanted])
    assert [(chart.file, chart.content) for chart in charts.read(folder)] == [(TGZ, packed)]


def test_a_chart_that_is_there_is_not_downloaded_again(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository
) -> None:
    first = chartrepos.fetched(tmp_path / "cache", [wanted])
    assert chartrepos.fetched(tmp_path / "cache", [wanted]) == first
    assert repository.asked(f"/helm/{TGZ}") == 1


def test_a_version_that_upstream_replaced_is_another_artifact(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository
) -> None:
    first = chartrepos.fetched(tmp_path / "cache", [wanted])
    repository.served[f"/helm/{TGZ}"] = b"anew"
    repository.index(f"  {NAME}:\n{_entry(b'anew')}")
    second = chartrepos.fetched(tmp_path / "cache", [wanted])
    assert (second / TGZ).read_bytes() == b"anew" != (first / TGZ).read_bytes()


def test_a_url_elsewhere_is_followed(tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository) -> None:
    repository.served["/releases/x.tgz"] = b"x"
    repository.index(f"  {NAME}:\n{_entry(b'x', repository.server.url_for('/releases/x.tgz'))}")
    assert (chartrepos.fetched(tmp_path / "cache", [wanted]) / TGZ).read_bytes() == b"x"


def test_a_version_that_the_repository_does_not_have_is_named_with_those_it_has(
    tmp_path: Path, wanted: chartrepos.Wanted
) -> None:
    said = _refusal(tmp_path, replace(wanted, version="4.9.9"))
    assert f"chart {NAME} 4.9.9: wanted version 4.9.9 in {wanted.index}, saw 2 others, first 4.8.3, 4.8.2." in said


@pytest.mark.parametrize(
    ("entries", "saw"),
    [
        ("  mysql: []\n", "no chart of that name"),
        (f"  {NAME}: [{{version: {VERSION}, urls: [x.tgz]}}]\n", "digest ''"),
        (f"  {NAME}: [{{version: {VERSION}, digest: aa}}]\n", "URLs none"),
        (f"  {NAME}: [{{version: {VERSION}, digest: aa, urls: ['file:///etc/hostname']}}]\n", "neither http nor https"),
        (f"  {NAME}: [{{version: {VERSION}, digest: aa, urls: [nowhere.tgz]}}]\n", "HTTP 404 NOT FOUND"),
        ("  {", "no YAML"),
        ("", "YAML without `entries`"),
    ],
)
def test_an_index_that_is_of_no_use_is_refused(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository, entries: str, saw: str
) -> None:
    repository.index(entries)
    assert saw in _refusal(tmp_path, wanted)


def test_a_download_with_another_digest_is_refused_with_both(
    tmp_path: Path, wanted: chartrepos.Wanted, packed: bytes, repository: Repository
) -> None:
    repository.index(f"  {NAME}:\n{_entry(b'another')}")
    said = _refusal(tmp_path, wanted)
    promised, seen = (hashlib.sha256(content).hexdigest() for content in (b"another", packed))
    assert f"wanted sha256 {promised} at {repository.url}/{TGZ}, saw sha256 {seen}." in said


def test_an_index_that_contradicts_the_pin_is_refused_before_the_download(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository
) -> None:
    said = _refusal(tmp_path, replace(wanted, sha256="b" * 64))
    assert f"wanted sha256 {'b' * 64}, as pinned, in {wanted.index}, saw sha256" in said
    assert not repository.asked(f"/helm/{TGZ}")


def test_a_pin_that_the_index_confirms_is_taken(tmp_path: Path, wanted: chartrepos.Wanted, packed: bytes) -> None:
    sure = replace(wanted, sha256=hashlib.sha256(packed).hexdigest())
    assert (chartrepos.fetched(tmp_path, [sure]) / TGZ).read_bytes() == packed


def test_of_two_charts_neither_is_kept_when_one_fails(
    tmp_path: Path, wanted: chartrepos.Wanted, packed: bytes, repository: Repository
) -> None:
    repository.index(f"  {NAME}:\n{_entry(packed)}  other:\n{_entry(b'another')}")
    with pytest.raises(ArtifactError, match="chart other"):
        chartrepos.fetched(tmp_path, [wanted, replace(wanted, name="other")])
    assert not _left(tmp_path)


def test_a_repository_that_is_away_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # bound, and nobody listens
        wanted = chartrepos.Wanted(NAME, f"http://127.0.0.1:{port.getsockname()[1]}/", VERSION)
        said = _refusal(tmp_path, wanted)
    assert re.search(r"wanted an answer from http://127\.0\.0\.1:\d+/index\.yaml, saw .*Connection refused", said)
    assert "without --online" in said


def test_a_repository_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = chartrepos.Wanted(NAME, f"http://127.0.0.1:{silent.getsockname()[1]}", VERSION)
        assert "timed out" in _refusal(tmp_path, wanted, seconds=0.2)


def test_a_download_that_never_ends_is_given_up(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository
) -> None:
    repository.served["/helm/index.yaml"] = Response(itertools.repeat(b"x"))
    assert "and no end" in _refusal(tmp_path, wanted, seconds=0.2)


def test_a_download_that_breaks_off_is_refused(
    tmp_path: Path, wanted: chartrepos.Wanted, repository: Repository
) -> None:
    repository.served["/helm/index.yaml"] = Response(iter([b"apiVersion: v1\n"]), headers={"Content-Length": "5000"})
    assert "the end after 15 bytes, 4985 too early" in _refusal(tmp_path, wanted)


def test_the_pins_are_what_a_site_installs_that_says_nothing() -> None:
    told = upstream(kubernetes="1.36.3", flannel="0.28.10")["charts"]
    ours = {each.name: (each.repository, each.version) for each in chartrepos.pinned(pins.load())}
    assert ours == {name: (chart["repository"], chart["version"]) for name, chart in told.items()}
    assert set(ours) == set(charts.REPOSITORIES)
