"""What cannot be said as a case: the GPU proof's pods, the script of the links, the dashboard that Grafana reads."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pic4ser_lib.operations import monitoring, nvidia
from pic4ser_lib.operations.monitoring import dashboard
from pic4ser_lib.operations.nvidia import links

NODES = [("bonnie", 2), ("kitt.lab", 1), ("worker", 0)]
SITE: Any = SimpleNamespace(
    nodes=tuple(SimpleNamespace(name=name, gpus=gpus) for name, gpus in NODES),
    sources=SimpleNamespace(images={"vector-add": "sample:1"}),
)  # fmt: skip
BOARD: dict[str, Any] = json.loads(dashboard.gpu_dashboard_json())


def test_one_pod_computes_on_each_node_with_gpus() -> None:
    proof = nvidia.vector_add_proof(SITE)
    assert proof.expects == {"vector-add-bonnie": "Test PASSED", "vector-add-kitt-lab": "Test PASSED"}
    assert [pod["metadata"]["name"] for pod in proof.pods] == list(proof.expects)


def test_the_pod_is_the_documents_and_is_placed_by_the_scheduler() -> None:
    (spec, _) = (pod["spec"] for pod in nvidia.vector_add_proof(SITE).pods)
    assert spec["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert spec["restartPolicy"] == "Never"
    assert "nodeName" not in spec, "a pod that skips the scheduler fails where all GPUs are taken, instead of waiting"


def watched(device: Path, *, turns: int = 1) -> str:
    """What the canary says of one device."""
    script = nvidia.canary_pod("bonnie", "sample:1", turns=turns)["spec"]["containers"][0]["command"][-1]
    script = script.replace("/dev/nvidia[0-9]*", str(device))
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_the_canary_says_how_many_devices_it_holds() -> None:
    assert watched(Path("/dev/null"), turns=2).splitlines() == ["1 holds 1", "2 holds 1"]


def test_the_canary_says_when_there_is_no_device(tmp_path: Path) -> None:
    assert watched(tmp_path / "none").splitlines() == ["1 LOST: no device"]


def test_a_canary_without_gpus_asks_for_none() -> None:
    assert "resources" not in nvidia.canary_pod("bonnie", "sample:1", gpus=0)["spec"]["containers"][0]


def test_the_script_of_the_links_is_valid_and_its_unit_runs_it_before_the_kubelet() -> None:
    script, unit = links.CONTENTS.values()
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert f"ExecStart=/bin/sh {links.SCRIPT}\n" in unit
    assert "Before=kubelet.service\n" in unit


# ------------------------------------------------------------------------------------------------ dashboard


def test_the_dashboard_is_the_same_bytes_each_time() -> None:
    first = dashboard.gpu_dashboard_json()
    time.tzset()
    assert dashboard.gpu_dashboard_json() == first
    assert len(first) < 100_000


def test_the_dashboard_shows_what_12239_shows() -> None:
    shown = {name for panel in BOARD["panels"] for name in re.findall(r"DCGM_FI_\w+", panel["targets"][0]["expr"])}
    assert shown >= {
        "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_USED", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    }  # fmt: skip


def test_no_panel_is_of_a_kind_that_grafana_has_removed() -> None:
    assert {panel["type"] for panel in BOARD["panels"]} == {"timeseries", "stat"}


def test_each_graph_names_node_and_gpu() -> None:
    graphs = [panel for panel in BOARD["panels"] if panel["type"] == "timeseries"]
    assert {panel["targets"][0]["legendFormat"] for panel in graphs} == {"{{node}} GPU {{gpu}}"}


def test_panels_do_not_overlap_and_each_has_its_number() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & taken
        assert max(x for x, _ in own) < 24
        taken |= own
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


@pytest.mark.parametrize("expression", [p["targets"][0]["expr"] for p in BOARD["panels"]])
def test_an_expression_is_balanced_and_asks_for_the_chosen_gpus(expression: str) -> None:
    assert expression.count("(") == expression.count(")")
    assert 'node=~"$node", gpu=~"$gpu"' in expression


# --------------------------------------------------------------------------------------------------- values


def test_the_stack_keeps_prometheus_data_only_where_the_site_names_a_size() -> None:
    from pic4ser_lib.operations.monitoring import stack

    def spec(size: str) -> dict[str, Any]:
        kept = SimpleNamespace(retention="10d", prometheus_storage=size)
        found: dict[str, Any] = stack.values(SimpleNamespace(monitoring=kept, slowness=1))  # type: ignore[arg-type]
        return dict(found["prometheus"]["prometheusSpec"])

    assert spec("") == {"retention": "10d"}
    claim = spec("50Gi")["storageSpec"]["volumeClaimTemplate"]["spec"]
    assert claim == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}


@pytest.mark.parametrize(("gpus", "limits"), [(2, {"cpu": "500m"}), (8, {"cpu": "500m", "memory": "1Gi"})])
def test_the_exporter_gets_more_memory_where_gpus_are_many(gpus: int, limits: dict[str, str]) -> None:
    from pic4ser_lib.operations.monitoring import exporter

    made = exporter.values(SimpleNamespace(nodes=[SimpleNamespace(gpus=gpus)]))  # type: ignore[arg-type]
    assert made["resources"] == {"limits": limits}
    assert made["serviceMonitor"]["interval"] == made["serviceMonitor"]["scrapeTimeout"] == "1s"


def test_grafana_comes_to_a_local_port_and_is_asked_whether_it_is_well() -> None:
    forward = monitoring.grafana_page(SITE)
    assert (forward.namespace, forward.service, forward.port) == ("prometheus", "prometheus-grafana", 80)
    assert forward.check == "/api/health"
