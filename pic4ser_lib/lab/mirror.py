"""The one machine that nodes can reach: packages and files over HTTP, images over the registry's protocol.

It forwards nothing (ip_forward is 0 in its network namespace), which makes it a safe default route for the nodes.
What was pushed into its registry stays in the cache, with a note of what it is: a second start pushes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import state
from pic4ser_lib.lab.nodes import MIRROR, MIRROR_ADDRESS, NETWORK, REGISTRY_PORT, Machine, until
from pic4ser_lib.lab.podman import CONFIG_LABEL, LABEL, limits, mac, podman, remove
from pic4ser_lib.lab.publish import publish

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
    root /srv/www;
    error_page 404 = @missing;
    location ~ /\\. { return 404; }
    location @missing {
      default_type text/plain;
      if (-f /srv/www/.building) { return 503 "The lab is still building this. See: pic4ser lab status\\n"; }
      return 404 "The lab's mirror does not have this.\\n";
    }
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

BUILDING = ".building"  # as long as it is there, a file that is not gets 503 instead of 404
_URL = f"http://{MIRROR_ADDRESS}"
_REGISTRY_URL = f"{_URL}:{REGISTRY_PORT}/v2/"
_PATIENCE = 30.0


@dataclass(frozen=True)
class Mirror:
    """The mirror, whatever it serves. `storage` is the registry's folder, `folder` holds configuration and files."""

    image: str
    storage: Path
    folder: Path
    lab: str

    @property
    def config(self) -> str:
        """Changes when the container would have to be made anew."""
        made_of = [self.image, str(self.storage), str(self.folder), NGINX, REGISTRY, ENTRY, self.lab]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    def ensure(self, seen: Machine | None, *, tell: Tell) -> bool:
        """Both servers answer; whether anything had to be done. The container holds no state of its own."""
        if seen is not None and seen.alive and seen.config == self.config and not unanswered():
            return False
        tell("boot: start")
        remove([MIRROR])
        self._run()
        until(unanswered, waiting_for="the mirror's two servers to answer", seconds=_PATIENCE)
        return True

    def serve(self, stage: str, made: Artifacts, *, tell: Tell) -> None:
        """Every file and image of a stage is there. Killed in the middle, the next call goes on from where it was."""
        publish(made.trees, self.folder / "www", self.folder / f"{stage}.txt")
        todo = [image for image in made.images if not self._has(image)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            for done, image in enumerate(pool.map(self._pushed, todo), start=1):
                tell(f"push: image {done} of {len(todo)}: {image}")

    def _run(self) -> None:
        for folder in (self.storage, self.folder / "www"):
            folder.mkdir(parents=True, exist_ok=True)
        for other in self.storage.parent.iterdir():
            if other != self.storage:
                shutil.rmtree(other, ignore_errors=True)  # the registry of an older lab
        (self.folder / "nginx.conf").write_text(NGINX)
        (self.folder / "registry.yml").write_text(REGISTRY)
        shared = {
            self.folder / "www": "/srv/www:ro",
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
            *(self.image, "bash", "-c", ENTRY),
        )

    def _has(self, image: ImageArchive) -> bool:
        mark = self._mark(image)
        return mark.exists() and mark.read_text() == image.digest

    def _pushed(self, image: ImageArchive) -> str:
        push(image, f"{MIRROR_ADDRESS}:{REGISTRY_PORT}")
        state.write(self._mark(image), image.digest)
        return image.name

    def _mark(self, image: ImageArchive) -> Path:
        return self.storage / "pushed" / image.name.replace("/", "+")


def of(made: Artifacts, cache: Path, home: Path) -> Mirror:
    """The mirror of the lab whose folder is `home`."""
    return Mirror(made.mirror_image, cache / "registry" / "images", home / "mirror", str(home))


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


def push(image: ImageArchive, registry: str) -> None:
    """The registry (address:port) has the image under its upstream name. Raises LabError."""
    target = f"docker://{registry}/{image.name}"
    source = f"docker-archive:{image.path}"
    # setpriv: it ends with us, also when we are killed.
    words = ["setpriv", "--pdeathsig", "KILL", "skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, target]
    direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    try:
        done = subprocess.run(words, env=direct, capture_output=True, text=True, timeout=300)
    except FileNotFoundError as error:
        raise LabError(what="push images", seen="skopeo is not installed", remedy="apt-get install skopeo") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(what=f"push {image.name}", seen="it took longer than 300 s") from error
    if done.returncode != 0:
        raise LabError(what=f"push {image.name}", seen=done.stderr.strip()[-600:])
