"""Which sites may share a lab: each node is one that runs already, or in nobody's place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.nodes import VIRTUAL, NodeSpec
from pic4ser_lib.lab.rehearsal import joined
from pic4ser_lib.lab.state import Running

BONNIE, KITT = NodeSpec("bonnie", "10.83.17.11", gpus=2), NodeSpec("kitt", "10.83.17.12", gpus=1)
HAL = NodeSpec("hal", "10.83.17.20")
LAB = Running(("/lab",), "noon", (BONNIE, KITT))


@pytest.mark.parametrize(
    ("running", "asked", "every"),
    [
        (None, (BONNIE, KITT), (BONNIE, KITT)),
        (LAB, (BONNIE, KITT), (BONNIE, KITT)),
        (LAB, (HAL,), (BONNIE, KITT, HAL)),
        (LAB, (HAL, KITT), (BONNIE, KITT, HAL)),
        (LAB, (KITT,), (BONNIE, KITT)),
    ],
    ids=["none runs", "the same", "others", "one of them another", "fewer"],
)
def test_a_site_joins_the_lab_that_runs(
    running: Running | None, asked: tuple[NodeSpec, ...], every: tuple[NodeSpec, ...]
) -> None:
    assert joined(running, asked) == every


@pytest.mark.parametrize(
    "other",
    [replace(HAL, address=KITT.address), replace(HAL, name="kitt"), replace(KITT, gpus=4), replace(KITT, kind=VIRTUAL)],
    ids=["its address", "its name", "other GPUs", "another kind"],
)
def test_nobody_takes_the_place_of_a_node_that_runs(other: NodeSpec) -> None:
    with pytest.raises(LabError, match=r"\(bonnie, kitt\) since noon; .+ would be in the place of kitt") as raised:
        joined(LAB, (BONNIE, other))
    assert "pic4ser lab down" in str(raised.value)
