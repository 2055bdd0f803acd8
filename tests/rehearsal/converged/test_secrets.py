"""No secret in anything that a run leaves behind: not on this machine, not on the nodes, not in a process's arguments.

The secrets are asked of the cluster itself, so nothing has to be guessed: whatever stands in its Secrets and in the
operator's kubeconfig is searched for, plainly and in base64.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_outside import KUBECONFIG, ROOT
from lab_outside import ADDRESSES, HOME, on

SHORTEST = 6  # a bootstrap token's id has six characters and is public; what is shorter than a password is none
OWN_DISKS = ("nodes", "mirror")  # the nodes' disks are searched from within; the mirror's is the lab's, not the run's
LEFT_HERE = (ROOT / "runs", ROOT / "notebooks", ROOT / "parameters", HOME)
# Where a cluster keeps its own secrets on its nodes, by design.
OWN_PLACES = (
    "/etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/containerd /root/.kube /proc /sys /dev /run/secrets"
)
PUBLIC = {"ca.crt", "namespace", "tls.crt", "ca", "cert", "token-id", "expiration", "description", "auth-extra-groups"}


def secrets() -> dict[str, bytes]:
    """Every value that the cluster keeps secret, by where it stands."""
    from kubernetes import client, config

    found: dict[str, bytes] = {}
    with client.ApiClient(config.load_kube_config(str(KUBECONFIG)) or None) as api:
        for secret in client.CoreV1Api(api).list_secret_for_all_namespaces().items:
            if secret.type == "helm.sh/release.v1":
                continue  # a release's own record: charts and values, which the journal may show
            for key, value in (secret.data or {}).items():
                if key not in PUBLIC and not key.startswith("usage-") and key != "admin-user":
                    where = f"{secret.metadata.namespace}/{secret.metadata.name}:{key}"
                    found[where] = base64.b64decode(value)
    return {where: value.strip() for where, value in found.items() if len(value.strip()) > SHORTEST}


@pytest.fixture(scope="module")
def needles() -> dict[str, bytes]:
    """What to search for: each secret's longest line, and the same in base64; the key of the kubeconfig's user."""
    known = {where: max(value.split(b"\n"), key=len) for where, value in secrets().items()}
    key = next(line for line in KUBECONFIG.read_bytes().splitlines() if b"client-key-data:" in line)
    known["the kubeconfig's client key"] = key.split(b": ", 1)[1].strip()
    coded = {f"{where} in base64": base64.b64encode(value).rstrip(b"=")[:-1] for where, value in known.items()}
    return known | coded


def test_the_secrets_that_a_run_makes_are_known(needles: dict[str, bytes]) -> None:
    names = " ".join(needles)
    assert ":admin-password" in names
    assert "training-operator-webhook-cert" in names
    assert len(needles) > 6


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and path != KUBECONFIG and path.relative_to(folder).parts[0] not in OWN_DISKS:
            yield path, path.read_bytes()


def test_nothing_on_this_machine_tells_one(needles: dict[str, bytes]) -> None:
    seen = [pair for folder in LEFT_HERE for pair in files(folder)]
    assert any(path.suffix == ".jsonl" for path, _ in seen), "no journal was searched"
    assert any(path.name == "report.html" for path, _ in seen), "no report was searched"
    assert [(path, where) for path, text in seen for where, needle in needles.items() if needle in text] == []


@pytest.mark.parametrize("node", sorted(ADDRESSES))
def test_nothing_on_a_node_tells_one(needles: dict[str, bytes], node: str) -> None:
    """But the places where the cluster keeps them."""
    patterns = b"\n".join(needles.values())
    spared = " ".join(f"-path {shlex.quote(place)} -prune -o" for place in OWN_PLACES.split())
    found = on(
        node,
        f"base64 -d <<< {base64.b64encode(patterns).decode()} > /tmp/patterns && sudo find / {spared}"
        " -xdev -type f -not -path /tmp/patterns -size -20M -print0 | sudo xargs -0 grep -lFa -f /tmp/patterns || true"
        "; rm /tmp/patterns",
        timeout=300,
    )
    assert found.splitlines() == []


@pytest.mark.parametrize("node", sorted(ADDRESSES))
def test_no_process_has_one_among_its_arguments(needles: dict[str, bytes], node: str) -> None:
    arguments = on(node, "sudo cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' || true").encode()
    assert [where for where, needle in needles.items() if needle in arguments] == []
