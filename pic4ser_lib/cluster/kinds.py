"""Where objects of a kind live in the API: asked from the server, and again while it does not know the kind."""

from __future__ import annotations

from dataclasses import dataclass, field

from pic4ser_lib.cluster.wire import Wire, refused


@dataclass(frozen=True)
class Kind:
    """The path of a kind's API group and version, its plural, and whether it lives in namespaces."""

    root: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of one object, or of all (in all namespaces when `namespace` is empty)."""
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.root}{inside}/{self.plural}" + (f"/{name}" if name else "")


@dataclass
class Kinds:
    """The kinds that one server serves."""

    wire: Wire
    known: dict[tuple[str, str], Kind] = field(default_factory=dict)

    def find(self, api_version: str, kind: str) -> Kind | None:
        """Where a kind lives; None when the server does not serve it (yet). Raises ClusterError."""
        if (api_version, kind) not in self.known:
            self._learn(api_version)
        return self.known.get((api_version, kind))

    def forget(self, api_version: str) -> None:
        """Ask again next time: a path that was known has answered 404."""
        self.known = {key: found for key, found in self.known.items() if key[0] != api_version}

    def _learn(self, api_version: str) -> None:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = self.wire.send("GET", root)
        if answer.status == 404:
            return
        if answer.status != 200:
            raise refused(answer, root)
        for entry in answer.json.get("resources", []):
            if "/" not in entry["name"]:
                self.known[api_version, entry["kind"]] = Kind(root, entry["name"], entry["namespaced"])
