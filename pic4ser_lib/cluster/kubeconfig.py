"""The operator's own kubeconfig of a site: what it says, and how it is made from a node's admin.conf."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import ssl
import stat
import tempfile
from pathlib import Path
from typing import Any

from pic4ser_lib.errors import ClusterError


def own_kubeconfig(path: Path) -> dict[str, Any] | None:
    """Server, TLS name, mode (octal text) and the client certificate's SHA-256; None when there is no such file.

    A file that cannot be read as a kubeconfig answers with empty values: it is made anew.
    """
    try:
        text, mode = path.read_text(), stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    cluster, user = _parts(text)
    return {
        "server": str(cluster.get("server", "")),
        "tls_server_name": str(cluster.get("tls-server-name", "")),
        "mode": f"{mode:o}",
        "certificate_sha256": _fingerprint(str(user.get("client-certificate-data", ""))),
    }


def keep_kubeconfig(path: Path, admin_conf: str, server: str, tls_server_name: str) -> None:
    """Write the kubeconfig at once and whole (0600, its folder 0700), pointed at `server`. Raises ClusterError."""
    import yaml

    cluster, user = _parts(admin_conf)
    if not cluster or not user:
        raise ClusterError(
            reason="the node's admin.conf holds no cluster and user", object="kubeconfig",
            remedy="Look at /etc/kubernetes/admin.conf on the first control plane.",
        )  # fmt: skip
    config = yaml.safe_load(admin_conf)
    config["clusters"][0]["cluster"] |= {"server": server, "tls-server-name": tls_server_name}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_privately(path, yaml.safe_dump(config, sort_keys=False))


def in_memory(config: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig whose certificates and key are files of this process's memory; they end with it, however it ends.

    TLS wants files. The kubernetes client would write them to disk and leave them there when its process is killed.
    Raises ValueError, TypeError or KeyError for what is no kubeconfig.
    """
    for kind in ("cluster", "user"):
        for named in config[f"{kind}s"]:
            named[kind] = dict(_as_file(key, value) for key, value in named[kind].items())
    return config


def _as_file(key: str, value: Any) -> tuple[str, Any]:
    """`client-key-data` and its base64 as `client-key` and a path; anything else as it is."""
    name = key.removesuffix("-data")
    if name == key:
        return key, value
    handle = os.memfd_create(name)
    os.write(handle, base64.b64decode(value, validate=True))
    return name, f"/proc/self/fd/{handle}"


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first cluster and the first user of a kubeconfig; empty where there is none."""
    import yaml

    try:
        config = yaml.safe_load(text)
        return dict(config["clusters"][0]["cluster"]), dict(config["users"][0]["user"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        return {}, {}


def _fingerprint(certificate: str) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(base64.b64decode(certificate).decode())).hexdigest()
    except ValueError:
        return ""


def _write_privately(path: Path, text: str) -> None:
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(beside).unlink()
        raise
