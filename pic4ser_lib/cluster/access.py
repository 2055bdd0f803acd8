"""Read, apply, patch and delete objects of one cluster, as data in and data out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pic4ser_lib.cluster.forwarding import Forwarded, opened
from pic4ser_lib.cluster.kinds import Kind, Kinds
from pic4ser_lib.cluster.proving import prove
from pic4ser_lib.cluster.proxy import through_proxy
from pic4ser_lib.cluster.wire import APPLY, MERGE, STRATEGIC, Answer, Wire, connected, refused
from pic4ser_lib.errors import ClusterError
from pic4ser_lib.steps import Apply, Delete, Forward, Patch, Proof, ProxyGet, Read, object_name

FIELD_MANAGER = "pic4ser"
_PAGE = 500


class Cluster:
    """One cluster, reached with the operator's kubeconfig. Making one costs nothing: the first request connects.

    `patience` is how many times longer than usual its answers and proofs may take: a site's machines are slow.
    """

    def __init__(self, kubeconfig: Path, *, patience: float = 1.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self.kubeconfig, self._patience = kubeconfig, patience
        self._sleep = sleep
        self._opened: tuple[Wire, Kinds] | None = None

    def ask(self, questions: Sequence[Read | ProxyGet]) -> list[dict[str, Any] | list[Any] | None]:
        """The answers in the order of the questions. Raises ClusterError."""
        return [self._answer(question) for question in questions]

    def act(self, action: Apply | Patch | Delete) -> None:
        """Do one action. Raises ClusterError; what another field manager owns is a conflict, never taken silently."""
        match action:
            case Apply(objects=objects, force=force):
                for obj in objects:
                    self._apply(obj, force=force)
            case Patch():
                self._patch(action)
            case Delete():
                self._delete(action)

    def log(self, namespace: str, pod: str) -> str:
        """What a pod has written so far; empty when it has not started."""
        answer = self._wire.send("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log")
        return answer.text if answer.status == 200 else ""

    def prove(self, proof: Proof, *, tell: Callable[[str], None]) -> str:
        """Run a proof in namespace pic4ser-proof and return its evidence; the namespace is always removed again.

        Raises StepFailed with the cause that the cluster itself names (an image, a taint, a line of the log).
        """
        return prove(self, proof, tell=tell, patience=self._patience)

    def forward(self, forward: Forward) -> Forwarded:
        """A service on a port of this machine, until it is closed or its time has passed. Raises ClusterError."""
        return opened(self, self.kubeconfig, forward)

    def available(self) -> bool:
        """Whether the API server says that it is ready. Never raises, never waits for long."""
        try:
            wire = connected(self.kubeconfig)
            return replace(wire, pauses=(), patience=self._patience).send("GET", "/readyz").status == 200
        except ClusterError:
            return False

    def _answer(self, question: Read | ProxyGet) -> dict[str, Any] | list[Any] | None:
        if isinstance(question, ProxyGet):
            return through_proxy(self._wire, question)
        return self._one(question) if question.name else self._all(question)

    def _one(self, question: Read) -> dict[str, Any] | None:
        """One object, or None when there is none."""
        kind = self._kinds.find(question.api_version, question.kind)
        if kind is None:
            return None
        answer = self._wire.send("GET", kind.path(question.namespace, question.name))
        if answer.status == 404:
            self._kinds.forget(question.api_version)
            return None
        return self._good(answer, f"{question.kind} {question.name}").json

    def _all(self, question: Read) -> list[Any]:
        """All objects of a kind (in a namespace, with labels), each with its kind, page by page."""
        kind = self._kinds.find(question.api_version, question.kind)
        if kind is None:
            return []
        found: list[Any] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": question.labels} if question.labels else {})
        while True:
            answer = self._wire.send("GET", kind.path(question.namespace), query=query)
            if answer.status == 404:
                self._kinds.forget(question.api_version)
                return []
            page = self._good(answer, f"list of {question.kind}").json
            found += [{"apiVersion": question.api_version, "kind": question.kind, **one} for one in page["items"] or []]
            if not (more := page.get("metadata", {}).get("continue")):
                return found
            query = query | {"continue": more}

    def _apply(self, obj: dict[str, Any], *, force: bool) -> None:
        kind, meta = self._need(obj["apiVersion"], obj["kind"]), obj["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        path = kind.path(meta.get("namespace", ""), meta["name"])
        self._good(self._wire.send("PATCH", path, query=query, body=obj, content=APPLY), object_name(obj))

    def _patch(self, patch: Patch) -> None:
        """Strategic where the server can, else a JSON merge patch: custom resources answer 415."""
        path = self._need(patch.api_version, patch.kind).path(patch.namespace, patch.name)
        query = {"fieldManager": FIELD_MANAGER}
        answer = self._wire.send("PATCH", path, query=query, body=patch.body, content=STRATEGIC)
        if answer.status == 415:
            answer = self._wire.send("PATCH", path, query=query, body=patch.body, content=MERGE)
        self._good(answer, f"{patch.kind} {patch.name}")

    def _delete(self, delete: Delete) -> None:
        kind = self._kinds.find(delete.api_version, delete.kind)
        if kind is None:
            return
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        answer = self._wire.send("DELETE", kind.path(delete.namespace, delete.name), body=body)
        if answer.status != 404:
            self._good(answer, f"{delete.kind} {delete.name}")

    def _need(self, api_version: str, kind: str) -> Kind:
        found = self._kinds.find(api_version, kind)
        if found is None:
            raise ClusterError(
                status=404, reason=f"the server serves no {kind} in {api_version}", object=kind,
                remedy="What defines this kind has to be applied first.",
            )  # fmt: skip
        return found

    def _good(self, answer: Answer, name: str) -> Answer:
        if answer.status >= 400:
            raise refused(answer, name)
        return answer

    @property
    def _wire(self) -> Wire:
        return self._open()[0]

    @property
    def _kinds(self) -> Kinds:
        return self._open()[1]

    def _open(self) -> tuple[Wire, Kinds]:
        wire = connected(self.kubeconfig)
        if self._opened is None or self._opened[0].client is not wire.client:
            wire = replace(wire, sleep=self._sleep, patience=self._patience)
            self._opened = (wire, Kinds(wire))
        return self._opened
