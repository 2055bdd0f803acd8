"""Container images: read by skopeo, equal for equal inputs, and named as the pins say."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from pic4ser_lib.lab import images, pins


def _image(folder: Path, name: str, content: bytes = b"program") -> tuple[Path, str]:
    folder.mkdir(parents=True)
    layer = folder / "layer.tar"
    images.write_layer(layer, {"/usr/local/bin/it": content}, links={"/bin/sh": "/usr/local/bin/it"}, folders=["/tmp"])
    digest = images.write_archive(
        folder / "image.tar", name, layers=[layer], config={"Entrypoint": ["/usr/local/bin/it"]}
    )
    return folder / "image.tar", digest


def _inspected(archive: Path, *flags: str) -> Any:
    command = ["skopeo", "inspect", *flags, f"docker-archive:{archive}"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_skopeo_reads_an_archive_and_its_configuration(tmp_path: Path) -> None:
    archive, digest = _image(tmp_path / "1", "registry.k8s.io/it:v1")
    assert _inspected(archive, "--config")["config"]["Entrypoint"] == ["/usr/local/bin/it"]
    assert _inspected(archive, "--raw")["config"]["digest"] == digest


def test_an_archive_can_be_copied_out_whole(tmp_path: Path) -> None:
    archive, digest = _image(tmp_path / "1", "registry.k8s.io/it:v1")
    command = [
        "skopeo",
        "copy",
        "--quiet",
        "--insecure-policy",
        f"docker-archive:{archive}",
        f"oci:{tmp_path / 'copy'}:it",
    ]
    subprocess.run(command, check=True)
    assert (tmp_path / "copy/blobs/sha256" / digest.removeprefix("sha256:")).exists() or _inspected(archive)["Layers"]


def test_equal_inputs_give_equal_images_and_others_do_not(tmp_path: Path) -> None:
    first, second = _image(tmp_path / "1", "it:v1"), _image(tmp_path / "2", "it:v1")
    assert (first[0].read_bytes(), first[1]) == (second[0].read_bytes(), second[1])
    assert _image(tmp_path / "3", "it:v1", content=b"other")[1] != first[1]


def test_a_layer_belongs_to_root_and_its_programs_can_run(tmp_path: Path) -> None:
    _image(tmp_path / "1", "it:v1")
    with tarfile.open(tmp_path / "1/layer.tar") as layer:
        members = {member.name: member for member in layer}
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert members["usr/local/bin/it"].mode == 0o755
    assert members["tmp"].mode == 0o1777
    assert members["bin/sh"].linkname == "/usr/local/bin/it"


def test_every_image_of_flannels_manifest_and_of_kubeadm_is_pinned() -> None:
    names = {re.sub(r":v?[0-9.].*$", "", image["name"]) for image in pins.load().images["images"]}
    control = {f"registry.k8s.io/kube-{part}" for part in ("apiserver", "controller-manager", "scheduler", "proxy")}
    others = {"registry.k8s.io/etcd", "registry.k8s.io/coredns/coredns", "registry.k8s.io/pause"}
    assert control | others | {"ghcr.io/flannel-io/flannel", "ghcr.io/flannel-io/flannel-cni-plugin"} <= names
