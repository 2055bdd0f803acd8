"""`pic4ser lab up --online`: asked for, told of, fetched once, and never mixed with an offline lab."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pic4ser_lib.cli.lab import _lines, lab
from pic4ser_lib.errors import ArtifactError, LabError
from pic4ser_lib.lab import artifacts, builder, chartrepos, rehearsal, sitefolder, state
from pic4ser_lib.lab.nodes import NodeSpec
from pic4ser_lib.progress import Progress
from pic4ser_lib.site import load

PARAMETERS = Path(__file__).parents[3] / "parameters"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The committed lab's folder, without what a machine writes into it."""
    folder = tmp_path / "lab"
    shutil.copytree(PARAMETERS / "lab", folder, ignore=shutil.ignore_patterns("local.yaml"))
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "known_hosts").touch()
    return folder


def _stand_ins(site: Path, *, online: bool) -> set[str]:
    key, known = site.parent / "key", site.parent / "known_hosts"
    sums = {"helm": "a" * 64, "training-operator": "b" * 64}
    sitefolder.write_local(site, key=key, known_hosts=known, fingerprint="A" * 40, archives=sums, online=online)
    return {stand_in.instead_of for stand_in in load(site).stand_ins}


def test_what_upstream_replaced_is_no_stand_in_any_more(site: Path) -> None:
    offline, online = _stand_ins(site, online=False), _stand_ins(site, online=True)
    assert online < offline
    gone = " ".join(offline - online)
    for name in (
        "kube-prometheus-stack",
        "grafana:",
        "alertmanager",
        "kube-webhook-certgen",
        "pause",
        "registry.k8s.io",
    ):
        assert name in gone
    for name in ("k8s-device-plugin:", "node-feature-discovery", "dcgm-exporter:", "cuda-sample", "packages", "helm"):
        assert name not in gone


def test_the_next_offline_lab_names_them_again(site: Path) -> None:
    before = _stand_ins(site, online=False)
    _stand_ins(site, online=True)
    assert _stand_ins(site, online=False) == before


def test_a_site_without_stand_ins_or_with_its_own_is_left_as_it_is() -> None:
    assert sitefolder.left({}) == []
    own = [{"name": "x", "instead_of": "y", "does_not_prove": "z"}]
    assert sitefolder.left({"stand_ins": [*own, {"name": "w", "online": True}]}) == own


@pytest.mark.parametrize("started", [None, False, True])
@pytest.mark.parametrize("online", [False, True])
def test_a_running_lab_goes_on_as_it_was_started_or_is_refused(started: bool | None, online: bool) -> None:
    seen = None if started is None else state.Running((), "today", (), online=started)
    refused = pytest.raises(LabError, match=r"since today was started with(out)? --online\. .*pic4ser lab down")
    with nullcontext() if started in (None, online) else refused:
        rehearsal._same_origin(seen, online=online)


def test_a_lab_remembers_whether_it_is_online(tmp_path: Path) -> None:
    started = state.Running(("/site",), "today", (NodeSpec("bonnie", "10.83.17.11"),), online=True)
    state.keep(tmp_path, started)
    assert state.running(tmp_path) == started
    told = json.loads((tmp_path / "lab.json").read_text())
    del told["online"]  # as an older lab wrote it
    (tmp_path / "lab.json").write_text(json.dumps(told))
    assert state.running(tmp_path) == replace(started, online=False)


def test_a_lab_that_was_fetched_goes_on_without_the_internet(tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    builder._keep(tmp_path, builder.Known("key", str(charts), {}, online=True))
    assert rehearsal._fetched(tmp_path, Progress()) == charts


def test_a_repository_that_is_away_stops_the_lab_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIC4SER_CACHE", str(tmp_path))
    away = chartrepos.Wanted("dcgm-exporter", "http://127.0.0.1:9/", "4.8.2")
    monkeypatch.setattr(chartrepos, "pinned", lambda pins: (away,))
    heard: list[str] = []
    with pytest.raises(
        ArtifactError, match=r"chart dcgm-exporter 4\.8\.2: wanted an answer from http://127\.0\.0\.1:9/"
    ):
        artifacts.fetch(lambda artifact, state, seconds: heard.append(f"{artifact} {state}"))
    assert heard == ["upstream's charts building", "upstream's charts failed"]
    assert not list(tmp_path.glob("artifacts/*/*"))


def test_charts_of_your_own_and_online_together_are_refused_before_anything_starts(tmp_path: Path) -> None:
    said = CliRunner().invoke(lab, ["up", "--online", "--charts", str(tmp_path)])
    assert said.exit_code == 2
    assert "--online fetches the charts itself" in said.output


@pytest.mark.parametrize("online", [False, True])
def test_the_status_says_when_a_lab_is_online(online: bool) -> None:
    now = rehearsal.Status((), rehearsal.Member("mirror", "10.83.17.2", "running"), network=True, online=online)
    assert any(line.startswith("online") for line in _lines(now)) is online
