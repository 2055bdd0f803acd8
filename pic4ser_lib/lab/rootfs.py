"""Root file systems of Debian by mmdebstrap: the node, the mirror, and the base of images that call iptables.

Each artifact holds root.tar, packages.txt (what is in it, with versions), and status and sources.list, with which apt
on this machine can tell what a node of that kind still lacks.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import HERE, Pins
from pic4ser_lib.lab.recipes import Entry, Made, Recipe, entries, own_files, place

_EPOCH = "1735689600"  # 2025-01-01, the youngest time stamp in a root: equal packages give equal files
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")

# What the kernel has built in, by the configuration symbol that says so: modprobe succeeds for these in a node.
_BUILT_IN = {
    "OVERLAY_FS": "kernel/fs/overlayfs/overlay.ko",
    "BRIDGE": "kernel/net/bridge/bridge.ko",
    "BRIDGE_NETFILTER": "kernel/net/bridge/br_netfilter.ko",
    "VXLAN": "kernel/drivers/net/vxlan/vxlan.ko",
    "VETH": "kernel/drivers/net/veth.ko",
    "NF_CONNTRACK": "kernel/net/netfilter/nf_conntrack.ko",
    "NF_NAT": "kernel/net/netfilter/nf_nat.ko",
    "NF_TABLES": "kernel/net/netfilter/nf_tables.ko",
    "NETFILTER_XTABLES": "kernel/net/netfilter/x_tables.ko",
    "NETFILTER_XT_MATCH_COMMENT": "kernel/net/netfilter/xt_comment.ko",
    "IP_NF_IPTABLES": "kernel/net/ipv4/netfilter/ip_tables.ko",
    "IP_SET": "kernel/net/netfilter/ipset/ip_set.ko",
    "IP_VS": "kernel/net/netfilter/ipvs/ip_vs.ko",
    "IKCONFIG": "kernel/kernel/configs.ko",
    "NFS_FS": "kernel/fs/nfs/nfs.ko",
    "NFSD": "kernel/fs/nfsd/nfsd.ko",
}


def recipes(pins: Pins) -> dict[str, Recipe]:
    """root-node, root-mirror and root-base."""
    return {f"root-{name}": _recipe(name, pins) for name in pins.debian["roots"]}


def podman_image(root: Path, recipe: Recipe, *, repository: str, command: str = "") -> str:
    """The name of the podman image of this root file system, `<repository>:<key>`; imports it unless it is there."""
    name = f"{repository}:{recipe.key}"
    with cache.lock(root, f"podman-{recipe.name}"):
        if name not in _podman_images(recipe.name):
            changes = ["--change", f'CMD ["{command}"]'] if command else []
            tar = recipe.folder(root) / "root.tar"
            processes.run(recipe.name, ["podman", "import", "--quiet", *changes, tar, name])
    return name


def has_podman_image(recipe: Recipe, *, repository: str) -> bool:
    """Whether podman has it already."""
    return f"{repository}:{recipe.key}" in _podman_images(recipe.name)


def modules_folder(root: Path, *, release: str = "", kernel: Path = Path("/")) -> Path | None:
    """A /lib/modules/<release> for kernels that have everything built in, to bind-mount into nodes.

    None where the machine has such a folder itself: then bind that one, read-only. `release` and `kernel` (the root
    under which /proc and /sys are) are this machine's unless a test says otherwise.
    """
    release = release or platform.release()
    if (kernel / "lib" / "modules" / release).is_dir():
        return None
    names = _built_in(kernel)
    key = cache.key_of({"release": release, "modules": names, "recipe": 1})
    made = cache.ensure(root, "modules", key, lambda into: _make_modules(into, release, names))
    return made / "lib" / "modules" / release


def _recipe(name: str, pins: Pins) -> Recipe:
    pin = pins.debian["roots"][name]
    suite = pin.get("suite", pins.debian["suite"])
    files = entries(pin["files"])
    inputs = {"pin": pin, "suite": suite, "components": pins.debian["components"], "files": own_files(files)}
    if setup := pin["setup"]:
        inputs["setup"] = cache.digest_of(HERE / setup)
    return Recipe(
        name=f"root-{name}",
        inputs=inputs,
        make=lambda into, made: _make_root(f"root-{name}", pin, pins, into, files=files, made=made),
        disk_bytes=900_000_000,
    )


def _make_root(
    name: str, pin: Mapping[str, Any], pins: Pins, into: Path, *, files: tuple[Entry, ...], made: Made
) -> None:
    scratch = into / ".scratch"
    scratch.mkdir()
    place(files, scratch / "files", made)
    env = {"TMPDIR": str(scratch), "SOURCE_DATE_EPOCH": _EPOCH}
    processes.run(name, _mmdebstrap(pin, pins, into, scratch), env=env)
    (into / "packages.txt").write_text(_packages((into / "status").read_text()))
    shutil.rmtree(scratch)


def _mmdebstrap(pin: Mapping[str, Any], pins: Pins, into: Path, scratch: Path) -> list[str | Path]:
    hooks = [f"copy-out /etc/apt/sources.list /var/lib/dpkg/status {quote(str(into))}"]
    if pin["files"]:
        hooks.append(f"sync-in {quote(str(scratch / 'files'))} /")
    if pin["setup"]:
        hooks.append(f'sh {quote(str(HERE / pin["setup"]))} "$1"')
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(pin['packages'])}",
        f"--components={','.join(pins.debian['components'])}",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT],
        "--dpkgopt=force-unsafe-io",
        *[f"--customize-hook={hook}" for hook in hooks],
        pin.get("suite", pins.debian["suite"]),
        into / "root.tar",
    ]


def _packages(status: str) -> str:
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL)
    return "".join(sorted(f"{package} {version}\n" for package, version in found))


def _podman_images(artifact: str) -> set[str]:
    listed = processes.run(artifact, ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"])
    return set(listed.split())


def _built_in(kernel: Path) -> list[str]:
    named = {path.stem for path in map(Path, _BUILT_IN.values())}
    loaded = (path.name for path in (kernel / "sys" / "module").glob("*"))
    others = [f"kernel/other/{name}.ko" for name in loaded if name not in named]
    return sorted([path for symbol, path in _BUILT_IN.items() if symbol in _symbols(kernel)] + others)


def _symbols(kernel: Path) -> set[str]:
    import gzip

    packed = kernel / "proc" / "config.gz"
    if not packed.exists():  # nothing tells: what the lab cannot do without must be there, or nothing would run
        return {"OVERLAY_FS", "BRIDGE", "BRIDGE_NETFILTER", "VXLAN", "VETH", "NF_CONNTRACK", "NF_TABLES"}
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    return {line.removeprefix("CONFIG_").removesuffix("=y") for line in lines if line.endswith("=y")}


def _make_modules(into: Path, release: str, names: list[str]) -> None:
    folder = into / "lib" / "modules" / release
    folder.mkdir(parents=True)
    (folder / "modules.builtin").write_text("".join(f"{name}\n" for name in names))
    (folder / "modules.order").write_text("")
    (folder / "modules.builtin.modinfo").write_bytes(b"".join(_modinfo(name) for name in names))
    processes.run("modules", ["depmod", "--all", "--basedir", into, release])


def _modinfo(name: str) -> bytes:
    module = Path(name).stem
    return f"{module}.file={name.removesuffix('.ko')}\0{module}.license=GPL\0".encode()
