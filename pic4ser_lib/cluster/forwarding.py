"""A service of the cluster on a port of this machine, as `kubectl port-forward` has it, that ends by itself.

Each local connection gets a connection of its own to one ready pod of the service. It listens on the loopback
address only, serves from threads, and stops at its deadline, when it is closed, or with its process.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from pic4ser_lib.cluster.wire import connected
from pic4ser_lib.errors import ClusterError, DeadlinePassed
from pic4ser_lib.steps import Forward, Read

LOOPBACK = "127.0.0.1"
_ANSWERS_WITHIN = 30.0
_LOOK_AGAIN = 0.5
_CHUNK = 64 * 1024

Dial = Callable[[str, int], Any]
"""(pod, port) to a connected socket; raises ClusterError."""


class Api(Protocol):
    """What a forward reads of a cluster."""

    def ask(self, questions: list[Read]) -> list[Any]:
        """Read objects."""


class Forwarded:
    """A forward while it is open: use it in a `with`, or close it, or let its time pass."""

    def __init__(self, forward: Forward, dial: Callable[[], Any]) -> None:
        self.forward = forward
        self._dial = dial
        self._listener = _listening(forward.local_port)
        self.port: int = self._listener.getsockname()[1]
        self.until = time.time() + forward.seconds
        self._deadline = time.monotonic() + forward.seconds
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name=f"forward {forward.service}", daemon=True).start()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return f"http://localhost:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether it still takes connections."""
        return not self._closed.is_set()

    def close(self) -> None:
        """Take no more connections and end those that are open."""
        self._closed.set()
        self._listener.close()
        for one in list(self._open):
            one.close()

    def wait(self) -> None:
        """Until it ends by itself."""
        self._closed.wait(max(0.0, self._deadline - time.monotonic()) + _LOOK_AGAIN)

    def answers(self, path: str) -> bool:
        """Whether a GET through it is answered with 200."""
        asked = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5.0)
        try:
            asked.request("GET", path)
            return asked.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def __enter__(self) -> Forwarded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while self.is_open and time.monotonic() < self._deadline:
            try:
                ready, _, _ = select.select([self._listener], [], [], _LOOK_AGAIN)
                if ready:
                    near, _ = self._listener.accept()
                    threading.Thread(target=self._carry, args=(near,), daemon=True).start()
            except (OSError, ValueError):
                break
        self.close()

    def _carry(self, near: socket.socket) -> None:
        """Both directions of one connection, until either side ends it or the forward does."""
        far = None
        self._open.add(near)
        try:
            far = self._dial()
            while self.is_open and time.monotonic() < self._deadline:
                ready, _, _ = select.select([near, far], [], [], _LOOK_AGAIN)
                for one in ready:
                    if not (data := one.recv(_CHUNK)):
                        return
                    (far if one is near else near).sendall(data)
        except (OSError, ValueError, ClusterError):
            return
        finally:
            self._open.discard(near)
            near.close()
            if far is not None:
                far.close()


def opened(api: Api, kubeconfig: Path, forward: Forward, *, dial: Dial | None = None) -> Forwarded:
    """The forward, once it answers. Raises ClusterError without a ready pod, DeadlinePassed when it stays silent."""
    pod, port = _target(api, forward)
    dials = dial or (lambda name, number: _dialled(kubeconfig, forward.namespace, name, number))
    made = Forwarded(forward, lambda: dials(pod, port))
    deadline = time.monotonic() + _ANSWERS_WITHIN
    while not made.answers(forward.check):
        if time.monotonic() > deadline:
            made.close()
            raise DeadlinePassed(
                waiting_for=f"{pod} to answer at {forward.check}", seconds=_ANSWERS_WITHIN,
                remedy=f"Look at its log: kubectl -n {forward.namespace} logs {pod}",
            )  # fmt: skip
        time.sleep(_LOOK_AGAIN)
    return made


def _listening(port: int) -> socket.socket:
    """The wanted port if it is free, else any."""
    for candidate in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(16)
        return listener
    raise ClusterError(reason="no port is free on this machine", object="port-forward")


def _target(api: Api, forward: Forward) -> tuple[str, int]:
    """A ready pod behind the service, and the number of its port: a forward goes to a pod, not to a service."""
    name = f"service {forward.namespace}/{forward.service}"
    (service,) = api.ask([Read("v1", "Service", forward.service, forward.namespace)])
    if service is None:
        raise ClusterError(status=404, reason="it is not there", object=name, remedy="Run the notebook that makes it.")
    ports = service["spec"]["ports"]
    wanted = next((one for one in ports if forward.port in (one.get("name"), one["port"])), ports[0])
    labels = ",".join(f"{key}={value}" for key, value in sorted(service["spec"].get("selector", {}).items()))
    (pods,) = api.ask([Read("v1", "Pod", namespace=forward.namespace, labels=labels)])
    for pod in sorted(pods, key=lambda one: str(one["metadata"]["name"])):
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])):
            return pod["metadata"]["name"], _number(pod, wanted.get("targetPort", wanted["port"]))
    raise ClusterError(reason="no ready pod is behind it", object=name, remedy="Wait for its pod, then run this again.")


def _number(pod: dict[str, Any], port: str | int) -> int:
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        for one in container.get("ports", []):
            if one.get("name") == port:
                return int(one["containerPort"])
    raise ClusterError(reason=f"no container has a port named {port}", object=f"pod {pod['metadata']['name']}")


def _dialled(kubeconfig: Path, namespace: str, pod: str, port: int) -> Any:
    """One connection to a pod's port, by the client's websocket."""
    from kubernetes import client
    from kubernetes.stream import portforward

    api = client.CoreV1Api(connected(kubeconfig).client)
    try:
        made = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
    except client.ApiException as error:
        raise ClusterError(
            status=error.status or 0, reason=str(error.reason), object=f"pod {namespace}/{pod}"
        ) from error
    return made.socket(port)
