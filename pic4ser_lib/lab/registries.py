"""Images from their upstream registries, copied on the host before the nodes boot: `pic4ser lab up --online`.

Only those that the pins call `online`: what has to see a GPU stays a stand-in. A registry is asked by tag, once; what
it answered stays in the cache, so the same lab comes up again without it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Recipe

OS, ARCHITECTURE = "linux", "amd64"  # the nodes': everything that the lab builds is for this one
_DEADLINE = "900s"  # a large image, over a slow line
_REMEDY = (
    "See whether this machine reaches that registry and whether it has that tag (pic4ser_lib/lab/pins/images.yaml), "
    "then run this again: what is fetched stays. Without --online the lab's own images are served."
)


def recipes(pins: Pins, *, registry: str = "") -> dict[str, Recipe]:
    """A recipe for each image that upstream's registry has, by its full name: it goes in place of images.recipes'.

    `registry` (address:port, without TLS) has them under their full names and is asked in place of each image's own.
    """
    chosen = [image for image in pins.images["images"] if image.get("online")]
    names = [name for image in chosen for name in (image["name"], *image.get("also", ()))]
    return {name: _recipe(name, registry) for name in names}


def _recipe(name: str, registry: str) -> Recipe:
    def make(into: Path, made: Mapping[str, Path]) -> None:
        _copy(name, registry, into / "image.tar")
        cache.write(into / "digest", _digest(name, into / "image.tar") + "\n")

    return Recipe(
        name="upstream-" + re.sub(r"[^a-z0-9.]+", "-", name),
        inputs={"image": name, "platform": f"{OS}/{ARCHITECTURE}", "registry": registry, "recipe": 1},
        make=make,
        disk_bytes=250_000_000,  # on average
    )


def _copy(name: str, registry: str, target: Path) -> None:
    source = f"docker://{registry}/{name}" if registry else f"docker://{name}"
    words = ["skopeo", "--command-timeout", _DEADLINE, "--override-os", OS, "--override-arch", ARCHITECTURE, "copy"]
    plain = ["--src-tls-verify=false"] if registry else []
    try:
        processes.run(name, [*words, "--quiet", *plain, source, f"docker-archive:{target}:{name}"])
    except ArtifactError as error:
        wanted = f"the image for {OS}/{ARCHITECTURE} from {source.removeprefix('docker://')}"
        raise ArtifactError(artifact=name, wanted=wanted, seen=error.seen, remedy=_REMEDY) from error


def _digest(name: str, archive: Path) -> str:
    """That of the image's configuration. Raises ArtifactError if it is for other machines than the nodes."""
    with tarfile.open(archive) as tar:
        text = _member(tar, json.loads(_member(tar, "manifest.json"))[0]["Config"])
    told: dict[str, Any] = json.loads(text)
    platform = f"{told.get('os')}/{told.get('architecture')}"
    if platform != f"{OS}/{ARCHITECTURE}":
        # A tag with one image only is copied whatever it is for.
        wanted = f"an image for {OS}/{ARCHITECTURE}"
        raise ArtifactError(artifact=name, wanted=wanted, seen=f"one for {platform}", remedy=_REMEDY)
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    return file.read() if file else b""
