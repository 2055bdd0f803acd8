"""One HTTP request to the API server, and its answer or a ClusterError. All foreign exceptions end here."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pic4ser_lib.cluster.kubeconfig import in_memory
from pic4ser_lib.errors import ClusterError

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

# Seconds between tries, as many times longer on a slow site: what was not done in time there (504) still keeps its
# API server busy when the answer comes, and asking again at once adds to it. Every request of ours may be sent twice:
# reads, applies, merge patches, deletes. An API server is away for a moment whenever etcd elects a leader, as it does
# when a control plane joins.
PAUSES = (0.5, 1.0, 2.0)
_MOMENTARY = frozenset({429, 503, 504})
_CONNECT, _READ = 5.0, 30.0  # the first ends with TLS's greeting, for which a slow server computes
_MOST_PATIENCE = 4.0  # a server that is away should be found out within minutes on a slow site too


@dataclass(frozen=True)
class Answer:
    """A status and a body; whether that is good or bad is for the caller to say."""

    status: int
    text: str

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; empty when it is none."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass
class Wire:
    """The way to one API server: `client` is the official client's ApiClient, `base` the server's URL.

    `patience` is how many times longer than usual the pauses between tries are, and an answer may take; for an answer,
    more than 4 is taken for 4.
    """

    client: Any
    base: str
    pauses: tuple[float, ...] = PAUSES
    patience: float = 1.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def send(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: Any = None, content: str = JSON
    ) -> Answer:
        """The server's answer, after some tries if it is away for a moment. Raises ClusterError if none comes."""
        url = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        for pause in (*self.pauses, None):
            try:
                answer = self._once(method, url, body, content)
            except ClusterError:
                if pause is None:
                    raise
            else:
                if pause is None or not _is_momentary(answer):
                    return answer
            self.sleep(pause * self.patience)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Let go of the connections."""
        self.client.rest_client.pool_manager.clear()

    def _once(self, method: str, url: str, body: Any, content: str) -> Answer:
        import urllib3

        headers = {"Accept": "application/json, */*", "User-Agent": "pic4ser", **_credentials(self.client)}
        longer = min(self.patience, _MOST_PATIENCE)
        if body is not None:
            headers["Content-Type"] = content
        try:
            response = self.client.rest_client.pool_manager.request(
                method, url, headers=headers, body=None if body is None else json.dumps(body).encode(),
                retries=False, timeout=urllib3.Timeout(connect=_CONNECT * longer, read=_READ * longer),
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                reason=f"no answer from {self.base}: {_cause(error)}", object="API server",
                remedy="Is a control plane up and its address right? `pic4ser verify` asks the nodes themselves.",
            ) from error  # fmt: skip
        return Answer(response.status, response.data.decode(errors="replace"))


def connected(kubeconfig: Path) -> Wire:
    """The way that a kubeconfig describes, kept open until the file changes. Raises ClusterError."""
    try:
        stat = kubeconfig.stat()
    except OSError as error:
        raise ClusterError(
            reason=f"there is no kubeconfig at {kubeconfig}", object="kubeconfig",
            remedy="Notebook 02 (Install Kubernetes) makes it.",
        ) from error  # fmt: skip
    return _connected(kubeconfig, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=4)
def _connected(kubeconfig: Path, _changed: int, _inode: int) -> Wire:
    import yaml
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        described = in_memory(yaml.safe_load(kubeconfig.read_text()))
        config.load_kube_config_from_dict(described, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ClusterError(
            reason=f"{kubeconfig} cannot be used: {error}", object="kubeconfig",
            remedy="Remove it and run notebook 02 again: it makes a new one.",
        ) from error  # fmt: skip
    return Wire(client.ApiClient(configuration), configuration.host.rstrip("/"))


def _credentials(client: Any) -> dict[str, str]:
    """A bearer token, where the kubeconfig has one; ours has a client certificate instead."""
    token = client.configuration.auth_settings().get("BearerToken", {}).get("value")
    return {"Authorization": str(token)} if token else {}


def _is_momentary(answer: Answer) -> bool:
    return answer.status in _MOMENTARY or (answer.status == 500 and "etcdserver" in answer.text)


def _cause(error: Exception) -> str:
    """The words of the error below: `connection refused` rather than the name of a connection object."""
    text = str(getattr(error, "reason", None) or error)
    return text.rsplit(": ", 1)[-1] if text.startswith("<") or "object at 0x" in text else text


def refused(answer: Answer, name: str) -> ClusterError:
    """The error that an answer of 400 or more stands for."""
    said = answer.json.get("message") or answer.text[:300] or "no reason given"
    return ClusterError(
        status=answer.status, reason=str(said).rstrip("."), object=name, remedy=_REMEDIES.get(answer.status, "")
    )


_REMEDIES = {
    401: "The kubeconfig is of another cluster or has expired: run notebook 02 again, it makes a new one.",
    403: "The kubeconfig's user may not do that.",
    409: (
        "Somebody else set that field, or changes it now. If their value is wanted, put it into the site's folder; if "
        "not, undo it where it came from, or delete the object where that is harmless. Then run the cell again."
    ),
}
