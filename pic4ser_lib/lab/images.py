"""Container images as docker-archives: a tar of layers, a configuration and a manifest; equal inputs, equal digests."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import cache, processes
from pic4ser_lib.lab.pins import Pins
from pic4ser_lib.lab.recipes import Entry, Made, Recipe, entries, needed, own_files

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CREATED = "2025-01-01T00:00:00Z"


@dataclass(frozen=True)
class ImageArchive:
    """An image under its upstream name; `digest` is its configuration's, the id that a node shows."""

    name: str
    path: Path
    digest: str


def recipes(pins: Pins, known: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """A recipe for each image, by the image's full name."""
    found: dict[str, Recipe] = {}
    for image in pins.images["images"]:
        recipe = _recipe(image, pins.images["recipe"], known)
        found |= dict.fromkeys((image["name"], *image.get("also", ())), recipe)
    return found


def archive(name: str, folder: Path) -> ImageArchive:
    """The archive in a made image's folder."""
    return ImageArchive(name=name, path=folder / "image.tar", digest=(folder / "digest").read_text().strip())


def write_archive(target: Path, name: str, *, layers: list[Path], config: Mapping[str, Any]) -> str:
    """Writes a docker-archive and returns the digest of its configuration, sha256:..."""
    digests = [cache.digest_of(layer) for layer in layers]
    root = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
    text = json.dumps(
        {"architecture": "amd64", "os": "linux", "created": _CREATED, "config": config, "rootfs": root}, sort_keys=True
    ).encode()
    digest = hashlib.sha256(text).hexdigest()
    names = [f"{number}-{layer}.tar" for number, layer in enumerate(digests)]
    manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": names}]
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, f"{digest}.json", text, mode=0o644)
        for layer, inside in zip(layers, names, strict=True):
            _add(tar, inside, layer, mode=0o644)
        _add(tar, "manifest.json", json.dumps(manifest).encode(), mode=0o644)
    return f"sha256:{digest}"


def write_layer(
    target: Path, files: Mapping[str, Path | bytes], *, links: Mapping[str, str], folders: Iterable[str] = ()
) -> None:
    """Writes a layer: programs (0755, of root), symbolic links, and folders (0755; /tmp for everyone)."""
    wanted = {*folders, *(parent for path in (*files, *links) for parent in _parents(path))}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for folder in sorted(wanted):
            _add(tar, folder, None, mode=0o1777 if folder == "/tmp" else 0o755)
        for path, content in sorted(files.items()):
            _add(tar, path, content, mode=0o755)
        for path, to in sorted(links.items()):
            _add(tar, path, None, mode=0o777, to=to)


def _recipe(image: Mapping[str, Any], number: int, known: Mapping[str, Recipe]) -> Recipe:
    chosen = entries(image["files"])
    below = [known[name] for name in (*([f"root-{image['root']}"] if "root" in image else []), *_python(image))]
    repository = image["name"].rpartition(":")[0]
    return Recipe(
        name="image-" + re.sub(r"[^a-z0-9.]+", "-", repository),
        # Whether --online takes it from elsewhere changes nothing in what is built here.
        inputs={
            "pin": {key: told for key, told in image.items() if key != "online"},
            "recipe": number,
            "files": own_files(chosen),
        },
        make=lambda into, made: _make(image, chosen, into, made),
        needs=(*below, *needed(chosen, known)),
        disk_bytes=500_000_000,
    )


def _make(image: Mapping[str, Any], chosen: tuple[Entry, ...], into: Path, made: Made) -> None:
    files = {entry.target: _bytes_or_path(entry.content(made)) for entry in chosen}
    below = [made[f"root-{image['root']}"] / "root.tar"] if "root" in image else []
    for name in _python(image):
        files |= _packages_of_python(made[name])
    links = dict(image.get("links", {})) | _applets(image.get("applets"), files)
    layer = into / "layer.tar"
    write_layer(layer, files, links=links, folders=image.get("directories", ()))
    digest = write_archive(into / "image.tar", image["name"], layers=[*below, layer], config=_config(image))
    layer.unlink()
    cache.write(into / "digest", digest + "\n")


def _config(image: Mapping[str, Any]) -> dict[str, Any]:
    told = {"Entrypoint": image.get("entrypoint"), "Cmd": image.get("command"), "User": image.get("user")}
    return {"Env": [_PATH, *image.get("environment", ())], **{key: value for key, value in told.items() if value}}


def _applets(busybox: str | None, files: Mapping[str, Path | bytes]) -> dict[str, str]:
    if busybox is None:
        return {}
    program = files[busybox]
    names = processes.run("busybox", [str(program), "--list"]).split()
    folder = busybox.rpartition("/")[0]
    return {f"{folder}/{name}": busybox for name in names if f"{folder}/{name}" not in files}


def _python(image: Mapping[str, Any]) -> list[str]:
    return list(image.get("python", ()))


def _packages_of_python(folder: Path) -> dict[str, Path | bytes]:
    site, path = folder / "site", (folder / "path").read_text().strip()
    return {f"{path}/{file.relative_to(site)}": file for file in site.rglob("*") if file.is_file()}


def _bytes_or_path(content: Path | str) -> Path | bytes:
    return content if isinstance(content, Path) else content.encode()


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in Path(path).parents if str(parent) != "/"]


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes | None, *, mode: int, to: str = "") -> None:
    # Everything belongs to root and is as old as the epoch: a digest must not depend on when and by whom it was made.
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.mode = mode
    if content is None:
        entry.type, entry.linkname = (tarfile.SYMTYPE, to) if to else (tarfile.DIRTYPE, "")
        tar.addfile(entry)
    elif isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    else:
        entry.size = content.stat().st_size
        with content.open("rb") as file:
            tar.addfile(entry, file)
