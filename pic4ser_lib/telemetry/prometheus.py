"""Prometheus, asked through the API server's service proxy with the operator's kubeconfig; nothing is left running.

The only module that imports prometheus-api-client and requests, and only when something is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pic4ser_lib.errors import ClusterError

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect
    from requests import Session
    from requests.adapters import HTTPAdapter

NAMESPACE, SERVICE, PORT = "prometheus", "prometheus-kube-prometheus-prometheus", 9090
_TIMEOUT = 60
_T = TypeVar("_T")

Series = list[dict[str, Any]]
"""Prometheus's own form: `metric` (labels) and `values` or `value` (pairs of time and text)."""


@dataclass(frozen=True)
class Prometheus:
    """One Prometheus server. Every method raises ClusterError when it refuses or does not answer."""

    client: PrometheusConnect

    def now(self) -> float:
        """The server's own time, in seconds since 1970 and whole milliseconds: nobody else's clock matters."""
        answer = self._asked(lambda: self.client.custom_query("time()"))
        return float(answer[1])

    def labels(self, match: str, *, start: float, end: float) -> Sequence[Mapping[str, str]]:
        """The labels of all series in a range. Reads no samples."""
        span = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        return self._asked(lambda: list(self.client.get_series(*span, params={"match[]": match})))

    def at(self, query: str, time: float) -> Series:
        """The answer of an instant query."""
        return self._asked(lambda: list(self.client.custom_query(query, params={"time": f"{time:.3f}"})))

    def over(self, query: str, *, start: float, end: float, step: float) -> Series:
        """The answer of a range query at `start`, `start + step` ... `end`."""
        span = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        return self._asked(lambda: list(self.client.custom_query_range(query, *span, step=f"{step:.3f}")))

    def _asked(self, ask: Callable[[], _T]) -> _T:
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import RequestException

        try:
            return ask()
        except (PrometheusApiClientException, RequestException, ValueError) as error:
            raise ClusterError(
                reason=_shortened(error), object="Prometheus",
                remedy="Is Prometheus up? Notebook 08 installs it and says what keeps its pods from running.",
            ) from error  # fmt: skip


def through_api_server(kubeconfig: Path) -> Prometheus:
    """The site's Prometheus, behind the API server that a kubeconfig names. Raises ClusterError without one."""
    from pic4ser_lib.cluster.wire import connected

    wire = connected(kubeconfig)
    seen = wire.client.configuration
    session = _session()
    session.verify = seen.ssl_ca_cert if seen.verify_ssl else False
    if seen.cert_file and seen.key_file:
        session.cert = (seen.cert_file, seen.key_file)
    if token := seen.auth_settings().get("BearerToken", {}).get("value"):
        session.headers["Authorization"] = str(token)
    url = f"{wire.base}/api/v1/namespaces/{NAMESPACE}/services/{SERVICE}:{PORT}/proxy"
    made = _connected(url, session)
    # Last: the client mounts an adapter of its own under the same URL.
    session.mount(url, _adapter(seen.tls_server_name or ""))
    return made


def direct(url: str) -> Prometheus:
    """A Prometheus that answers at `url` itself."""
    return _connected(url, _session())


def _connected(url: str, session: Session) -> Prometheus:
    from prometheus_api_client import PrometheusConnect

    return Prometheus(PrometheusConnect(url=url, session=session, timeout=_TIMEOUT))


def _session() -> Session:
    """Nobody's proxy settings or .netrc: only what the kubeconfig says is sent, and only to its server."""
    import requests

    session = requests.Session()
    session.trust_env = False
    return session


def _adapter(server_name: str) -> HTTPAdapter:
    """Checks the server's certificate against `server_name`, because the URL has one node's address."""
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    class Named(HTTPAdapter):
        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kw: Any) -> None:
            names = {"server_hostname": server_name, "assert_hostname": server_name} if server_name else {}
            super().init_poolmanager(connections, maxsize, block, **{**kw, **names})

    return Named(max_retries=Retry(total=3, backoff_factor=0.5, status_forcelist=(502, 503, 504)))


def _shortened(error: Exception) -> str:
    text = " ".join(str(error).split()).replace("b'", "").rstrip("'")
    return text if len(text) <= 300 else f"{text[:297]}..."
