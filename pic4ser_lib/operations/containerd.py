"""containerd's configuration: merged, never replaced (document: Setup nodes, "Configure containerd").

The document regenerates the whole file and edits one line. That loses what others wrote, and on containerd 2 the
line stands in another table. So: only a missing file, or the stub that packages bring (it switches the Kubernetes
interface off), is replaced by containerd's own default; into any other file the wanted keys are merged. Whether
anything is to do is decided by what the file means, not by how it is written.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pic4ser_lib.operations import containerd_tables as tables
from pic4ser_lib.operations import files, services
from pic4ser_lib.steps import Decision, Later, Refused, Shell, Step

CONFIG = "/etc/containerd/config.toml"
CERTS = tables.CERTS
VERSION = "$ containerd --version"
DEFAULT = "$ containerd config default"
DUMP = f"$ containerd --config {CONFIG} config dump"
_UPSTREAM = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Configuration:
    """What containerd has: its version, its file, its default (asked only where it is needed), what is effective."""

    version: str
    file: files.File | None
    default: str
    dump: files.File | None
    others: tuple[files.File, ...]

    @property
    def major(self) -> int:
        """containerd's major version; 0 when it is not installed."""
        return int(self.version.partition(".")[0] or 0)

    def __str__(self) -> str:
        if not self.version:
            return "containerd is not installed"
        if self.file is None:
            return f"containerd {self.version} without {CONFIG}"
        return f"containerd {self.version}, configuration version {_version_in(self.file.content)}"


class Merged(Step):
    """Base of steps that want keys in containerd's configuration: there, and in effect; what others wrote stays."""

    def probe(self) -> Shell:
        """Version, file, drop-ins, the effective configuration; the default only for a missing file or a stub."""
        imports = f"sed -n 's/^[[:space:]]*imports[[:space:]]*=[[:space:]]*\\[\\(.*\\)\\].*/\\1/p' {CONFIG} 2>/dev/null"
        others = ("/etc/containerd/conf.d/*.toml", f'$({imports} | tr -d "\\"\',")')
        return Shell(
            f"{files.output('containerd --version')}; {files.show(CONFIG, patterns=others)}; "
            "if command -v containerd >/dev/null; then "
            f"if ! grep -qs '^[[:space:]]*\\[' {CONFIG}; then {files.output('containerd config default')}; fi; "
            f"if [ -f {CONFIG} ]; then {files.output(DUMP[2:])}; fi; fi"
        )

    def parse(self, raw: str) -> Configuration:
        """All of it by name."""
        found = files.shown(raw)
        said, default = found.get(VERSION), found.get(DEFAULT)
        numbers = re.search(r"\bv?(\d+\.\d+\.\d+)", said.content) if said and said.mode == 0 else None
        others = tuple(f for path, f in found.items() if f and path.endswith(".toml") and path != CONFIG)
        return Configuration(
            version=numbers[1] if numbers else "",
            file=found.get(CONFIG),
            default=default.content if default and default.mode == 0 else "",
            dump=found.get(DUMP),
            others=others,
        )

    def actions(self, seen: Configuration) -> Decision:
        """The merged file; nothing if it says what is wanted already and nothing overrides it."""
        if not seen.version:
            return Later("packages.pinned(containerd.io)", "containerd is not installed")
        old = seen.file.content if seen.file else ""
        base = seen.default if is_stub(old) and seen.default else old
        values = self._read(base)
        wanted = self._wanted(values)
        self._not_overridden(seen, values, wanted)
        if base == old and tables.holds(values, wanted):
            self._effective(seen, wanted)
            return []
        return files.edited(CONFIG, seen.file, self._merged(base, wanted))

    def _wanted(self, values: Mapping[str, Any]) -> tables.Keys:
        """The keys that a configuration like this has to hold. Raises Refused."""
        raise NotImplementedError

    def _merged(self, base: str, wanted: tables.Keys) -> str:
        text = tables.merged(base, wanted)
        if not tables.holds(self._read(text), wanted):
            raise Refused(self.wanted, f"{CONFIG} cannot be merged", f"Move {CONFIG} away: a new one is made.")
        return text

    def _read(self, text: str) -> dict[str, Any]:
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Refused(self.wanted, f"{CONFIG} is not TOML: {error}", f"Mend {CONFIG} by hand.") from error
        if values.get("version", 1) not in tables.RUNTIME:
            seen = f"{CONFIG} is of version {values.get('version', 1)}"
            raise Refused(
                self.wanted, seen, "Run `containerd config migrate`, or move the file away: a new one is made."
            )
        return values

    def _not_overridden(self, seen: Configuration, values: Mapping[str, Any], wanted: tables.Keys) -> None:
        for other in seen.others:
            if tables.imported(values, other.path) and (key := tables.contradiction(other.content, wanted)):
                where = f"{other.path}, which {CONFIG} imports, sets {key} otherwise"
                raise Refused(self.wanted, where, f"Remove {key} from {other.path}, or the file if nobody needs it.")

    def _effective(self, seen: Configuration, wanted: tables.Keys) -> None:
        if seen.dump is None:
            return
        if seen.dump.mode:
            said = seen.dump.content.strip().splitlines()[-1:]
            raise Refused(self.wanted, f"containerd cannot read its configuration: {' '.join(said)}", f"Mend {CONFIG}.")
        if key := tables.not_effective(tomllib.loads(seen.dump.content), wanted):
            imports = tomllib.loads(seen.file.content if seen.file else "").get("imports", [])
            where = f"{key} is not in effect, although {CONFIG} sets it (its imports: {', '.join(imports) or 'none'})"
            raise Refused(self.wanted, where, "Look for the file that sets it otherwise: containerd config dump.")


@dataclass(frozen=True)
class Configured(Merged):
    """containerd serves Kubernetes, with systemd's cgroups, the site's registries and the site's extra settings."""

    settings: tuple[tuple[str, Any], ...]
    registries: bool
    sandbox_image: str = ""
    name = "containerd.configured"
    wanted = "containerd uses the systemd cgroup driver and the site's registries"

    def _wanted(self, values: Mapping[str, Any]) -> tables.Keys:
        if mirrors := tables.legacy_mirrors(values):
            seen = f"{CONFIG} configures registries itself ({', '.join(mirrors)})"
            remedy = f"Move them to {CERTS}/REGISTRY/hosts.toml: containerd takes one way or the other."
            if self.registries:
                raise Refused(self.wanted, seen, remedy)
        return tables.wanted(
            values, settings=dict(self.settings), registries=self.registries, sandbox_image=self.sandbox_image
        )


def configured(
    settings: Mapping[str, Any] | None = None,
    registries: Mapping[str, str] | None = None,
    *,
    sandbox_image: str = "",
) -> Configured:
    """containerd uses the systemd cgroup driver and the site's registries.

    `settings` are extra keys of the CRI runtime plugin's table; `registries` maps upstream hosts to mirrors (here it
    only matters whether there are any); an empty `sandbox_image` leaves containerd's own.
    """
    return Configured(tuple((settings or {}).items()), bool(registries), sandbox_image)


def registry_hosts(registries: Mapping[str, str]) -> files.Written:
    """Images of each upstream registry come from the site's mirror first. containerd reads this without a restart."""
    contents = tuple((f"{CERTS}/{name}/hosts.toml", _hosts(name, url)) for name, url in sorted(registries.items()))
    return files.Written("containerd.registry_hosts", "images come from the site's registries", contents)


def running_current() -> services.RunningCurrent:
    """containerd runs with its present configuration and program."""
    return services.running_current("containerd", (CONFIG, "/etc/containerd/conf.d/*.toml", "/usr/bin/containerd"))


def _hosts(registry: str, mirror: str) -> str:
    """A mirror's URL with a path is the base of its API, so containerd must not put /v2 before it."""
    server = f"https://{_UPSTREAM.get(registry, registry)}"
    override = "  override_path = true\n" if mirror.partition("://")[2].partition("/")[2].strip("/") else ""
    return (
        f"server = {json.dumps(server)}\n\n"
        f'[host.{json.dumps(mirror)}]\n  capabilities = ["pull", "resolve"]\n{override}'
    )


def is_stub(text: str) -> bool:
    """Nothing, or only the packages' line that switches the Kubernetes interface off."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    values.pop("version", None)
    return values in ({}, {"disabled_plugins": ["cri"]})


def _version_in(text: str) -> str:
    found = re.search(r"(?m)^\s*version\s*=\s*(\d+)", text)
    return found[1] if found else "not given"
