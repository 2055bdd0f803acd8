"""What the proofs of notebooks 03 and 04 create: harmless pods, valid scripts, and lines that can be missed."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from pic4ser_lib.operations import flannel, storage, taints
from pic4ser_lib.steps import Proof


def a_site(*workers: str, pods_on_control_planes: bool = True) -> Any:
    control_planes = (SimpleNamespace(name="bonnie"), SimpleNamespace(name="kitt.lab.internal"))
    others = tuple(SimpleNamespace(name=name) for name in workers)
    return SimpleNamespace(
        nodes=(*control_planes, *others), control_planes=control_planes, workers=others,
        sources=SimpleNamespace(images={"proof": "busybox:1"}), pods_on_control_planes=pods_on_control_planes,
    )  # fmt: skip


PROOFS = {
    "network": flannel.network_proof(a_site("rover")),
    "scheduled": taints.scheduling_proof(a_site("rover")),
    "claim": storage.claim_proof(a_site("rover")),
    "turned away": taints.scheduling_proof(a_site("rover", pods_on_control_planes=False)),
}


def pods_of(proof: Proof) -> list[dict[str, Any]]:
    return [obj for obj in (*proof.objects, *proof.pods) if obj["kind"] == "Pod"]


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_a_proof_expects_a_line_of_each_of_its_pods(proof: Proof) -> None:
    assert set(proof.expects) == {pod["metadata"]["name"] for pod in proof.pods}


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_a_pod_of_a_proof_runs_as_nobody_and_touches_nothing_of_its_node(proof: Proof) -> None:
    for pod in pods_of(proof):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert all("hostPath" not in volume for volume in spec.get("volumes", []))
        assert not spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_the_script_of_a_pod_is_valid(proof: Proof) -> None:
    for pod in pods_of(proof):
        script = pod["spec"]["containers"][0]["command"][-1]
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_every_node_asks_every_node() -> None:
    proof = PROOFS["network"]
    for pod in proof.pods:
        script = pod["spec"]["containers"][0]["command"][-1]
        assert [line.split()[1] for line in script.splitlines() if " server " in line] == [
            "bonnie", "kitt.lab.internal", "rover",
        ]  # fmt: skip
        assert proof.expects[pod["metadata"]["name"]] == "all 5 reached"


def test_a_name_with_dots_becomes_a_name_for_a_pod() -> None:
    assert "client-kitt-lab-internal" in PROOFS["network"].expects


def test_a_scheduled_pod_tolerates_nothing_and_goes_to_one_control_plane() -> None:
    proof = PROOFS["scheduled"]
    assert proof.expects == {"scheduled-bonnie": "on bonnie", "scheduled-kitt-lab-internal": "on kitt.lab.internal"}
    assert all("tolerations" not in pod["spec"] and "nodeName" not in pod["spec"] for pod in proof.pods)


def test_without_workers_nobody_can_be_turned_away_to() -> None:
    assert taints.scheduling_proof(a_site(pods_on_control_planes=False)).pods == ()


def test_what_one_node_wrote_every_other_node_has_to_read() -> None:
    proof = PROOFS["claim"]
    assert proof.expects == {
        "reader-kitt-lab-internal": "written on bonnie", "reader-rover": "written on bonnie",
    }  # fmt: skip
    assert [obj["kind"] for obj in proof.objects] == ["PersistentVolumeClaim", "Pod"]
    assert "storageClassName" not in proof.objects[0]["spec"]
    assert all("nodeName" not in pod["spec"] for pod in pods_of(proof))


def test_a_site_of_one_node_reads_its_own_claim() -> None:
    site = a_site()
    site.nodes = site.nodes[:1]
    assert list(storage.claim_proof(site).expects) == ["reader-bonnie"]
