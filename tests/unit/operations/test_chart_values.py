"""Which values a chart knows: its own, those of the charts inside it, their aliases and switches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pic4ser_lib import site
from pic4ser_lib.errors import SiteError
from pic4ser_lib.operations import storage
from pic4ser_lib.operations.charts.values import defaults, masked, merged, switched_on, unknown
from pic4ser_lib.operations.monitoring import stack

ROOT = Path(__file__).parents[3]

STACK = {
    "./stack/Chart.yaml": "dependencies:\n- {name: grafana, condition: grafana.enabled}\n"
    "- {name: node-feature-discovery, alias: nfd, condition: 'nfd.enabled,gfd.enabled'}\n",
    "./stack/values.yaml": "grafana: {defaultDashboardsEnabled: true, sidecar: {label: x}}\nextra: {}\nscalar: 1\n",
    "./stack/charts/grafana/Chart.yaml": "name: grafana\n",
    "./stack/charts/grafana/values.yaml": "persistence: {enabled: false, size: 10Gi}\nsidecar: {label: y, image: z}\n",
    "./stack/charts/node-feature-discovery/values.yaml": "worker: {tolerations: []}\n",
}
KNOWN = defaults(STACK)


@pytest.mark.parametrize(
    "values",
    [
        {"grafana": {"persistence": {"enabled": True}}},  # stands in the chart inside only
        {"grafana": {"defaultDashboardsEnabled": False}},  # stands in the parent only
        {"grafana": {"enabled": False}},  # a switch of the dependency, in no values.yaml
        {"gfd": {"enabled": True}, "nfd": {"worker": {"tolerations": [{"operator": "Exists"}]}}},
        {"extra": {"anything": {"goes": 1}}},  # an empty map holds whatever its user likes
        {"global": {"imageRegistry": "x"}, "grafana": {"global": {"y": 1}}},
        {"scalar": None},
        {},
    ],
)
def test_a_value_that_some_part_of_the_chart_knows_is_known(values: dict[str, object]) -> None:
    assert unknown(values, KNOWN) == ()


@pytest.mark.parametrize(
    ("values", "strangers"),
    [
        ({"grafana": {"persistance": {"enabled": True}}}, (("grafana.persistance", "grafana.persistence"),)),
        ({"persistence": {"enabled": True}}, (("persistence", "grafana.persistence"),)),
        ({"node-feature-discovery": {}}, (("node-feature-discovery", ""),)),  # its alias is what counts
        ({"zzz": 1, "nfd": {"wrker": {}}}, (("zzz", ""), ("nfd.wrker", "nfd.worker"))),
    ],
)
def test_a_stranger_is_named_with_the_nearest_that_is_known(
    values: dict[str, object], strangers: tuple[tuple[str, str], ...]
) -> None:
    assert unknown(values, KNOWN) == strangers


def test_a_chart_without_values_knows_everything() -> None:
    assert unknown({"a": 1}, defaults({"./x/Chart.yaml": "name: x\n"})) == ()


def test_the_parent_goes_before_the_chart_inside() -> None:
    assert KNOWN["grafana"]["sidecar"] == {"label": "x", "image": "z"}


@pytest.mark.parametrize(
    ("values", "on"),
    [
        ({}, ["grafana", "node-feature-discovery"]),  # without a word from anybody a dependency is on
        ({"grafana": {"enabled": False}}, ["node-feature-discovery"]),
        ({"nfd": {"enabled": True}, "gfd": {"enabled": False}}, ["grafana", "node-feature-discovery"]),  # first counts
        ({"gfd": {"enabled": False}}, ["grafana"]),  # the first is not there: the second does
        ({"nfd": {"enabled": "yes"}, "gfd": {"enabled": False}}, ["grafana"]),  # and a text is neither
    ],
)
def test_of_a_dependencys_conditions_the_first_that_says_something_counts(
    values: dict[str, Any], on: list[str]
) -> None:
    assert list(switched_on(STACK, values)) == ["./stack", *(f"./stack/charts/{name}" for name in on)]


def test_a_dependencys_own_values_switch_what_is_in_it() -> None:
    inner = {"./a/charts/b/Chart.yaml": "dependencies: [{name: c, condition: c.on}]", "./a/charts/b/charts/c/x": ""}
    files = {"./a/Chart.yaml": "dependencies: [{name: b, alias: z}]", **inner}
    assert list(switched_on(files, {"z": {"c": {"on": False}}})) == ["./a", "./a/charts/b"]
    assert list(switched_on(files, {"b": {"c": {"on": False}}})) == ["./a", "./a/charts/b", "./a/charts/b/charts/c"]


def test_lists_are_replaced_and_maps_merged() -> None:
    assert merged({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3}) == {"a": {"b": 1, "c": [2]}, "d": 3}


def test_what_somebody_gave_a_release_is_shown_without_its_secrets() -> None:
    given = {"grafana": {"adminPassword": "hunter2", "admin": {"existingSecret": "s", "passwordKey": "k"}}, "token": ""}
    assert masked(given) == {
        "grafana": {"adminPassword": "<not shown>", "admin": {"existingSecret": "s", "passwordKey": "k"}},
        "token": "",
    }


def test_a_site_without_an_export_is_told_what_is_missing() -> None:
    site: Any = SimpleNamespace(storage=None, path="parameters/x")
    with pytest.raises(SiteError, match=r"storage.*server and path of the NFS export"):
        storage.provisioned(site)


def test_a_server_is_set_up_on_the_node_that_the_site_names_and_nowhere_else() -> None:
    export = SimpleNamespace(server="kitt", path="/e", node="kitt")
    bonnie, kitt = (SimpleNamespace(name=name, address=name) for name in ("bonnie", "kitt"))
    site: Any = SimpleNamespace(storage=export, nodes=(bonnie, kitt))
    assert [storage.exported(site, node) is not None for node in site.nodes] == [False, True]
    assert [storage.server_installed(site, node) is not None for node in site.nodes] == [False, True]


def test_a_slow_site_gives_the_stacks_own_parts_longer_for_a_health_check() -> None:
    usual = site.load(ROOT / "parameters/pic4ser")
    slow = stack.values(usual.model_copy(update={"patience": 10}))
    parts = [part for part, told in slow.items() if "livenessProbe" in told]
    assert parts == ["prometheusOperator", "prometheus-node-exporter", "kube-state-metrics"]
    assert all(slow[part]["livenessProbe"]["timeoutSeconds"] == 10 for part in parts)
    assert not [told for told in stack.values(usual).values() if "livenessProbe" in told]
