"""Requests to the API server, seen by a real server on loopback: paths, queries, content types, and its refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pic4ser_lib.cluster import Cluster, wire
from pic4ser_lib.errors import ClusterError
from pic4ser_lib.steps import Apply, Delete, Patch, Read

CORE = [
    {"name": "nodes", "kind": "Node", "namespaced": False},
    {"name": "nodes/status", "kind": "Node", "namespaced": False},
    {"name": "pods", "kind": "Pod", "namespaced": True},
    {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
]
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"a": "b"}}


@pytest.fixture(scope="module")
def one_server() -> Iterator[HTTPServer]:
    """Stopping a server takes half a second: one for all tests."""
    with HTTPServer() as server:
        yield server


@pytest.fixture
def server(one_server: HTTPServer) -> HTTPServer:
    one_server.clear()
    one_server.expect_request("/api/v1").respond_with_json({"resources": CORE})
    return one_server


KEPT = ("client-certificate-data", "client-key-data")


def kubeconfig(folder: Path, url: str, user: dict[str, str] | None = None) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": url}}],
        "users": [{"name": "x", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def cluster(server: HTTPServer, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kubeconfig(tmp_path, server.url_for("").rstrip("/")), sleep=lambda seconds: None)
    yield made
    wire.connected(made.kubeconfig).close()


def test_a_key_never_lies_in_a_file_that_a_killed_process_would_leave(tmp_path: Path) -> None:
    user = {name: base64.b64encode(b"of " + name.encode()).decode() for name in KEPT}
    seen = wire.connected(kubeconfig(tmp_path, "https://127.0.0.1:9", user)).client.configuration
    assert [Path(path).read_text() for path in (seen.cert_file, seen.key_file)] == [f"of {name}" for name in KEPT]
    assert [path.name for path in tmp_path.iterdir()] == ["kubeconfig"]
    assert all(Path(path).resolve().name.endswith("(deleted)") for path in (seen.cert_file, seen.key_file))


@pytest.mark.parametrize(
    "text", ["", "[]", "users: 1", '{"clusters": [], "users": [{"user": {"client-key-data": "?"}}]}']
)
def test_a_file_that_is_no_kubeconfig_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ClusterError, match="cannot be used"):
        wire.connected(tmp_path / "kubeconfig")


def status(code: int, message: str) -> Response:
    return Response(json.dumps({"kind": "Status", "message": message, "code": code}), code, mimetype="application/json")


# ------------------------------------------------------------------------------------------------ questions


def test_one_object_is_read_at_its_path(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/namespaces/n/pods/p").respond_with_json({"metadata": {"name": "p"}})
    assert cluster.ask([Read("v1", "Pod", "p", "n")]) == [{"metadata": {"name": "p"}}]


def test_an_object_that_is_not_there_is_none(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/nodes/x").respond_with_response(status(404, "nodes x not found"))
    assert cluster.ask([Read("v1", "Node", "x")]) == [None]


def test_a_list_asks_for_labels_in_all_namespaces_and_names_its_kind(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request(
        "/api/v1/pods", query_string={"limit": "500", "labelSelector": "app=flannel"}
    ).respond_with_json({"metadata": {}, "items": [{"metadata": {"name": "p"}}]})
    found = cluster.ask([Read("v1", "Pod", labels="app=flannel")])
    assert found == [[{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}]]


def test_a_list_goes_on_to_its_last_page(cluster: Cluster, server: HTTPServer) -> None:
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
    second = {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}
    server.expect_request("/api/v1/nodes", query_string={"limit": "500"}).respond_with_json(first)
    server.expect_request("/api/v1/nodes", query_string={"limit": "500", "continue": "more"}).respond_with_json(second)
    (nodes,) = cluster.ask([Read("v1", "Node")])
    assert isinstance(nodes, list)
    assert [node["metadata"]["name"] for node in nodes] == ["a", "b"]


@pytest.mark.parametrize(("question", "answer"), [(Read("v1", "Robot", "r"), None), (Read("v1", "Robot"), [])])
def test_a_kind_that_the_server_does_not_know_answers_like_an_empty_one(
    cluster: Cluster, question: Read, answer: Any
) -> None:
    assert cluster.ask([question]) == [answer]


def test_a_group_that_the_server_does_not_know_is_asked_again(cluster: Cluster, server: HTTPServer) -> None:
    question = Read("kubeflow.org/v1", "TFJob", "j", "n")
    server.expect_ordered_request("/apis/kubeflow.org/v1").respond_with_data("404 page not found", 404)
    assert cluster.ask([question]) == [None]
    jobs = {"resources": [{"name": "tfjobs", "kind": "TFJob", "namespaced": True}]}
    server.clear_all_handlers()
    server.expect_request("/apis/kubeflow.org/v1").respond_with_json(jobs)
    server.expect_request("/apis/kubeflow.org/v1/namespaces/n/tfjobs/j").respond_with_json({"spec": {}})
    assert cluster.ask([question]) == [{"spec": {}}]


def test_discovery_is_asked_once_for_many_questions(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/nodes/x").respond_with_json({})
    cluster.ask([Read("v1", "Node", "x")] * 3)
    assert [request.path for request, _ in server.log].count("/api/v1") == 1


# -------------------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize(("force", "said"), [(False, "false"), (True, "true")])
def test_an_apply_is_server_side_under_our_name(cluster: Cluster, server: HTTPServer, force: bool, said: str) -> None:
    server.expect_request(
        "/api/v1/namespaces/n/configmaps/c", method="PATCH", json=CONFIG_MAP,
        query_string={"fieldManager": "pic4ser", "force": said},
        headers={"Content-Type": "application/apply-patch+yaml"},
    ).respond_with_json(CONFIG_MAP)  # fmt: skip
    cluster.act(Apply((CONFIG_MAP,), force=force))
    server.check_assertions()


def test_objects_are_applied_in_their_order(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/namespaces/n/configmaps/c", method="PATCH").respond_with_json({})
    server.expect_request("/api/v1/namespaces/n/configmaps/d", method="PATCH").respond_with_json({})
    second = {**CONFIG_MAP, "metadata": {"name": "d", "namespace": "n"}}
    cluster.act(Apply((CONFIG_MAP, second)))
    assert [request.path[-1] for request, _ in server.log if request.method == "PATCH"] == ["c", "d"]


def test_a_field_of_somebody_else_is_a_conflict_and_not_taken(cluster: Cluster, server: HTTPServer) -> None:
    message = 'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.a'
    server.expect_request("/api/v1/namespaces/n/configmaps/c").respond_with_response(status(409, message))
    with pytest.raises(ClusterError, match='conflict with "kubectl"') as raised:
        cluster.act(Apply((CONFIG_MAP,)))
    assert (raised.value.status, raised.value.object) == (409, "ConfigMap n/c")


def test_a_kind_that_is_not_served_cannot_be_applied(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="the server serves no Robot in v1"):
        cluster.act(Apply(({"apiVersion": "v1", "kind": "Robot", "metadata": {"name": "r"}},)))


def test_a_patch_is_strategic(cluster: Cluster, server: HTTPServer) -> None:
    body: dict[str, Any] = {"spec": {"taints": []}}
    server.expect_request(
        "/api/v1/nodes/c1",
        method="PATCH",
        json=body,
        headers={"Content-Type": "application/strategic-merge-patch+json"},
    ).respond_with_json({})
    cluster.act(Patch("v1", "Node", "c1", body))
    server.check_assertions()


def test_a_custom_resource_is_patched_by_json_merge(cluster: Cluster, server: HTTPServer) -> None:
    def answer(request: Request) -> Response:
        strategic = request.content_type == "application/strategic-merge-patch+json"
        return status(415, "the body was in an unknown format") if strategic else status(200, "")

    server.expect_request("/api/v1/nodes/c1", method="PATCH").respond_with_handler(answer)
    cluster.act(Patch("v1", "Node", "c1", {"spec": {}}))
    assert server.log[-1][0].content_type == "application/merge-patch+json"


def test_what_is_deleted_takes_its_dependents_along(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/namespaces/n/pods/p", method="DELETE").respond_with_json({})
    cluster.act(Delete("v1", "Pod", "p", "n"))
    assert server.log[-1][0].json["propagationPolicy"] == "Background"


def test_what_is_gone_already_is_deleted(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/nodes/x", method="DELETE").respond_with_response(status(404, "not found"))
    cluster.act(Delete("v1", "Node", "x"))


# ------------------------------------------------------------------------------------------------- failures


def test_an_expired_certificate_is_an_error_with_its_remedy(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/nodes").respond_with_response(status(401, "Unauthorized"))
    with pytest.raises(ClusterError, match="Unauthorized") as raised:
        cluster.ask([Read("v1", "Node")])
    assert raised.value.status == 401
    assert "run notebook 02 again" in raised.value.remedy


@pytest.mark.parametrize("patience", [1, 10])
def test_a_server_that_is_not_there_is_an_error_after_some_tries(tmp_path: Path, patience: int) -> None:
    pauses: list[float] = []
    cluster = Cluster(kubeconfig(tmp_path, "http://127.0.0.1:9"), patience=patience, sleep=pauses.append)
    with pytest.raises(ClusterError, match=r"no answer from http://127\.0\.0\.1:9: .*Connection refused"):
        cluster.ask([Read("v1", "Node")])
    assert pauses == [pause * patience for pause in wire.PAUSES]


@pytest.mark.parametrize(
    "away", [status(503, "not ready"), status(500, "etcdserver: leader changed"), status(429, "too many requests")]
)
def test_a_server_that_is_away_for_a_moment_is_asked_again(
    cluster: Cluster, server: HTTPServer, away: Response
) -> None:
    server.expect_oneshot_request("/api/v1/nodes/x").respond_with_response(away)
    server.expect_request("/api/v1/nodes/x").respond_with_json({"metadata": {"name": "x"}})
    assert cluster.ask([Read("v1", "Node", "x")]) == [{"metadata": {"name": "x"}}]


def test_an_error_of_the_server_is_not_tried_for_ever(cluster: Cluster, server: HTTPServer) -> None:
    server.expect_request("/api/v1/nodes/x").respond_with_response(status(503, "not ready"))
    with pytest.raises(ClusterError, match="not ready"):
        cluster.ask([Read("v1", "Node", "x")])
    assert [request.path for request, _ in server.log].count("/api/v1/nodes/x") == 1 + len(wire.PAUSES)


@pytest.mark.parametrize(("patience", "times"), [(1, 1), (3, 3), (100, 4)])
def test_a_slow_site_is_given_more_time_for_an_answer_though_not_for_ever(
    cluster: Cluster, server: HTTPServer, monkeypatch: pytest.MonkeyPatch, patience: int, times: int
) -> None:
    given: list[Any] = []
    server.expect_request("/api/v1/nodes/x").respond_with_json({"metadata": {"name": "x"}})
    patient = Cluster(cluster.kubeconfig, patience=patience)
    pool = wire.connected(cluster.kubeconfig).client.rest_client.pool_manager
    asked = pool.request
    monkeypatch.setattr(
        pool, "request", lambda *a, timeout, **k: (given.append(timeout), asked(*a, timeout=timeout, **k))[1]
    )
    assert patient.ask([Read("v1", "Node", "x")]) == [{"metadata": {"name": "x"}}]
    assert {(each.connect_timeout, each.read_timeout) for each in given} == {(5.0 * times, 30.0 * times)}


def test_without_a_kubeconfig_notebook_02_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Notebook 02"):
        Cluster(tmp_path / "none").ask([Read("v1", "Node")])


@pytest.mark.parametrize("text", ["", "clusters: [", "{}", "[]", "current-context: x"])
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ClusterError, match=r"kubeconfig cannot be used"):
        Cluster(path).ask([Read("v1", "Node")])


@pytest.mark.parametrize(("code", "available"), [(200, True), (500, False)])
def test_available_is_what_readyz_says(cluster: Cluster, server: HTTPServer, code: int, available: bool) -> None:
    server.expect_request("/readyz").respond_with_data("ok", code)
    assert cluster.available() is available


def test_a_cluster_that_is_down_is_not_available(tmp_path: Path) -> None:
    assert not Cluster(kubeconfig(tmp_path, "http://127.0.0.1:9")).available()


def test_a_new_kubeconfig_is_used_at_once(server: HTTPServer, tmp_path: Path) -> None:
    cluster = Cluster(kubeconfig(tmp_path, "http://127.0.0.1:9"))
    assert not cluster.available()
    kubeconfig(tmp_path, server.url_for("").rstrip("/")).touch()
    server.expect_request("/readyz").respond_with_data("ok")
    assert cluster.available()
    wire.connected(cluster.kubeconfig).close()


def test_a_token_is_sent_and_never_shown(server: HTTPServer, tmp_path: Path) -> None:
    cluster = Cluster(kubeconfig(tmp_path, server.url_for("").rstrip("/"), {"token": "s3cret"}))
    server.expect_request("/api/v1/nodes/x", headers={"Authorization": "Bearer s3cret"}).respond_with_json({})
    assert cluster.ask([Read("v1", "Node", "x")]) == [{}]
    assert "s3cret" not in repr(vars(cluster))
    wire.connected(cluster.kubeconfig).close()
