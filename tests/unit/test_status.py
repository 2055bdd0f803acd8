"""What `pic4ser status` makes of the API's nodes."""

from __future__ import annotations

from typing import Any

import pytest

from pic4ser_lib.cli.status import NodeState, in_one_line, states


def node(name: str, ready: str, *, control_plane: bool = False, gpus: str = "") -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/control-plane": ""} if control_plane else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"kubeletVersion": "v1.36.3"},
            "allocatable": {"cpu": "2"} | ({"nvidia.com/gpu": gpus} if gpus else {}),
        },
    }


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        ([node("a", "True", control_plane=True, gpus="2")], NodeState("a", "Ready", "control-plane", "v1.36.3", 2)),
        ([node("a", "Unknown")], NodeState("a", "NotReady", "worker", "v1.36.3")),
        ([], NodeState("a", "not in the cluster")),
    ],
)
def test_a_node_is_as_the_api_shows_it(found: list[dict[str, Any]], seen: NodeState) -> None:
    assert states(["a"], found) == (seen,)


def test_nodes_stand_in_the_site_s_order_and_strangers_after_them() -> None:
    shown = states(["b", "a"], [node("a", "True"), node("x", "True"), node("b", "False")])
    assert [state.name for state in shown] == ["b", "a", "x"]
    assert in_one_line(shown) == "b NotReady, a Ready, x Ready (v1.36.3)"
