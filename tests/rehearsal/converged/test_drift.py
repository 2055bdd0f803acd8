"""nbval in mode verify against a cluster that was changed behind the notebooks' back: each change must be noticed.

The changes are made from outside the library, by ssh and kubectl on the nodes. Run after the notebooks' first run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_outside import on

from pic4ser_lib.lab.rehearsal import Status

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Drift:
    """A change that nobody planned, and the notebook whose outputs no longer hold."""

    what: str
    node: str
    command: str
    notebook: str


DRIFTS = (
    Drift("a sysctl is switched off", "rover", "sudo sysctl -q -w net.ipv4.ip_forward=0", "01_setup_nodes"),
    Drift("a hold is taken away", "kitt", "sudo apt-mark unhold kubelet", "01_setup_nodes"),
    Drift("kubectl forgets the cluster", "bonnie", "sudo rm /root/.kube/config", "02_install_kubernetes"),
    Drift(
        "flannel is deleted",
        "bonnie",
        "sudo kubectl -n kube-flannel delete ds kube-flannel-ds",
        "03_network_plugin",
    ),
    Drift(
        "a taint is put back",
        "bonnie",
        "sudo kubectl taint node kitt node-role.kubernetes.io/control-plane:NoSchedule",
        "04_taint_master_nodes",
    ),
    Drift(
        "the storage class is deleted", "bonnie", "sudo kubectl delete storageclass nfs-client", "06_default_storage"
    ),
    Drift(
        "systemd forgets a GPU",
        "kitt",
        "sudo find /dev/char -lname '*nvidia0' -delete",
        "07_nvidia_integration",
    ),
    Drift(
        "a dashboard is deleted", "bonnie", "sudo kubectl -n prometheus delete cm pic4ser-gpus", "09_nvidia_exporter"
    ),
    Drift(
        "jobs are accepted by nobody",
        "bonnie",
        "sudo kubectl -n kubeflow delete deployment training-operator",
        "10_training_operator",
    ),
)


def nbval(notebook: str, mode: str) -> subprocess.CompletedProcess[str]:
    """The committed notebook against the cluster as it is now."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--nbval"]
    return subprocess.run(
        [*command, f"notebooks/{notebook}.ipynb"],
        cwd=ROOT,
        env={**os.environ, "PIC4SER_MODE": mode},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(params=DRIFTS, ids=lambda drift: drift.what.replace(" ", "_"))
def drift(request: pytest.FixtureRequest, lab: Status) -> Iterator[Drift]:
    """A converged cluster that is changed; afterwards the notebook itself puts it right again."""
    asked: Drift = request.param
    before = nbval(asked.notebook, "verify")
    assert before.returncode == 0, before.stdout[-3000:]
    on(asked.node, asked.command)
    yield asked
    mended = nbval(asked.notebook, "apply")
    assert mended.returncode == 0, f"{asked.notebook} did not mend it:\n{mended.stdout[-3000:]}"


def test_nbval_notices_what_was_changed_behind_the_notebooks_back(drift: Drift) -> None:
    seen = nbval(drift.notebook, "verify")
    assert seen.returncode == 1, f"{drift.what}: nothing was noticed"
    assert "mode apply" in seen.stdout, seen.stdout[-3000:]
