"""What goes wrong with charts, claims, GPUs and monitors on the converged cluster, and what is said about it.

Every test breaks one thing from outside the library, or asks for one that cannot be; each says what is in the way
within a deadline, and leaves the cluster as it was.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from lab_outside import on

from pic4ser_lib import bind, charts, monitoring, nvidia, storage
from pic4ser_lib.binding import Nodes
from pic4ser_lib.cluster import Cluster
from pic4ser_lib.errors import GroupFailed, PicError
from pic4ser_lib.site import Site
from pic4ser_lib.steps import Proof, Step

RELEASE = "failing"
KUBECTL = "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf"
HELM = "sudo KUBECONFIG=/etc/kubernetes/admin.conf /usr/local/bin/helm"
SOON = 8.0  # what the tests wait for something that will not come
# A chart of two dozen objects with nothing that is the cluster's: no monitor, and pods wherever nobody cares.
QUIET = {"serviceMonitor": {"enabled": False}, "tolerations": [], "nodeSelector": {"kubernetes.io/hostname": "rover"}}


def kubectl(words: str) -> str:
    """What kubectl says on the first control plane."""
    return on("bonnie", f"{KUBECTL} {words}", timeout=180.0)


@pytest.fixture
def nodes(may_boot: None, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The converged site, to be changed."""
    monkeypatch.setenv("PIC4SER_MODE", "apply")
    return bind("parameters/lab")


@pytest.fixture
def site(nodes: Nodes) -> Site:
    return nodes.site


@pytest.fixture(scope="module")
def namespaces() -> Iterator[list[str]]:
    """Those that tests have made: they go while the next test is under way, and are gone in the end."""
    made: list[str] = []
    yield made
    if made:
        kubectl(f"delete namespace {' '.join(made)} --ignore-not-found --wait=true --timeout=120s")


@pytest.fixture
def namespace(namespaces: list[str]) -> Iterator[str]:
    """A namespace for one test."""
    name = f"pic4ser-failures-{len(namespaces)}"
    namespaces.append(name)
    yield name
    kubectl(f"delete namespace {name} --ignore-not-found --wait=false")


def told(nodes: Nodes, step: Step) -> str:
    """The sentence with which a step ends that cannot come to its end."""
    with pytest.raises(PicError) as raised:
        nodes.cluster.run(step)
    return str(raised.value)


def release(site: Site, namespace: str, **values: object) -> charts.Released:
    """A release of its own, beside the site's."""
    made = charts.released(site, "dcgm-exporter", namespace=namespace, release=RELEASE, values=QUIET | values)
    return replace(made, settles_within=SOON)


# ----------------------------------------------------------------------------------------------- charts


def test_a_repository_that_is_down_is_named(nodes: Nodes, site: Site, namespace: str) -> None:
    away = replace(release(site, namespace), repository="http://10.83.17.2:9/charts")
    said = told(nodes, away)
    assert "10.83.17.2:9" in said
    assert "Is http://10.83.17.2:9/charts up" in said


def test_a_version_that_does_not_exist_is_refused(nodes: Nodes, site: Site, namespace: str) -> None:
    said = told(nodes, replace(release(site, namespace), version="99.9.9"))
    assert "99.9.9" in said
    assert "helm search repo" in said


def test_a_value_that_the_chart_does_not_know_is_refused_with_the_nearest(
    nodes: Nodes, site: Site, namespace: str
) -> None:
    said = told(nodes, release(site, namespace, serviceMonitr={"enabled": True}))
    assert "serviceMonitr (did you mean serviceMonitor?)" in said
    assert kubectl(f"get namespace {namespace} --ignore-not-found") == "", "something was installed before the refusal"


def test_an_image_that_cannot_be_pulled_is_named(nodes: Nodes, site: Site, namespace: str) -> None:
    said = told(nodes, release(site, namespace, image={"tag": "no-such-tag"}))
    assert "no-such-tag" in said


def test_a_release_that_was_interrupted_is_taken_up_again(nodes: Nodes, site: Site, namespace: str) -> None:
    step = release(site, namespace)
    values = json.dumps({**QUIET, "image": {"tag": "no-such-tag"}})
    words = f"install {RELEASE} {step.chart} --repo {step.repository} --version {step.version} -n {namespace}"
    script = f"echo '{values}' | {HELM} {words} --create-namespace --wait --timeout 10m --values -"
    with subprocess.Popen(["podman", "exec", "pic4ser-bonnie", "bash", "-c", script], stdout=subprocess.DEVNULL):
        try:
            until(lambda: status(namespace) == "pending-install", "helm to be in the middle of it")
        finally:
            on("bonnie", "sudo pkill -KILL -x helm || true")
    assert status(namespace) == "pending-install"
    nodes.cluster.run(replace(step, settles_within=120.0))
    assert status(namespace) == "deployed"


def status(namespace: str) -> str:
    said = on("bonnie", f"{HELM} status {RELEASE} -n {namespace} -o json 2>/dev/null || true")
    return str(json.loads(said)["info"]["status"]) if said else "no release"


def until(true: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)


# ---------------------------------------------------------------------------------------------- storage


def test_an_export_that_is_not_there_is_told_for_every_node(nodes: Nodes, site: Site) -> None:
    wrong = site.model_copy(update={"storage": site.storage.model_copy(update={"path": "/export/nothing"})})
    with pytest.raises(GroupFailed) as raised:
        nodes.run(partial(storage.export_reachable, wrong))
    said = str(raised.value)
    assert all(node.name in said for node in site.nodes)
    assert "exportfs -ra" in said


@pytest.fixture
def without_provisioner() -> Iterator[None]:
    deployment = "deployment/nfs-subdir-external-provisioner"
    kubectl(f"scale {deployment} --replicas=0")
    yield
    kubectl(f"scale {deployment} --replicas=1")
    kubectl(f"rollout status {deployment} --timeout=120s")


def test_a_claim_that_stays_pending_is_named_with_its_reason(
    nodes: Nodes, site: Site, without_provisioner: None
) -> None:
    said = unproved(nodes, replace(storage.claim_proof(site), within=SOON))
    assert "claim" in said
    assert "nfs-client" in said or "provision" in said


def unproved(nodes: Nodes, proof: Proof) -> str:
    with pytest.raises(PicError) as raised:
        Cluster(nodes.bound.ways.kubeconfig).prove(proof, tell=lambda line: None)
    assert kubectl("get namespace pic4ser-proof --ignore-not-found") == "", "the proof left something behind"
    return str(raised.value)


# ------------------------------------------------------------------------------------------------- GPUs


@pytest.fixture
def all_gpus_taken(nodes: Nodes, site: Site, namespace: str) -> str:
    """Every GPU of a node is held by one pod."""
    node = next(node for node in site.nodes if node.gpus)
    pod = nvidia.canary_pod(node.name, site.sources.images["proof"], gpus=node.gpus)
    kubectl(f"create namespace {namespace}")
    on("bonnie", f"cat <<'END' | {KUBECTL} -n {namespace} apply -f -\n{json.dumps(pod)}\nEND")
    kubectl(f"-n {namespace} wait --for=condition=Ready pod/{pod['metadata']['name']} --timeout=90s")
    return node.name


def test_a_pod_that_waits_for_a_gpu_is_told(nodes: Nodes, site: Site, all_gpus_taken: str) -> None:
    said = unproved(nodes, replace(nvidia.vector_add_proof(site), within=SOON))
    assert f"vector-add-{all_gpus_taken}" in said
    assert "Insufficient nvidia.com/gpu" in said


@pytest.fixture
def without_plugin(nodes: Nodes, site: Site) -> Iterator[None]:
    """No node is good enough for the device plugin any more: it goes, and the kubelets count no GPU in the end."""

    def only_on(selector: str) -> None:
        body = f'{{"spec": {{"template": {{"spec": {{"nodeSelector": {selector}}}}}}}}}'
        kubectl(f"-n nvidia-device-plugin patch daemonset nvdp-nvidia-device-plugin --type=merge -p '{body}'")

    only_on('{"pic4ser": "nowhere"}')
    path = "'{.items[*].status.allocatable.nvidia\\.com/gpu}'"
    until(lambda: set(kubectl(f"get nodes -o jsonpath={path}").split()) == {"0"}, "the kubelets to count no GPU")
    yield
    only_on("null")
    nodes.cluster.run(nvidia.allocatable(site))


def test_nodes_that_offer_no_gpu_are_told_with_the_cause(nodes: Nodes, site: Site, without_plugin: None) -> None:
    said = told(nodes, replace(nvidia.allocatable(site), settles_within=SOON))
    assert all(f"{node.name}: 0 of {node.gpus} (no pod of the plugin is there yet" in said for node in site.nodes)


# ------------------------------------------------------------------------------------------- monitoring


@pytest.fixture
def rejected_monitor(nodes: Nodes, site: Site) -> Iterator[None]:
    """The exporter's monitor as the chart alone would have made it: a time-out longer than the interval."""
    patch = f"-n nvidia-exporter patch servicemonitor {monitoring.exporter_released(site).release} --type=json -p"
    change = '[{{"op": "replace", "path": "/spec/endpoints/0/scrapeTimeout", "value": "{}"}}]'
    kubectl(f"{patch} '{change.format('10s')}'")
    # What Prometheus scrapes is as before, so until the operator has looked nobody can know.
    until(lambda: "greater than scrapeInterval" in kubectl("-n nvidia-exporter get events"), "the operator to look")
    yield
    kubectl(f"{patch} '{change.format('1s')}'")
    nodes.cluster.run(monitoring.monitor_accepted(site), monitoring.gpus_sampled(site))


def test_a_monitor_that_the_operator_rejects_is_told(nodes: Nodes, site: Site, rejected_monitor: None) -> None:
    said = told(nodes, replace(monitoring.monitor_accepted(site), settles_within=SOON))
    assert 'scrapeTimeout "10s" greater than scrapeInterval "1s"' in said
