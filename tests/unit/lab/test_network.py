"""The lab's network: clashes with the host's routes, and who is to blame when nodes do not reach each other."""

from __future__ import annotations

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab.network import Route, blame, clashes, forward_policy, prove
from pic4ser_lib.lab.nodes import NodeSpec

BONNIE, KITT, ROVER = (NodeSpec(name, f"10.83.17.{n}") for name, n in (("bonnie", 11), ("kitt", 12), ("rover", 13)))


@pytest.mark.parametrize(
    ("to", "clashing"),
    [
        ("default", False),
        ("192.0.2.0/24", False),
        ("10.83.17.0/24", True),
        ("10.83.17.200", True),
        ("10.0.0.0/8", True),
        ("10.83.18.0/24", False),
    ],
)
def test_a_route_clashes_when_it_leads_part_of_the_range_elsewhere(to: str, clashing: bool) -> None:
    assert bool(clashes([Route(to, "tun0")])) is clashing


def test_every_pair_that_cannot_talk_is_named() -> None:
    def ask(*words: str, timeout: float) -> str:
        return "10.83.17.12\n" if words[1] == "pic4ser-bonnie" else ""

    with pytest.raises(LabError, match=r"traffic from node to node: none on bonnie -> kitt\."):
        prove((BONNIE, KITT, ROVER), ask=ask)


def test_every_node_asks_for_all_the_others() -> None:
    scripts: dict[str, str] = {}

    def ask(*words: str, timeout: float) -> str:
        scripts[words[1]] = words[-1]
        return ""

    prove((BONNIE, KITT, ROVER), ask=ask)
    assert sorted(scripts) == ["pic4ser-bonnie", "pic4ser-kitt", "pic4ser-rover"]
    assert "10.83.17.11 10.83.17.13;" in scripts["pic4ser-kitt"]


def test_a_firewall_that_drops_forwarded_packets_is_named_as_the_cause() -> None:
    said = blame("DROP", bridges_filtered=True)
    assert "FORWARD, policy DROP" in said
    assert "iptables -I FORWARD -s 10.83.17.0/24" in said


def test_without_a_filter_on_bridges_no_firewall_is_blamed() -> None:
    assert "No firewall" in blame("DROP", bridges_filtered=False)
    assert "look for the rule" in blame("ACCEPT", bridges_filtered=True)


@pytest.mark.parametrize(
    ("rules", "policy"),
    [
        ("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [12:99]\nCOMMIT\n", "DROP"),
        ("", ""),
        (":FORWARD ACCEPT [0:0]", "ACCEPT"),
    ],
)
def test_the_policy_is_read_from_the_saved_rules(rules: str, policy: str) -> None:
    assert forward_policy(rules) == policy
