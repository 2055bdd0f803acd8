"""Simulated GPUs: as many as the site says, the same in every lab, and a tool that tells what is there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from pic4ser_lib.lab import gpus
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.lab.pins import FILES

BONNIE = NodeSpec("bonnie", "10.83.17.11", gpus=2)
KITT = NodeSpec("kitt", "10.83.17.12", gpus=1)


def _names(node: NodeSpec) -> dict[str, str]:
    files = {file.path: file.content for file in gpus.files(node)}
    return {path: content if isinstance(content, str) else content.decode() for path, content in files.items()}


def test_a_node_without_gpus_gets_nothing_of_a_driver() -> None:
    assert gpus.files(NodeSpec("rover", "10.83.17.13")) == ()


def test_no_two_gpus_of_a_lab_share_a_uuid_and_they_are_the_same_next_time() -> None:
    ids = [gpu.uuid for node in (BONNIE, KITT) for gpu in gpus.of(node)]
    assert len(set(ids)) == 3
    assert ids[:2] == [gpu.uuid for gpu in gpus.of(BONNIE)]


def test_a_runtime_finds_each_gpu_by_index_and_uuid_and_all_together() -> None:
    spec = json.loads(_names(BONNIE)[gpus.CDI])
    found = {device["name"]: [n["path"] for n in device["containerEdits"]["deviceNodes"]] for device in spec["devices"]}
    first, second = gpus.of(BONNIE)
    assert found == {
        "0": ["/dev/nvidia0"],
        first.uuid: ["/dev/nvidia0"],
        "1": ["/dev/nvidia1"],
        second.uuid: ["/dev/nvidia1"],
        "all": ["/dev/nvidia0", "/dev/nvidia1"],
    }


def test_every_service_file_of_the_gpus_is_switched_on_by_a_link_to_a_file_that_is_there() -> None:
    files = gpus.files(BONNIE)
    paths = {file.path for file in files}
    assert [file.target for file in files if file.target] == ["/etc/systemd/system/pic4ser-gpus.service"]
    assert {file.target for file in files if file.target} <= paths


def _smi(folder: Path, *words: str, devices: int = 2) -> subprocess.CompletedProcess[str]:
    # The node's own script, with its list and its devices (files here: a test makes no devices) in a folder of ours.
    for name in ("nvidiactl", *(f"nvidia{n}" for n in range(devices))):
        (folder / name).touch()
    (folder / "gpus.csv").write_text(_names(BONNIE)[gpus.LIST])
    script = (FILES / "node-gpu" / "nvidia-smi.sh").read_text().replace(gpus.LIST, str(folder / "gpus.csv"))
    script = script.replace("-c ", "-e ").replace("/dev/nvidia", f"{folder}/nvidia")
    return subprocess.run(["sh", "-c", script, "nvidia-smi", *words], capture_output=True, text=True, timeout=10)


def test_the_tool_lists_what_it_sees(tmp_path: Path) -> None:
    first, second = gpus.of(BONNIE)
    assert _smi(tmp_path, "-L").stdout.splitlines() == [
        f"GPU 0: NVIDIA Simulated GPU (UUID: {first.uuid})",
        f"GPU 1: NVIDIA Simulated GPU (UUID: {second.uuid})",
    ]


def test_only_gpus_whose_devices_are_there_are_told(tmp_path: Path) -> None:
    assert len(_smi(tmp_path, "-L", devices=1).stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("csv,noheader", ["0, NVIDIA Simulated GPU, 580.00, 8192 MiB", "1, NVIDIA Simulated GPU, 580.00, 8192 MiB"]),
        ("csv,noheader,nounits", ["0, NVIDIA Simulated GPU, 580.00, 8192", "1, NVIDIA Simulated GPU, 580.00, 8192"]),
    ],
)
def test_the_tool_answers_queries_as_the_driver_does(tmp_path: Path, form: str, told: list[str]) -> None:
    asked = _smi(tmp_path, "--query-gpu=index,name,driver_version,memory.total", f"--format={form}")
    assert asked.stdout.splitlines() == told


def test_a_field_that_no_driver_knows_is_refused(tmp_path: Path) -> None:
    asked = _smi(tmp_path, "--query-gpu=name,colour", "--format=csv,noheader")
    assert asked.returncode == 2
    assert re.search('Field "colour" is not a valid field', asked.stdout)


def test_without_a_driver_the_tool_says_so(tmp_path: Path) -> None:
    script = (FILES / "node-gpu" / "nvidia-smi.sh").read_text().replace("/dev/nvidia", f"{tmp_path}/nvidia")
    asked = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10)
    assert asked.returncode == 9
    assert "couldn't communicate with the NVIDIA driver" in asked.stdout
