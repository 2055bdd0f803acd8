"""nbval in mode verify against a cluster that was changed behind the notebooks' back: each change must be noticed.

The changes are made from outside the library, by ssh and kubectl on the nodes, all of them at once; then each notebook
has to notice its own. In the end the notebooks themselves put everything right again, in their order. That nbval finds
nothing while nothing is changed, `make test` has seen just before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_outside import on

ROOT = Path(__file__).parents[3]
KUBECTL = "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf"
AT_ONCE = 3


@dataclass(frozen=True)
class Drift:
    """A change that nobody planned, and the notebook and its step that no longer hold.

    `put_right` is a command that prints "true" once the notebook has done more than its own step would show.
    """

    what: str
    node: str
    command: str
    notebook: str
    step: str
    put_right: str = ""


RULES, KEPT = "crd nodefeaturerules.nfd.k8s-sigs.io", "x-kubernetes-preserve-unknown-fields"
FORGET = f'[{{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/{KEPT}"}}]'
UPGRADE = (
    "sudo env HOME=/root KUBECONFIG=/etc/kubernetes/admin.conf helm upgrade nvdp nvidia-device-plugin --version 0.20.0 "
    "--repo http://10.83.17.2/charts/k8s-device-plugin/ -n nvidia-device-plugin --reuse-values"
)

DRIFTS = (
    # Not ip_forward: without it, pods on that node cannot be reached, and one of them may be Prometheus.
    Drift(
        "a sysctl is switched off",
        "rover",
        "sudo sysctl -q -w net.bridge.bridge-nf-call-ip6tables=0",
        "01_setup_nodes",
        "kernel.sysctl_set",
    ),
    Drift("a hold is taken away", "kitt", "sudo apt-mark unhold kubelet", "01_setup_nodes", "packages.held"),
    Drift(
        "kubectl forgets the cluster",
        "bonnie",
        "sudo rm /root/.kube/config",
        "02_install_kubernetes",
        "kubeadm.kubeconfig_for_root",
    ),
    Drift(
        "flannel is deleted",
        "bonnie",
        f"{KUBECTL} -n kube-flannel delete ds kube-flannel-ds",
        "03_network_plugin",
        "flannel.applied",
    ),
    Drift(
        "a taint is put back",
        "bonnie",
        f"{KUBECTL} taint node kitt node-role.kubernetes.io/control-plane:NoSchedule",
        "04_taint_master_nodes",
        "taints.as_wanted",
    ),
    Drift(
        "the storage class is deleted",
        "bonnie",
        f"{KUBECTL} delete storageclass nfs-client",
        "06_default_storage",
        "charts.released(nfs-subdir-external-provisioner)",
    ),
    Drift(
        "systemd forgets a GPU",
        "kitt",
        "sudo find /dev/char -lname '*nvidia0' -delete",
        "07_nvidia_integration",
        "nvidia.devices_linked",
    ),
    Drift(
        "a release has other values, and one of its definitions is an old one",
        "bonnie",
        f"{UPGRADE} --set mps.enableHostPID=true && {KUBECTL} patch {RULES} --type json -p '{FORGET}'",
        "07_nvidia_integration",
        "charts.released(nvdp)",
        f"{KUBECTL} get {RULES} -o jsonpath='{{..{KEPT}}}'",
    ),
    Drift(
        "a kind of the monitoring stack is deleted, with its objects",
        "bonnie",
        f"{KUBECTL} delete crd prometheusrules.monitoring.coreos.com",
        "08_prometheus_and_grafana",
        "charts.released(prometheus)",
        f"{KUBECTL} -n prometheus get prometheusrules -o name | grep -q . && echo true",
    ),
    Drift(
        "a dashboard is deleted",
        "bonnie",
        f"{KUBECTL} -n prometheus delete cm pic4ser-gpus",
        "09_nvidia_exporter",
        "monitoring.gpu_dashboard",
    ),
    Drift(
        "jobs are accepted by nobody",
        "bonnie",
        f"{KUBECTL} -n kubeflow delete deployment training-operator",
        "10_training_operator",
        "training_operator.applied",
    ),
)


@dataclass(frozen=True)
class Checked:
    """How nbval ended, and what it said."""

    code: int
    said: str


def nbval(notebooks: Sequence[str], mode: str) -> Checked:
    """The committed notebooks against the cluster as it is now."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    done = subprocess.run(
        [*command, *(f"notebooks/{name}.ipynb" for name in notebooks)],
        cwd=ROOT,
        env={**os.environ, "PIC4SER_MODE": mode},
        capture_output=True,
        text=True,
        timeout=900,
    )
    return Checked(done.returncode, done.stdout)


def by_notebook(mode: str) -> dict[str, Checked]:
    """Each notebook of which something has changed, some side by side."""
    names = sorted({drift.notebook for drift in DRIFTS})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: nbval([name], mode), names), strict=True))


@pytest.fixture(scope="module")
def noticed(may_boot: None) -> Iterator[dict[str, Checked]]:
    """What nbval says of each notebook once all the changes are made; in the end the cluster is right again."""
    for drift in DRIFTS:
        on(drift.node, drift.command)
    yield by_notebook("verify")
    mended = nbval(sorted({drift.notebook for drift in DRIFTS}), "apply")
    assert mended.code == 0, f"the notebooks did not mend it:\n{mended.said[-3000:]}"
    for drift in DRIFTS:
        if drift.put_right:
            assert on(drift.node, drift.put_right).strip() == "true", f"not put right: {drift.what}"


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.what.replace(" ", "_"))
def test_nbval_notices_what_was_changed_behind_the_notebooks_back(noticed: dict[str, Checked], drift: Drift) -> None:
    seen = noticed[drift.notebook]
    assert seen.code == 1, f"{drift.what}: nothing was noticed"
    assert drift.step in seen.said, f"{drift.what}: not what was noticed:\n{seen.said[-3000:]}"
    assert "mode apply" in seen.said
