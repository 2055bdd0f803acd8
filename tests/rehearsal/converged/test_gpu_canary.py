"""A running pod keeps its GPU through everything that a second run, systemd and containerd do on its node.

The lab's GPU is a character device that a container may open only because its device cgroup says so. The first test
shows that this canary can die: a device handed over behind systemd's back is lost with the next daemon-reload. Without
it the others would prove nothing. They need notebooks 00 to 07 to have run, and say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_outside import on

from pic4ser_lib.operations import nvidia

ROOT = Path(__file__).parents[3]
NAMESPACE, NODE = "pic4ser-canary", "kitt"
KUBECTL = "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf"
GPU = "/dev/nvidia0"
FRESH_LINES = 5


def kubectl(words: str, *, stdin: str = "") -> str:
    """What kubectl says on the first control plane."""
    given = f"cat <<'END' | {KUBECTL} {words}\n{stdin}\nEND" if stdin else f"{KUBECTL} {words}"
    return on("bonnie", given, timeout=180.0)


@pytest.fixture(scope="module", autouse=True)
def _gpus_are_there(may_boot: None) -> None:
    """Notebook 07 has run: the node offers a GPU."""
    found = kubectl(f"get node {NODE} -o jsonpath='{{.status.allocatable.nvidia\\.com/gpu}}'").strip()
    if not found.isdigit() or int(found) < 1:
        pytest.fail("Run notebooks 00 to 07 on the lab first: pic4ser run parameters/lab", pytrace=False)


@pytest.fixture
def canary() -> Iterator[Callable[..., str]]:
    """Starts a canary on the node, and returns its pod's name; the namespace is removed afterwards."""
    kubectl(f"create namespace {NAMESPACE}")

    def started(*, gpus: int) -> str:
        pod = nvidia.canary_pod(NODE, "docker.io/library/busybox:1.37.0", gpus=gpus)
        name: str = pod["metadata"]["name"]
        kubectl(f"-n {NAMESPACE} apply -f -", stdin=json.dumps(pod))
        kubectl(f"-n {NAMESPACE} wait --for=condition=Ready pod/{name} --timeout=90s")
        return name

    yield started
    kubectl(f"delete namespace {NAMESPACE} --wait=true --timeout=120s")


def lines(pod: str) -> list[str]:
    return kubectl(f"-n {NAMESPACE} logs {pod}").splitlines()


def from_now_on(pod: str) -> list[str]:
    """The next lines that the canary writes: what it could open after whatever was done to its node."""
    known = len(lines(pod))
    deadline = time.monotonic() + 30.0
    while len(now := lines(pod)[known:]) < FRESH_LINES:
        assert time.monotonic() < deadline, f"the canary is silent since {known} lines"
        time.sleep(0.5)
    return now


def held(seen: list[str]) -> bool:
    return all(" holds " in line for line in seen)


def restarts(pod: str) -> str:
    """A container that was started anew holds its device for a reason that is not ours."""
    return kubectl(f"-n {NAMESPACE} get pod {pod} -o jsonpath='{{.status.containerStatuses[0].restartCount}}'").strip()


def container(pod: str) -> str:
    path = "'{.status.containerStatuses[0].containerID}'"
    return kubectl(f"-n {NAMESPACE} get pod {pod} -o jsonpath={path}").strip().removeprefix("containerd://")


def hand_over(pod: str) -> None:
    """Gives a running container the device behind systemd's back: a node in its /dev, a line in its device cgroup."""
    script = f"""
set -e
task=$(sudo ctr -n k8s.io tasks ls | awk '$1 == "{container(pod)}" {{print $2}}')
[ -n "$task" ]
numbers=$(stat -c '%t %T' {GPU}); set -- $numbers
major=$((0x$1)); minor=$((0x$2))
sudo nsenter -t "$task" -m mknod {GPU} c $major $minor
sudo nsenter -t "$task" -m chmod 666 {GPU}
group=$(find /sys/fs/cgroup/devices -type d -name "cri-containerd-{container(pod)}.scope" | head -n 1)
[ -n "$group" ]
echo "c $major:$minor rw" | sudo tee "$group/devices.allow" >/dev/null
"""
    on(NODE, script)


def daemon_reload() -> None:
    on(NODE, "sudo systemctl daemon-reload")


def containerd_restart() -> None:
    on(NODE, "sudo systemctl restart containerd")
    kubectl(f"wait --for=condition=Ready node/{NODE} --timeout=120s")


def second_run() -> None:
    """The runbook's notebook 07 once more, as an operator would, with its exit code as the verdict."""
    command = [sys.executable, "-c", "from pic4ser_lib.cli import main; main()"]
    ran = subprocess.run(
        [*command, "run", "parameters/lab", "--only", "07", "--yes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


def test_a_device_handed_over_behind_systemds_back_is_lost(canary: Callable[..., str]) -> None:
    if "devices" not in on(NODE, "ls /sys/fs/cgroup").split():
        pytest.skip("this host has cgroup version 2: there a permission is a program, and cannot be added by a line")
    pod = canary(gpus=0)
    assert not held(from_now_on(pod)), "without a GPU there is nothing to open"
    hand_over(pod)
    assert held(from_now_on(pod)), "the device was handed over and cannot be opened: this test shows nothing"
    daemon_reload()
    assert not held(from_now_on(pod)[1:])


@pytest.mark.parametrize("disturbed", [daemon_reload, containerd_restart, second_run], ids=lambda f: f.__name__)
def test_a_running_pod_keeps_its_gpu(canary: Callable[..., str], disturbed: Callable[[], None]) -> None:
    pod = canary(gpus=1)
    assert held(from_now_on(pod))
    disturbed()
    assert held(from_now_on(pod))
    daemon_reload()
    assert held(from_now_on(pod))
    assert restarts(pod) == "0"


def test_a_pod_without_a_gpu_opens_none(canary: Callable[..., str]) -> None:
    assert not held(from_now_on(canary(gpus=0)))
