"""The signed apt repositories, as static files: laid out as Docker's, Kubernetes' and Debian's are.

The key is made once per cache and never leaves it; nodes get the public half from the mirror, as they do from upstream.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import cache, packages, processes
from pic4ser_lib.lab.pins import Pins, stage_of
from pic4ser_lib.lab.recipes import Made, Recipe, origin

DEBIAN = "debian"  # the repository of what Debian itself has
_OWNER = "pic4ser rehearsal lab"
_KEYRINGS = "pic4ser-gpg-"


def signing_recipe() -> Recipe:
    """The cache's signing key: secret.asc (0600), public.asc and fingerprint."""
    return Recipe(name="signing-key", inputs={"recipe": 1}, make=lambda into, _: _make_key(into), disk_bytes=100_000)


def recipe(pins: Pins, known: Mapping[str, Recipe], stage: str = "cluster", *, fingerprint: str) -> Recipe:
    """All repositories of a stage in one folder, signed with the key of this fingerprint."""
    pin = {**pins.debian["repositories"], "layouts": layouts(pins, stage)}
    own = packages.name_of(stage)
    sources = {name: "closure" if name == DEBIAN else f"{own}/{name}" for name in pin["layouts"]}
    return another(name_of(stage), pin, sources, known, fingerprint=fingerprint)


def another(
    name: str, pin: Mapping[str, Any], sources: Mapping[str, str], known: Mapping[str, Recipe], *, fingerprint: str
) -> Recipe:
    """Repositories as `pin` lays them out, each of the packages in its source: an artifact, or a folder of one."""
    needs = sorted({source.partition("/")[0] for source in sources.values()})
    return Recipe(
        name=name,
        inputs={"pin": pin, "fingerprint": fingerprint},
        make=lambda into, made: _make(pin["layouts"], sources, into, made),
        needs=(*(known[name] for name in needs), known["signing-key"]),
        disk_bytes=300_000_000,
    )


def name_of(stage: str) -> str:
    """The name of the artifact with a stage's repositories."""
    return "apt" if stage == "cluster" else f"apt-{stage}"


def layouts(pins: Pins, stage: str) -> dict[str, Mapping[str, str]]:
    """The repositories that a stage adds, by name."""
    told: Mapping[str, Mapping[str, str]] = pins.debian["repositories"]["layouts"]
    return {name: layout for name, layout in told.items() if stage_of(layout) == stage}


def fingerprint(key: Path) -> str:
    """40 hex digits, of a made signing key."""
    return (key / "fingerprint").read_text().strip()


def index(packages: list[Path], base: Path) -> str:
    """The text of a Packages file for these packages; file names are relative to `base`."""
    return "\n".join(_paragraph(package, base) for package in sorted(packages))


def release(folder: Path, *, fields: Mapping[str, str]) -> str:
    """The text of a Release file: the fields, and size and SHA-256 of every index under the folder."""
    files = sorted(path for path in folder.rglob("Packages*") if path.is_file())
    sums = [f" {cache.digest_of(path)} {path.stat().st_size} {path.relative_to(folder)}" for path in files]
    return "".join(f"{field}: {value}\n" for field, value in fields.items()) + "SHA256:\n" + "\n".join(sums) + "\n"


def sign(folder: Path, key: Path) -> None:
    """Puts InRelease and Release.gpg beside the folder's Release."""
    with _keyring() as gpg:
        processes.run("apt", [*gpg, "--import", key / "secret.asc"])
        text = folder / "Release"
        processes.run("apt", [*gpg, "--clearsign", "--output", folder / "InRelease", text])
        processes.run("apt", [*gpg, "--armor", "--detach-sign", "--output", folder / "Release.gpg", text])


def _make(layouts: Mapping[str, Mapping[str, str]], sources: Mapping[str, str], into: Path, made: Made) -> None:
    key = made["signing-key"]
    for name, layout in layouts.items():
        source, base = origin(sources[name], made), into / layout["path"]
        pool = [base / layout["pool"] / package.name for package in sorted(source.glob("*.deb"))]
        for package in pool:
            cache.link(source / package.name, package)
        _publish(base, pool, layout, key)


def _publish(base: Path, packages: list[Path], layout: Mapping[str, str], key: Path) -> None:
    suite = layout.get("suite")
    top = base / "dists" / suite if suite else base
    indexes = top / layout["component"] / "binary-amd64" if suite else base
    text = index(packages, base)
    cache.write(indexes / "Packages", text)
    cache.write(indexes / "Packages.gz", gzip.compress(text.encode(), mtime=0))
    cache.write(top / "Release", release(top, fields=_fields(layout)))
    sign(top, key)
    cache.write((base / layout["key"]).resolve(), (key / "public.asc").read_text())


def _fields(layout: Mapping[str, str]) -> dict[str, str]:
    fields = {"Origin": _OWNER, "Label": _OWNER}
    if "suite" in layout:
        fields |= {"Suite": layout["suite"], "Codename": layout["suite"], "Components": layout["component"]}
    date = format_datetime(datetime.now(UTC)).replace("+0000", "UTC")
    return fields | {"Architectures": "amd64", "Date": date}


def _paragraph(package: Path, base: Path) -> str:
    fields = processes.run("apt", ["dpkg-deb", "--field", package]).strip("\n")
    content = package.read_bytes()
    return (
        f"{fields}\nFilename: {package.relative_to(base)}\nSize: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def _make_key(into: Path) -> None:
    with _keyring() as gpg:
        processes.run("signing-key", [*gpg, "--quick-generate-key", _OWNER, "ed25519", "sign", "never"])
        secret = processes.run("signing-key", [*gpg, "--armor", "--export-secret-keys"])
        cache.write(into / "secret.asc", secret, mode=0o600)
        cache.write(into / "public.asc", processes.run("signing-key", [*gpg, "--armor", "--export"]))
        listed = processes.run("signing-key", [*gpg, "--with-colons", "--list-keys"]).splitlines()
        cache.write(into / "fingerprint", next(line.split(":")[9] for line in listed if line.startswith("fpr")) + "\n")


@contextmanager
def _keyring() -> Iterator[list[str | Path]]:
    # A folder with a short path: gpg's sockets allow no long one. Its agent is told to go before the folder does.
    _remove_dead_keyrings()
    with tempfile.TemporaryDirectory(prefix=f"{_KEYRINGS}{os.getpid()}-", dir="/tmp") as home:
        try:
            yield ["gpg", "--batch", "--quiet", "--homedir", home, "--pinentry-mode", "loopback", "--passphrase", ""]
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def _remove_dead_keyrings() -> None:
    # A killed build could not remove its own, with the secret key in it.
    for home in Path("/tmp").glob(f"{_KEYRINGS}*"):
        if not Path(f"/proc/{home.name.removeprefix(_KEYRINGS).partition('-')[0]}").exists():
            shutil.rmtree(home, ignore_errors=True)
