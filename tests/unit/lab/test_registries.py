"""Images from a registry on loopback: the one for the nodes' machines, whole, or a sentence that says why not."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import images, pins, processes, registries, stages
from pic4ser_lib.lab.building import build_all
from pic4ser_lib.lab.pins import Pins

NAME = "registry.k8s.io/it/is:v1"
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


class Registry:
    """A registry, as far as who pulls sees one: manifests by tag and digest, and blobs."""

    def __init__(self, server: HTTPServer) -> None:
        self.address = f"{server.host}:{server.port}"
        self.held: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        server.expect_request(re.compile("^/v2/.*")).respond_with_handler(self._answer)

    def hold(self, kind: str, told: bytes | dict[str, Any]) -> dict[str, Any]:
        """Keeps a blob or a manifest, and returns its descriptor."""
        content = told if isinstance(told, bytes) else json.dumps(told).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.held[digest] = (kind, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def image(self, architecture: str) -> dict[str, Any]:
        """An image for that architecture with one file in it."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(f"for-{architecture}"))
        whole = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
        rootfs = {"type": "layers", "diff_ids": [whole]}
        config = {"os": "linux", "architecture": architecture, "config": {}, "rootfs": rootfs}
        parts = {
            "config": self.hold("application/vnd.oci.image.config.v1+json", config),
            "layers": [self.hold("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(layer.getvalue()))],
        }
        held = self.hold(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, **parts})
        return {**held, "platform": {"os": "linux", "architecture": architecture}}

    def tag(self, name: str, *each: dict[str, Any]) -> None:
        """The name means this image; or an index of several."""
        listed = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(each)}
        self.tags[name] = (each[0] if len(each) == 1 else self.hold(INDEX, listed))["digest"]

    def _answer(self, request: Request) -> Response:
        if request.path == "/v2/":
            return Response("{}")
        repository, _, asked = request.path.removeprefix("/v2/").replace("/blobs/", "/manifests/").rpartition("/")
        digest = self.tags.get(f"{repository.removesuffix('/manifests')}:{asked}", asked)
        if digest not in self.held:
            return Response('{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}', 404)
        kind, content = self.held[digest]
        return Response(content, content_type=kind, headers={"Docker-Content-Digest": digest})


@pytest.fixture(autouse=True)
def _not_stopped() -> Iterator[None]:
    """A build that fails stops the commands of its process, until the next one begins."""
    processes.allow()
    yield
    processes.allow()


@pytest.fixture
def registry(httpserver: HTTPServer) -> Registry:
    """An empty one."""
    return Registry(httpserver)


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[[str], Path]:
    """Makes NAME's artifact from the registry at an address, as `lab up --online` does."""

    def made(address: str) -> Path:
        recipe = registries.recipes(_pins({"name": NAME, "online": True}), registry=address)[NAME]
        build_all((recipe,), tmp_path / "cache", lambda *heard: None)
        return recipe.folder(tmp_path / "cache")

    return made


def _pins(*told: dict[str, Any]) -> Pins:
    return replace(pins.load(), images={"recipe": 1, "images": list(told)})


def _refusal(fetch: Callable[[str], Path], address: str, root: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        fetch(address)
    assert not [path for path in (root / "cache" / "artifacts").rglob("*") if path.is_file()]
    return str(caught.value)


def test_of_an_image_for_several_machines_the_nodes_one_is_copied(
    registry: Registry, fetch: Callable[[str], Path]
) -> None:
    registry.tag(NAME, registry.image("arm64"), registry.image("amd64"))
    found = images.archive(NAME, fetch(registry.address))
    copied = subprocess.run(
        ["skopeo", "inspect", "--config", f"docker-archive:{found.path}"], capture_output=True, check=True
    )
    assert json.loads(copied.stdout)["architecture"] == "amd64"
    assert found.digest in registry.held


def test_what_was_fetched_once_needs_no_registry_any_more(
    registry: Registry, fetch: Callable[[str], Path], httpserver: HTTPServer
) -> None:
    registry.tag(NAME, registry.image("amd64"))
    first = fetch(registry.address)
    asked = len(httpserver.log)
    assert fetch(registry.address) == first
    assert len(httpserver.log) == asked > 0


def test_a_tag_that_the_registry_does_not_have_is_named(
    registry: Registry, fetch: Callable[[str], Path], tmp_path: Path
) -> None:
    said = _refusal(fetch, registry.address, tmp_path)
    assert f"{NAME}: wanted the image for linux/amd64 from {registry.address}/{NAME}, saw" in said
    assert "manifest unknown" in said
    assert "pins/images.yaml" in said


def test_a_registry_that_is_away_is_named(fetch: Callable[[str], Path], tmp_path: Path) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # bound, and nobody listens
        said = _refusal(fetch, f"127.0.0.1:{port.getsockname()[1]}", tmp_path)
    assert "connection refused" in said
    assert "Without --online" in said


def test_an_images_own_registry_is_asked_over_tls_only(registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.address}/it/is:v1"
    registry.tag("it/is:v1", registry.image("amd64"))
    recipe = registries.recipes(_pins({"name": name, "online": True}))[name]
    with pytest.raises(ArtifactError, match=f"from {name}, saw .*(TLS handshake|HTTPS client)"):
        recipe.ensure(tmp_path)


def test_an_image_for_other_machines_only_is_refused(
    registry: Registry, fetch: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.tag(NAME, registry.image("arm64"))
    assert "wanted an image for linux/amd64, saw one for linux/arm64" in _refusal(fetch, registry.address, tmp_path)


def test_a_layer_that_is_not_what_its_digest_says_is_refused(
    registry: Registry, fetch: Callable[[str], Path], tmp_path: Path
) -> None:
    registry.tag(NAME, registry.image("amd64"))
    layer = next(digest for digest, (kind, _) in registry.held.items() if "layer" in kind)
    registry.held[layer] = (registry.held[layer][0], gzip.compress(b"something else"))
    assert layer.removeprefix("sha256:") in _refusal(fetch, registry.address, tmp_path)


def test_each_name_of_an_image_is_asked_for_by_itself() -> None:
    told = {"name": "docker.io/library/busybox:1.37.0", "also": ["docker.io/library/busybox:1.38.0"], "online": True}
    recipes = registries.recipes(_pins(told, {"name": "nvcr.io/own:1"}))
    assert list(recipes) == [told["name"], *told["also"]]
    assert len({recipe.name for recipe in recipes.values()}) == 2


def test_what_has_to_see_a_gpu_or_is_in_no_registry_stays_ours() -> None:
    ours = [image["name"] for image in pins.load().images["images"] if not image.get("online")]
    assert [name.partition(":")[0].rpartition("/")[2] for name in ours] == [
        "k8s-device-plugin",
        "node-feature-discovery",
        "dcgm-exporter",
        "cuda-sample",
        "thanos",
        "tensorflow-cpu",
    ]


@pytest.mark.parametrize("stage", stages.STAGES)
def test_online_only_where_the_images_come_from_is_another(stage: str, tmp_path: Path) -> None:
    plan, online = (stages.plan(stage, pins.load(), tmp_path, online=each) for each in (False, True))
    assert list(online.images) == list(plan.images)
    assert not [name for name in plan.recipes if name.startswith("upstream-")]
    shared = {name for name in online.recipes if not name.startswith("upstream-")}
    assert {name: online.recipes[name].key for name in shared} == {name: plan.recipes[name].key for name in shared}


def test_whether_an_image_is_online_changes_nothing_of_what_is_built(tmp_path: Path) -> None:
    told = pins.load()
    without = [{key: value for key, value in image.items() if key != "online"} for image in told.images["images"]]
    assert any("online" in image for image in told.images["images"])
    other = replace(told, images={**told.images, "images": without})
    both = (stages.plan("training", each, tmp_path).recipes for each in (told, other))
    keys, keys_without = ({name: recipe.key for name, recipe in recipes.items()} for recipes in both)
    assert keys == keys_without
