"""pic4ser grafana: the password on a terminal, or when asked for, and nowhere else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_httpserver import HTTPServer

from pic4ser_lib.cli import called
from pic4ser_lib.cluster import wire

WORD = "onlyForThisTest4711"
AT = "/api/v1/namespaces/prometheus/secrets/grafana-admin"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """An API server on loopback, and a site whose kubeconfig leads there."""
    with HTTPServer() as server:
        kinds = {"resources": [{"name": "secrets", "kind": "Secret", "namespaced": True}]}
        server.expect_request("/api/v1").respond_with_json(kinds)
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": server.url_for("").rstrip("/")}}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }  # fmt: skip
        path = tmp_path / "pic4ser" / "mine" / "kubeconfig"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        site = SimpleNamespace(name="mine", path=tmp_path, valid_on="", patience=1)
        monkeypatch.setattr("pic4ser_lib.site.load", lambda folder: site)
        yield server
        wire.connected(path).close()


def a_secret() -> dict[str, object]:
    values = {"admin-user": "admin", "admin-password": WORD}
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}


def test_without_a_terminal_nothing_is_shown_and_nothing_is_asked(
    cluster: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(["grafana", "mine"]) == 2
    assert "--show" in capsys.readouterr().err
    assert not cluster.log


def test_who_asks_for_it_gets_user_and_password(cluster: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.expect_request(AT).respond_with_json(a_secret())
    assert called(["grafana", "mine", "--show", "--minutes", "0"]) == 0
    assert capsys.readouterr().out == f"User: admin\nPassword: {WORD}\n"


def test_before_notebook_08_it_says_who_makes_the_password(
    cluster: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.expect_request(AT).respond_with_json({"kind": "Status", "message": "not found"}, status=404)
    assert called(["grafana", "mine", "--show"]) == 1
    assert "Notebook 08" in capsys.readouterr().err
