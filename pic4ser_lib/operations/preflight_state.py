"""Preflight of what a machine holds: room on its disks, and whether it belongs to a cluster already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pic4ser_lib.operations.look import Finding, Look, shell
from pic4ser_lib.steps import Shell

FREE_MB = {"/var/lib": 4096, "/etc": 32}
FREE_INODES = 50_000
EVICTION_PERCENT = 15  # the kubelet's default: below this it evicts pods from a node whose images lie there
OTHERS = ("k3s", "k3s-agent", "rke2-server", "rke2-agent", "snap.microk8s.daemon-kubelite")


@dataclass(frozen=True)
class Mount:
    """Where a folder lies: free space and inodes; the file system may have no fixed number of inodes (None)."""

    path: str
    free_mb: int
    free_percent: int
    free_inodes: int | None
    writable: bool

    def __str__(self) -> str:
        return f"{self.path} {self.free_mb / 1024:.1f} GB free"


@dataclass(frozen=True)
class Mounts:
    """The folders that fill up."""

    mounts: tuple[Mount, ...]

    @property
    def note(self) -> str:
        """Where the kubelet would evict pods by its own defaults."""
        full = [m for m in self.mounts if m.path == "/var/lib" and m.free_percent < EVICTION_PERCENT]
        return "; ".join(f"{m.path} is {100 - m.free_percent} % full: the kubelet evicts pods by default" for m in full)

    def __str__(self) -> str:
        return ", ".join(map(str, self.mounts))


@dataclass(frozen=True)
class Disk(Look):
    """/var/lib has room for images, /etc can be written."""

    name = "preflight.disk"
    wanted = "there is room on disk"

    def probe(self) -> Shell:
        """Blocks and inodes of each folder, and whether it can be written."""
        return Shell(
            f"for d in {' '.join(FREE_MB)}; do df -Pk $d | awk -v d=$d 'NR==2{{printf \"%s %s %s\", d, $2, $4}}'; "
            "df -Pi $d | awk 'NR==2{printf \" %s %s\", $2, $4}'; [ -w $d ] && echo ' rw' || echo ' ro'; done"
        )

    def parse(self, raw: str) -> Mounts:
        """One line a folder: path, blocks, free, inodes, free, mode."""
        return Mounts(tuple(_mount(*line.split()) for line in raw.splitlines() if len(line.split()) == 6))

    def findings(self, seen: Mounts) -> list[Finding]:
        """Full, out of inodes, read-only."""
        return [finding for mount in seen.mounts for finding in _disk_findings(mount)]


@dataclass(frozen=True)
class Membership:
    """The cluster's API server as the node names it, what a broken attempt left, other distributions that run.

    On a control plane the kubelet's own file names the API server beside it, so there the
    administrator's file counts.
    """

    server: str
    leftovers: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def note(self) -> str:
        """What an unfinished attempt left; notebook 02 looks at it."""
        half = self.leftovers if not self.server else ()
        return f"an unfinished attempt left {', '.join(half)}: notebook 02 says what to do" if half else ""

    def __str__(self) -> str:
        return f"joined to {self.server}" if self.server else "in no cluster"


@dataclass(frozen=True)
class NoForeignCluster(Look):
    """The node is in no cluster, or in ours."""

    endpoint: str
    addresses: tuple[str, ...] = ()
    name = "preflight.no_foreign_cluster"
    wanted = "the machine belongs to no other cluster"

    def probe(self) -> Shell:
        """The servers that kubeconfigs name, what kubeadm leaves behind, other distributions' services."""
        left = "/etc/kubernetes/manifests/*.yaml /etc/kubernetes/pki/ca.crt /var/lib/etcd/member"
        return shell(
            "for f in admin kubelet; do sed -n 's/^ *server: */server: /p' /etc/kubernetes/$f.conf 2>/dev/null; done",
            f'for f in {left}; do [ ! -e "$f" ] || echo "left: $f"; done',
            f'for u in {" ".join(OTHERS)}; do ! systemctl -q is-active $u 2>/dev/null || echo "other: $u"; done',
        )

    def parse(self, raw: str) -> Membership:
        """By key."""
        pairs = [line.partition(": ")[::2] for line in raw.splitlines()]
        of = {key: tuple(value for k, value in pairs if k == key) for key in ("server", "left", "other")}
        return Membership("".join(of["server"][:1]).strip('"'), of["left"], of["other"])

    def findings(self, seen: Membership) -> list[Finding]:
        """Another endpoint; another distribution."""
        found = [Finding(f"{name} runs", f"Uninstall {name.removeprefix('snap.')} first.") for name in seen.others]
        port = self.endpoint.rpartition(":")[2]
        ours = {f"https://{self.endpoint}", *(f"https://{address}:{port}" for address in self.addresses)}
        if seen.server and seen.server not in ours:
            remedy = (
                "If that cluster no longer needs it: kubectl drain and delete the node there, then `kubeadm reset` on "
                "the node, and remove /etc/cni/net.d."
            )
            found.append(Finding(f"joined to {seen.server}, not to https://{self.endpoint}", remedy))
        return found


def disk() -> Disk:
    """There is room for images and for /etc."""
    return Disk()


def no_foreign_cluster(endpoint: str, addresses: Sequence[str] = ()) -> NoForeignCluster:
    """The node is in no cluster, or in the one at `endpoint` (host:port), or at a control plane's address of it."""
    return NoForeignCluster(endpoint, tuple(addresses))


def _mount(path: str, blocks: str, free: str, inodes: str, free_inodes: str, mode: str) -> Mount:
    percent = int(free) * 100 // max(int(blocks), 1)
    counted = int(free_inodes) if inodes.isdigit() and int(inodes) else None
    return Mount(path, int(free) // 1024, percent, counted, mode == "rw")


def _disk_findings(mount: Mount) -> list[Finding]:
    found = []
    if not mount.writable:
        found.append(Finding(f"{mount.path} cannot be written", "Look at dmesg and mount it for writing."))
    if mount.free_mb < FREE_MB[mount.path]:
        found.append(Finding(str(mount), f"Make room: {FREE_MB[mount.path]} MB are needed in {mount.path}."))
    if mount.free_inodes is not None and mount.free_inodes < FREE_INODES and mount.path == "/var/lib":
        found.append(Finding(f"{mount.path} has {mount.free_inodes} inodes left", "Remove small files there."))
    return found
