"""A service on a local port, against a real server on loopback in the pod's place; and GETs through the proxy."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from pic4ser_lib.cluster import Cluster, forwarding, wire
from pic4ser_lib.errors import ClusterError
from pic4ser_lib.steps import Forward, ProxyGet, Read

GRAFANA = Forward("grafana", "Grafana answers", "prometheus", "prometheus-grafana", 80, 0, check="/api/health")
SERVICE = {"spec": {"selector": {"app": "grafana"}, "ports": [{"name": "http-web", "port": 80, "targetPort": "web"}]}}
METRICS = ProxyGet("prometheus", "prometheus-operated", 9090, "/api/v1/query", (("query", 'up{job="a"}'),))
AT = "/api/v1/namespaces/prometheus/services/prometheus-operated:9090/proxy/api/v1/query"


def a_pod(name: str, *, ready: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 3000}]}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


class Api:
    def __init__(self, service: dict[str, Any] | None, *pods: dict[str, Any]) -> None:
        self.service, self.pods = service, list(pods)

    def ask(self, questions: list[Read]) -> list[Any]:
        return [self.service if question.kind == "Service" else self.pods for question in questions]


@pytest.fixture(scope="module")
def one_server() -> Iterator[HTTPServer]:
    with HTTPServer() as server:
        yield server


@pytest.fixture
def pod(one_server: HTTPServer) -> HTTPServer:
    one_server.clear()
    one_server.expect_request("/api/health").respond_with_json({"database": "ok"})
    return one_server


def opened(pod: HTTPServer, forward: Forward = GRAFANA) -> tuple[forwarding.Forwarded, list[tuple[str, int]]]:
    dialled: list[tuple[str, int]] = []

    def dial(name: str, port: int) -> socket.socket:
        dialled.append((name, port))
        return socket.create_connection((pod.host, pod.port))

    api = Api(SERVICE, a_pod("a", ready=False), a_pod("b", ready=True))
    return forwarding.opened(api, Path("kubeconfig"), forward, dial=dial), dialled


def test_a_browser_reaches_a_ready_pod_at_the_port_that_the_service_names(pod: HTTPServer) -> None:
    made, dialled = opened(pod)
    with made, urllib.request.urlopen(f"{made.url}/api/health") as answer:
        assert json.load(answer) == {"database": "ok"}
    assert set(dialled) == {("b", 3000)}


def test_it_listens_on_the_loopback_address_only(pod: HTTPServer) -> None:
    with opened(pod)[0] as made:
        assert made._listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_replaced_by_a_free_one(pod: HTTPServer) -> None:
    with opened(pod)[0] as first, opened(pod, replace(GRAFANA, local_port=first.port))[0] as second:
        assert first.port != second.port


def test_nothing_answers_after_it_was_closed(pod: HTTPServer) -> None:
    made, _ = opened(pod)
    made.close()
    assert not made.answers("/api/health")


def test_it_ends_by_itself(pod: HTTPServer) -> None:
    made, _ = opened(pod, replace(GRAFANA, seconds=0.2))
    made.wait()
    assert not made.is_open


@pytest.mark.parametrize(
    ("api", "said"), [(Api(None), "not there"), (Api(SERVICE, a_pod("a", ready=False)), "no ready pod")]
)
def test_without_a_ready_pod_it_says_so(api: Api, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        forwarding.opened(api, Path("kubeconfig"), GRAFANA)


# ------------------------------------------------------------------------------------------ the service proxy


@pytest.fixture
def cluster(pod: HTTPServer, tmp_path: Path) -> Iterator[Cluster]:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": pod.url_for("").rstrip("/")}}],
        "users": [{"name": "x", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    made = Cluster(tmp_path / "kubeconfig", sleep=lambda seconds: None)
    yield made
    wire.connected(made.kubeconfig).close()


def status(code: int, message: str) -> Response:
    body = {"kind": "Status", "apiVersion": "v1", "message": message, "code": code}
    return Response(json.dumps(body), code, mimetype="application/json")


def test_a_question_to_a_service_travels_through_the_api_server(cluster: Cluster, pod: HTTPServer) -> None:
    pod.expect_request(AT, query_string={"query": 'up{job="a"}'}).respond_with_json({"status": "success"})
    assert cluster.ask([METRICS]) == [{"status": "success"}]


@pytest.mark.parametrize(("code", "said"), [(404, "services not found"), (503, "no endpoints available for service")])
def test_a_service_that_is_not_there_yet_is_none(cluster: Cluster, pod: HTTPServer, code: int, said: str) -> None:
    pod.expect_request(AT).respond_with_response(status(code, said))
    assert cluster.ask([METRICS]) == [None]


def test_what_the_service_itself_refuses_is_its_answer(cluster: Cluster, pod: HTTPServer) -> None:
    pod.expect_request(AT).respond_with_json({"status": "error", "error": "parse error"}, status=400)
    assert cluster.ask([METRICS]) == [{"status": "error", "error": "parse error"}]


def test_what_the_api_server_refuses_is_an_error(cluster: Cluster, pod: HTTPServer) -> None:
    pod.expect_request(AT).respond_with_response(status(403, "services/proxy is forbidden"))
    with pytest.raises(ClusterError, match="forbidden"):
        cluster.ask([METRICS])
