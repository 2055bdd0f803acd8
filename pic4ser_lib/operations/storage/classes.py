"""The provisioner, and the class that claims get when they name none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import charts
from pic4ser_lib.operations.storage.wanted import storage_of
from pic4ser_lib.steps import Decision, Later, Patch, Read, Refused, Step

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

CHART, NAMESPACE = "nfs-subdir-external-provisioner", "default"
IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_OLD = "storageclass.beta.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Classes:
    """The storage classes there are, and those that say that they are the default."""

    names: tuple[str, ...]
    default: tuple[str, ...]

    def __str__(self) -> str:
        return f"default: {', '.join(self.default) or 'none'}, of {', '.join(self.names) or 'no class'}"


@dataclass(frozen=True)
class OneDefaultClass(Step):
    """Claims that name no class get this one, and no other class says that it is the default too."""

    class_name: str
    name: str = "storage.one_default_class"
    wanted: str = "claims that name no storage class get the one on NFS"

    def probe(self) -> Read:
        """All classes."""
        return Read("storage.k8s.io/v1", "StorageClass")

    def parse(self, raw: Sequence[dict[str, Any]]) -> Classes:
        """By their annotation, the old one too, which still counts."""
        marks = {one["metadata"]["name"]: one["metadata"].get("annotations") or {} for one in raw}
        default = [name for name, found in marks.items() if "true" in (found.get(IS_DEFAULT), found.get(_OLD))]
        return Classes(tuple(sorted(marks)), tuple(sorted(default)))

    def actions(self, seen: Classes) -> Decision:
        """Ours is marked again if somebody took the mark away; another default is somebody's decision."""
        if self.class_name not in seen.names:
            return Later("storage.provisioned", f"there is no class {self.class_name}")
        if others := [name for name in seen.default if name != self.class_name]:
            remedy = (
                "With two, the newer one wins, whichever that is. Take the mark off the other: "
                f"kubectl annotate storageclass {others[0]} {IS_DEFAULT}=false --overwrite"
            )
            raise Refused(self.wanted, f"{', '.join(others)} says that it is the default", remedy)
        body = {"metadata": {"annotations": {IS_DEFAULT: "true"}}}
        is_marked = seen.default == (self.class_name,)
        return [] if is_marked else [Patch("storage.k8s.io/v1", "StorageClass", self.class_name, body)]


def provisioned(site: Site) -> charts.Released:
    """The NFS provisioner with the document's values: the site's export, and a class that is the default."""
    return charts.released(site, CHART, namespace=NAMESPACE, values=_values(site))


def one_default_class(site: Site) -> OneDefaultClass:
    """The provisioner's class is the default one, and the only one."""
    values = charts.merged(_values(site), site.charts.get(CHART, {}))
    return OneDefaultClass(str(values["storageClass"].get("name", "nfs-client")))


def _values(site: Site) -> dict[str, Any]:
    storage = storage_of(site)
    return {"nfs": {"server": storage.server, "path": storage.path}, "storageClass": {"defaultClass": True}}
