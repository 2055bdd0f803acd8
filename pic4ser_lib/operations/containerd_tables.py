"""Where containerd's configuration versions keep the keys that Kubernetes needs, and how they are merged.

| version | containerd | table of the runtime | table of the images |
| 2 | 1.3-1.7 | io.containerd.grpc.v1.cri | the same |
| 3, 4 | 2.x | io.containerd.cri.v1.runtime | io.containerd.cri.v1.images |
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

CERTS = "/etc/containerd/certs.d"
RUNC = "io.containerd.runc.v2"
RUNTIME = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime", 4: "io.containerd.cri.v1.runtime"}
IMAGES = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images", 4: "io.containerd.cri.v1.images"}
SANDBOX = {2: ("sandbox_image",), 3: ("pinned_images", "sandbox"), 4: ("pinned_images", "sandbox")}
CRI = frozenset({"cri", *RUNTIME.values(), *IMAGES.values()})
DISABLED = ("disabled_plugins",)

Path = tuple[str, ...]
Keys = dict[Path, Any]
"""A configuration's wanted keys, by their path."""


def wanted(
    values: Mapping[str, Any], *, settings: Mapping[str, Any], registries: bool, sandbox_image: str = ""
) -> Keys:
    """What has to stand in a configuration like `values`, in the tables of its version."""
    version = values.get("version", 2)
    runtime, images = ("plugins", RUNTIME[version]), ("plugins", IMAGES[version])
    keys: Keys = {DISABLED: [plugin for plugin in values.get("disabled_plugins", []) if plugin not in CRI]}
    known = at(values, (*runtime, "containerd", "runtimes")) or {}
    if "runc" not in known:
        keys[*runtime, "containerd", "runtimes", "runc", "runtime_type"] = RUNC
    for name in sorted({"runc"} | {name for name, table in known.items() if table.get("runtime_type") == RUNC}):
        keys[*runtime, "containerd", "runtimes", name, "options", "SystemdCgroup"] = True
    if registries:
        keys[*images, "registry", "config_path"] = _with_certs(at(values, (*images, "registry", "config_path")) or "")
    if sandbox_image:
        keys[*images, *SANDBOX[version]] = sandbox_image
    return keys | {(*runtime, *path): value for path, value in _flat(settings)}


def runtime(values: Mapping[str, Any], *, name: str, binary: str) -> Keys:
    """What makes a runtime of runc's kind the default one, in the tables of the configuration's version.

    Kubernetes leaves cgroups to systemd, and a runtime that does not would fight with it over every container.
    """
    table = ("plugins", RUNTIME[values.get("version", 2)], "containerd")
    own = (*table, "runtimes", name)
    return {
        (*table, "default_runtime_name"): name,
        (*own, "runtime_type"): RUNC,
        (*own, "privileged_without_host_devices"): False,
        (*own, "options", "BinaryName"): binary,
        (*own, "options", "SystemdCgroup"): True,
    }


def default_runtime(values: Mapping[str, Any]) -> str:
    """The name of the default runtime; empty when the configuration leaves it to containerd (runc)."""
    found = (at(values, ("plugins", name, "containerd", "default_runtime_name")) for name in set(RUNTIME.values()))
    return next((name for name in found if name), "")


def at(values: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, or None."""
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def holds(values: Mapping[str, Any], keys: Keys) -> bool:
    """Whether a configuration says all of it. A list that is not there is empty."""
    return all(
        (at(values, path) or value) == value if value == [] else at(values, path) == value
        for path, value in keys.items()
    )


def merged(text: str, keys: Keys) -> str:
    """The text with the keys set; everything else, comments too, stays as it is written."""
    import tomlkit

    document = tomlkit.parse(text)
    for path, value in keys.items():
        if at(document, path) == value or (value == [] and at(document, path) is None):
            continue
        table: Any = document
        for key in path[:-1]:
            if key not in table:
                table[key] = tomlkit.table(is_super_table=True)
            table = table[key]
        table[path[-1]] = value
    return tomlkit.dumps(document)


def contradiction(text: str, keys: Keys) -> str:
    """The first wanted key that a drop-in sets otherwise; empty when it sets none. Any version's tables count."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    return next((key for key, now, value in _compared(values, keys) if now is not None and now != value), "")


def not_effective(values: Mapping[str, Any], keys: Keys) -> str:
    """The first wanted key that the effective configuration does not have; its version may be newer than the file's."""
    compared = ((key, now, value) for key, now, value in _compared(values, keys))
    return next((key for key, now, value in compared if (now or value if value == [] else now) != value), "")


def imported(values: Mapping[str, Any], path: str) -> bool:
    """Whether a configuration imports a file. Without `imports`, containerd 2.2 and newer read conf.d."""
    patterns = values.get("imports", ["/etc/containerd/conf.d/*.toml"])
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def legacy_mirrors(values: Mapping[str, Any]) -> list[str]:
    """Registries configured in the old way, which excludes certs.d."""
    version = values.get("version", 2)
    registry = at(values, ("plugins", IMAGES[version], "registry")) or {}
    return sorted({*registry.get("mirrors", {}), *registry.get("configs", {})})


def _compared(values: Mapping[str, Any], keys: Keys) -> Iterator[tuple[str, Any, Any]]:
    """Last name, value there, value wanted; a plugin's table is looked for under its name in every version."""
    for path, value in keys.items():
        if path == DISABLED:
            off = [plugin for plugin in values.get("disabled_plugins", []) if plugin in CRI]
            yield path[-1], off, []
            continue
        found = [at(values, other) for other in _everywhere(path)]
        now = next((item for item in found if item is not None), None)
        if path[-1] == "config_path" and now and CERTS in str(now).split(":"):
            now = value
        yield path[-1], now, value


def _everywhere(path: Path) -> list[Path]:
    plugins = RUNTIME if path[1] in RUNTIME.values() else IMAGES
    rest = path[2:]
    if rest in SANDBOX.values() and path[1] in IMAGES.values():
        return [("plugins", IMAGES[version], *SANDBOX[version]) for version in IMAGES]
    names = {*plugins.values(), *IMAGES.values()} if "config_path" in rest else set(plugins.values())
    return [("plugins", name, *rest) for name in sorted(names)]


def _with_certs(now: str) -> str:
    folders = [folder for folder in now.split(":") if folder]
    return now if CERTS in folders else ":".join([CERTS, *folders])


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from (((key, *path), inner) for path, inner in _flat(value))
        else:
            yield (key,), value
