"""NVIDIA's runtime as containerd's default, merged into its configuration, and a restart that names what it touches.

The document adds two tables by hand. They stand elsewhere in configuration version 3 and 4, its runtime table lacks
SystemdCgroup, and a tool of NVIDIA's that does the same copies the whole runtime table into a drop-in, which then
overrides whatever is edited later. So five keys are merged into the file, and the effective configuration is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import containerd, services
from pic4ser_lib.operations import containerd_tables as tables
from pic4ser_lib.operations.kubectl import PATIENT
from pic4ser_lib.steps import Decision, Later, Refused, Restart, Settling, Shell

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

RUNTIME, BINARY = "nvidia", "/usr/bin/nvidia-container-runtime"
_NAMED = 12
_PODS = """
[ -e /etc/kubernetes/kubelet.conf ] || exit 0
kubectl --kubeconfig /etc/kubernetes/kubelet.conf PATIENT get pods -A \\
  --field-selector spec.nodeName=NODE,status.phase=Running \\
  -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}' 2>/dev/null || echo unknown
""".replace("PATIENT", PATIENT)


@dataclass(frozen=True)
class Runtime:
    """containerd's configuration, and whether NVIDIA's runtime is installed."""

    configuration: containerd.Configuration
    installed: bool

    def __str__(self) -> str:
        return str(self.configuration) + ("" if self.installed else f", no {BINARY}")


@dataclass(frozen=True)
class DefaultRuntime(containerd.Merged):
    """containerd starts containers by NVIDIA's runtime unless a pod asks for another."""

    name: str = "nvidia.default_runtime"
    wanted: str = "containerd starts containers by the nvidia runtime"

    def probe(self) -> tuple[Shell, Shell]:  # type: ignore[override]
        """containerd's configuration, and whether the runtime is there."""
        return super().probe(), Shell(f"if [ -x {BINARY} ]; then echo there; fi")

    def parse(self, raw: tuple[str, str]) -> Runtime:  # type: ignore[override]
        """Both."""
        return Runtime(super().parse(raw[0]), raw[1].strip() == "there")

    def actions(self, seen: Runtime) -> Decision:  # type: ignore[override]
        """Merge the keys; nothing when they are there and in effect."""
        now = seen.configuration
        if not seen.installed:
            return Later("packages.pinned(nvidia-container-toolkit)", f"there is no {BINARY}")
        if now.version and (now.file is None or containerd.is_stub(now.file.content)):
            return Later("containerd.configured", "notebook 01 writes containerd's configuration")
        return super().actions(now)

    def _wanted(self, values: Mapping[str, Any]) -> tables.Keys:
        if (other := tables.default_runtime(values)) not in ("", "runc", RUNTIME):
            seen = f"{containerd.CONFIG} makes {other} the default runtime"
            raise Refused(
                self.wanted, seen, f"Find out who needs {other} there; then set it to runc, and run this again."
            )
        return tables.runtime(values, name=RUNTIME, binary=BINARY)


@dataclass(frozen=True)
class Running:
    """containerd's state, and the pods that run on the node; None when the cluster could not say."""

    service: services.Running
    pods: tuple[str, ...] | None = field(repr=False)

    def __str__(self) -> str:
        return str(self.service)

    @property
    def touched(self) -> str:
        """What a restart of containerd touches, in words."""
        if self.pods is None:
            return "which pods run here is not known: the cluster does not answer"
        if not self.pods:
            return "no pod runs here"
        more = f" and {len(self.pods) - _NAMED} more" if len(self.pods) > _NAMED else ""
        count = f"{len(self.pods)} pod{'s run' if len(self.pods) > 1 else ' runs'} here"
        return f"{count} and keep{'' if len(self.pods) > 1 else 's'} running: {', '.join(self.pods[:_NAMED])}{more}"


@dataclass(frozen=True)
class ContainerdCurrent(services.RunningCurrent):
    """containerd has read its configuration as it is now; what a restart touches is said before."""

    node: str = ""
    name = "nvidia.containerd_current"
    wanted = "containerd runs with its present configuration"

    def probe(self) -> tuple[Shell, Shell]:  # type: ignore[override]
        """systemd's view, and the node's running pods, asked with the node's own credentials."""
        return super().probe(), Shell(_PODS.replace("NODE", self.node))

    def parse(self, raw: tuple[str, str]) -> Running:  # type: ignore[override]
        """Both."""
        lines = sorted(raw[1].split())
        return Running(super().parse(raw[0]), None if lines == ["unknown"] else tuple(lines))

    def actions(self, seen: Running) -> Decision:  # type: ignore[override]
        """The restart, with the names of the pods that run meanwhile. Their containers do not stop for it."""
        decision = super().actions(seen.service)
        if isinstance(decision, Later | Settling):
            return decision
        return [Restart(one.unit, f"{one.why}; {seen.touched}") for one in decision if isinstance(one, Restart)]


def default_runtime() -> DefaultRuntime:
    """NVIDIA's runtime is containerd's default, with systemd's cgroups."""
    return DefaultRuntime()


def containerd_current(node: Node) -> ContainerdCurrent:
    """containerd runs with its present configuration; the plan names the pods that run on the node."""
    base = containerd.running_current()
    return ContainerdCurrent(base.unit, base.files, node=node.name)
