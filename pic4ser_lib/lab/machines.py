"""The lab's machines on this host, whichever kind: the one place that knows that there are two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import identity, podman, qemu, vm
from pic4ser_lib.lab.nodes import VIRTUAL, LabNode, Machine, NodeSpec
from pic4ser_lib.site.schema import Dilation


@dataclass(frozen=True)
class Virtual:
    """What virtual machines need besides what containers do: an image for each release, and how guests run here.

    `dilation` says how slowly their time passes, None that it does as the host's.
    """

    images: Mapping[str, Path]
    accelerator: qemu.Accelerator
    dilation: Dilation | None = None


def seen(home: Path) -> dict[str, Machine]:
    """Every machine of any rehearsal lab on this host, by name; of virtual ones that are off, those of this lab."""
    return {**podman.containers(), **vm.guests(home)}


def remove(machines: Iterable[Machine]) -> None:
    """Kills all of them, and deletes what runtimes keep of them; folders are the caller's."""
    every = list(machines)
    # Virtual machines first: the bridge that they are on goes with the last container.
    qemu.kill(machine.name for machine in every if isinstance(machine, vm.Guest))
    podman.remove([machine.name for machine in every if not isinstance(machine, vm.Guest)])


def memory_bytes(machine: Machine) -> int:
    """What a running machine takes from the host now, without what the kernel can drop."""
    if isinstance(machine, podman.Container):
        return podman.memory_bytes(machine)
    return vm.memory_bytes(machine) if isinstance(machine, vm.Guest) else 0


def emulated() -> bool:
    """Whether a virtual machine runs whose every instruction is translated."""
    return any(process.emulated for process in qemu.running().values())


def virtual(nodes: Sequence[NodeSpec]) -> tuple[NodeSpec, ...]:
    """Those of the nodes that are virtual machines."""
    return tuple(node for node in nodes if node.kind == VIRTUAL)


def releases(nodes: Sequence[NodeSpec]) -> tuple[str, ...]:
    """The releases of Debian of which there is a virtual machine, by code name."""
    return tuple(sorted({node.release for node in virtual(nodes)}))


def network_of(node: NodeSpec) -> tuple[identity.File, ...]:
    """The files by which a node of this kind comes by its address and its default route."""
    return vm.network_files(node.address) if node.kind == VIRTUAL else identity.ROUTED


def node(
    spec: NodeSpec,
    *,
    folder: Path,
    lab: str,
    plain: identity.Plain,
    image: str,
    modules: Path,
    guests: Virtual | None = None,
) -> LabNode:
    """The machine that plays this node. `image` and `modules` are for containers, `guests` for virtual machines."""
    if spec.kind != VIRTUAL:
        return podman.ContainerNode(spec, image, folder, lab, plain, modules)
    if guests is None or spec.release not in guests.images:
        raise LabError(
            what=f"make {spec.name}", seen="no image of a virtual machine was built", remedy="pic4ser lab up"
        )
    return vm.VirtualNode(spec, guests.images[spec.release], folder, lab, plain, guests.accelerator, guests.dilation)
