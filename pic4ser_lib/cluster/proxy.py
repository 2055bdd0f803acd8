"""A GET to a service of the cluster, passed on by the API server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pic4ser_lib.cluster.wire import Answer, Wire, refused
from pic4ser_lib.steps import ProxyGet

# A service that has no ready pod answers 503 for as long as it takes; whoever asks waits by itself.
_PAUSES = (0.5,)
_NOT_YET = frozenset({502, 503, 504})


def through_proxy(wire: Wire, question: ProxyGet) -> dict[str, Any] | None:
    """The JSON object that the service answered; None without service or ready pod. Raises ClusterError."""
    name = f"{question.service}:{question.port}"
    path = f"/api/v1/namespaces/{question.namespace}/services/{name}/proxy/{quote(question.path.lstrip('/'))}"
    answer = replace(wire, pauses=_PAUSES).send("GET", path, query=dict(question.query))
    if answer.status in _NOT_YET or (answer.status == 404 and _is_the_api_servers(answer)):
        return None
    if _is_the_api_servers(answer):
        raise refused(answer, f"service {question.namespace}/{name}")
    return answer.json


def _is_the_api_servers(answer: Answer) -> bool:
    """Whether the API server speaks for itself, instead of handing on what the service said."""
    return answer.json.get("kind") == "Status" and answer.json.get("apiVersion") == "v1"
