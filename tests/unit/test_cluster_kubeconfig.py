"""The operator's kubeconfig: made whole and private, pointed at one control plane, recognised by its certificate."""

from __future__ import annotations

import base64
import hashlib
import ssl
import stat
from pathlib import Path

import pytest
import yaml

from pic4ser_lib.cluster import keep_kubeconfig, own_kubeconfig
from pic4ser_lib.errors import ClusterError

PEM = "-----BEGIN CERTIFICATE-----\nbm90IHJlYWxseSBhIGNlcnRpZmljYXRl\n-----END CERTIFICATE-----\n"
ADMIN = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kubernetes-admin@kubernetes",
        "clusters": [
            {"name": "kubernetes", "cluster": {"server": "https://api:6443", "certificate-authority-data": "Q0E="}}
        ],
        "users": [{"name": "a", "user": {"client-certificate-data": base64.b64encode(PEM.encode()).decode()}}],
        "contexts": [{"name": "kubernetes-admin@kubernetes", "context": {"cluster": "kubernetes", "user": "a"}}],
    }
)


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert own_kubeconfig(tmp_path / "kubeconfig") is None


def test_what_is_kept_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pic4ser" / "lab" / "kubeconfig"
    keep_kubeconfig(path, ADMIN, "https://10.0.0.1:6443", "api")
    assert own_kubeconfig(path) == {
        "server": "https://10.0.0.1:6443",
        "tls_server_name": "api",
        "mode": "600",
        "certificate_sha256": hashlib.sha256(ssl.PEM_cert_to_DER_cert(PEM)).hexdigest(),
    }


def test_only_the_operator_can_read_it_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "kubeconfig"
    keep_kubeconfig(path, ADMIN, "https://10.0.0.1:6443", "api")
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_others_could_read_is_private_again(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    keep_kubeconfig(path, ADMIN, "https://10.0.0.1:6443", "api")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "clusters: [", "clusters: []\nusers: []\n"])
def test_what_is_no_kubeconfig_is_refused_and_the_old_one_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    with pytest.raises(ClusterError, match=r"admin\.conf holds no cluster"):
        keep_kubeconfig(path, text, "https://10.0.0.1:6443", "api")
    assert path.read_text() == "old"


@pytest.mark.parametrize("text", ["", "[]", "clusters: ["])
def test_a_broken_file_reads_as_one_that_points_nowhere(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert (own_kubeconfig(path) or {})["certificate_sha256"] == ""
