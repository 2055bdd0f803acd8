"""The one machine that nodes can reach: packages and files over HTTP, images over the registry's protocol.

It forwards nothing (ip_forward is 0 in its network namespace), which makes it a safe default route for the nodes.
What was pushed into its registry stays in the cache under the key of the image set: a second start pushes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import MIRROR, MIRROR_ADDRESS, NETWORK, REGISTRY_PORT, until
from pic4ser_lib.lab.podman import CONFIG_LABEL, LABEL, Container, limits, mac, podman, remove

if TYPE_CHECKING:
    from pic4ser_lib.lab.artifacts import Artifacts
    from pic4ser_lib.lab.images import ImageArchive

Tell = Callable[[str], None]

NGINX = """\
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 512; }
http {
  default_type application/octet-stream;
  access_log /var/log/nginx/access.log;
  sendfile on;
  server {
    listen 80;
    root /srv/apt;
    location /files/ { alias /srv/files/; }
  }
}
"""

REGISTRY = f"""\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: /var/lib/registry}}}}
http: {{addr: ":{REGISTRY_PORT}"}}
"""

# Both or none: when one server ends, the container ends, and that shows.
ENTRY = """\
trap exit TERM
docker-registry serve /srv/registry.yml & nginx -c /srv/nginx.conf -g 'daemon off;' & wait -n
"""

_URL = f"http://{MIRROR_ADDRESS}"
_REGISTRY_URL = f"{_URL}:{REGISTRY_PORT}/v2/"
_PATIENCE = 30.0


@dataclass(frozen=True)
class Mirror:
    """The mirror of one set of artifacts. `storage` is the registry's folder, `folder` holds the configuration."""

    artifacts: Artifacts
    storage: Path
    folder: Path
    lab: str

    @property
    def config(self) -> str:
        """Changes when the container would have to be made anew."""
        made_of = [self.artifacts.mirror_image, *map(str, (self.artifacts.apt, self.artifacts.files, self.storage))]
        return hashlib.sha256(json.dumps([*made_of, NGINX, REGISTRY, ENTRY, self.lab]).encode()).hexdigest()[:16]

    def ensure(self, seen: Container | None, *, tell: Tell) -> bool:
        """Serves, with every image in place; whether anything had to be done. It holds no state of its own."""
        if seen is not None and seen.alive and seen.config == self.config and self.complete and not unanswered():
            return False
        tell("boot: start")
        remove([MIRROR])
        self._run()
        until(unanswered, waiting_for="the mirror's two servers to answer", seconds=_PATIENCE)
        if not self.complete:
            self._push(tell)
        return True

    @property
    def complete(self) -> bool:
        """Whether every image was pushed into this storage."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.storage / "complete"

    def _run(self) -> None:
        self.storage.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "nginx.conf").write_text(NGINX)
        (self.folder / "registry.yml").write_text(REGISTRY)
        shared = {
            self.artifacts.apt: "/srv/apt:ro",
            self.artifacts.files: "/srv/files:ro",
            self.folder / "nginx.conf": "/srv/nginx.conf:ro",
            self.folder / "registry.yml": "/srv/registry.yml:ro",
            self.storage: "/var/lib/registry",
        }
        podman(
            *("run", "--detach", "--name", MIRROR, "--hostname", "mirror"),
            *("--label", f"{LABEL}={self.lab}", "--label", f"{CONFIG_LABEL}={self.config}"),
            *("--network", NETWORK, "--ip", MIRROR_ADDRESS, *mac(MIRROR_ADDRESS), "--no-hosts", "--dns=none"),
            *("--runtime", "runc", *limits(), "--sysctl", "net.ipv4.ip_forward=0", "--tmpfs", "/run"),
            *(flag for source, target in shared.items() for flag in ("--volume", f"{source}:{target}")),
            *(self.artifacts.mirror_image, "bash", "-c", ENTRY),
        )

    def _push(self, tell: Tell) -> None:
        for other in self.storage.parent.iterdir():
            if other != self.storage:
                shutil.rmtree(other, ignore_errors=True)  # the registry of older images: made again when needed
        images = self.artifacts.images
        with ThreadPoolExecutor(max_workers=2) as pool:
            for done, image in enumerate(pool.map(_pushed, images), start=1):
                tell(f"push: image {done} of {len(images)}: {image}")
        self._mark.touch()


def storage_for(images: Sequence[ImageArchive], cache: Path) -> Path:
    """The registry's folder for this set of images."""
    names = sorted(f"{image.name} {image.digest}" for image in images)
    return cache / "registry" / hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def unanswered() -> str:
    """Which of the mirror's two servers does not answer; "" when both do."""
    quiet = [url for url in (f"{_URL}/files/", _REGISTRY_URL) if not _answers(url)]
    return f"no answer from {' and '.join(quiet)}" if quiet else ""


def _answers(url: str) -> bool:
    # No proxy of the user's may be asked for a lab address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _pushed(image: ImageArchive) -> str:
    target = f"docker://{MIRROR_ADDRESS}:{REGISTRY_PORT}/{image.name}"
    words = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"docker-archive:{image.path}", target]
    direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    try:
        done = subprocess.run(words, env=direct, capture_output=True, text=True, timeout=300)
    except FileNotFoundError as error:
        raise LabError(what="push images", seen="skopeo is not installed", remedy="apt-get install skopeo") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(what=f"push {image.name}", seen="it took longer than 300 s") from error
    if done.returncode != 0:
        raise LabError(what=f"push {image.name}", seen=done.stderr.strip()[-600:])
    return image.name
