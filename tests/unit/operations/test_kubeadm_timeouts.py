"""How long kubeadm and the control plane's parts wait: as patience says; upstream decides where a site says nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from pic4ser_lib.operations.kubeadm import configuration, join
from pic4ser_lib.site import Site, load
from pic4ser_lib.site.schema import Dilation
from pic4ser_lib.steps import Secret

SECRET = Secret("x", made_by="echo x", on="bonnie")
PIC4SER = load(Path(__file__).parents[3] / "parameters" / "pic4ser")


def _texts(site: Site) -> list[str]:
    """The configurations for kubeadm's init and for each node's join."""
    joins = [configuration.for_join(site, node, "0" * 64, token=SECRET, certificate_key=SECRET) for node in site.nodes]
    join_texts = ["".join(part if isinstance(part, str) else "secret" for part in join) for join in joins]
    return [configuration.for_init(site), *join_texts]


def _asked(site: Site) -> list[dict[str, str]]:
    return [next(yaml.safe_load_all(text)).get("timeouts", {}) for text in _texts(site)]


def test_kubeadm_decides_where_the_site_asks_for_no_patience() -> None:
    assert not any(_asked(PIC4SER))


def test_a_slow_sites_patience_is_kubeadms_too() -> None:
    asked = _asked(PIC4SER.model_copy(update={"patience": 10}))
    assert {each["kubernetesAPICall"] for each in asked} == {"600s"}
    assert {each["controlPlaneComponentHealthCheck"] for each in asked} == {"2400s"}
    assert {each["tlsBootstrap"] for each in asked} == {"3000s"}


def _cluster(patience: int) -> dict[str, Any]:
    site = PIC4SER.model_copy(update={"patience": patience})
    return next(d for d in yaml.safe_load_all(configuration.for_init(site)) if d["kind"] == "ClusterConfiguration")


def test_kubeadm_chooses_its_keys_unless_the_sites_machines_are_slow() -> None:
    assert [_cluster(patience).get("encryptionAlgorithm") for patience in (1, 10)] == [None, "ECDSA-P256"]


def test_on_machines_whose_time_is_slower_as_well_the_parts_need_that_much_less_patience() -> None:
    def asked(dilation: Dilation | None) -> set[str]:
        slow = PIC4SER.model_copy(update={"patience": 10, "dilation": dilation})
        return {each.get("kubernetesAPICall", "") for each in _asked(slow)}

    assert asked(None) == {"600s"}
    assert asked(Dilation(since=0, times=4)) == {"180s"}
    assert asked(Dilation(since=0, times=10)) == {""}


def _arguments(patience: int) -> dict[str, dict[str, str]]:
    """The extra arguments of each part of a control plane that `kubeadm init` makes."""
    told = _cluster(patience)
    parts = {name: told.get(name, {}) for name in ("apiServer", "controllerManager", "scheduler")}
    parts["etcd"] = told.get("etcd", {}).get("local", {})
    return {name: {each["name"]: each["value"] for each in part.get("extraArgs", ())} for name, part in parts.items()}


def test_a_control_planes_parts_have_no_extra_arguments_where_the_site_asks_for_no_patience() -> None:
    assert not any(_arguments(1).values())


def test_a_slow_sites_control_plane_waits_longer_for_its_own_parts() -> None:
    asked = _arguments(10)
    leases = {"leader-elect-lease-duration": "150s", "leader-elect-renew-deadline": "100s"}
    for part in ("controllerManager", "scheduler"):
        assert asked[part] == leases | {"leader-elect-retry-period": "20s"}
    assert asked["apiServer"]["etcd-healthcheck-timeout"] == "20s"
    beats = {"heartbeat-interval": "1000", "election-timeout": "10000"}
    slow = {"warning-apply-duration": "1000ms", "warning-unary-request-duration": "3000ms"}
    tells = {"watch-progress-notify-interval": "50s"}
    assert asked["etcd"] == beats | tells | slow | {"log-level": "warn"}


def test_etcd_is_not_asked_for_more_than_it_takes() -> None:
    etcd = _arguments(100)["etcd"]
    assert (etcd["heartbeat-interval"], etcd["election-timeout"]) == ("5000", "50000")


def test_a_slow_sites_control_planes_are_asked_seldom_whether_they_are_ready() -> None:
    slow = PIC4SER.model_copy(update={"patience": 10})
    (made,) = configuration.patches(slow)
    init, *joins = (next(yaml.safe_load_all(text)) for text in _texts(slow))
    assert {each.get("patches", {}).get("directory") for each in (init, *joins)} == {"/run/pic4ser/kubeadm-patches"}
    second = join.joined(slow, slow.control_planes[1])
    assert second
    assert second.patches == (made,)
    assert not configuration.patches(PIC4SER)


def test_the_patches_are_what_kubeadm_reads(tmp_path: Path) -> None:
    (made,) = configuration.patches(PIC4SER.model_copy(update={"patience": 10}))
    subprocess.run(["bash", "-c", made.command.replace("/run/pic4ser", str(tmp_path))], check=True)
    files = {file.name: json.loads(file.read_text("utf-8")) for file in (tmp_path / "kubeadm-patches").iterdir()}
    lives = {"livenessProbe": {"failureThreshold": 80}}
    probed = {"name": "etcd", **lives, "readinessProbe": {"periodSeconds": 10}}
    assert files["etcd+strategic.json"] == {"spec": {"containers": [probed]}}
    ready = ("etcd", "kube-apiserver", "kube-scheduler")
    assert set(files) == {f"{part}+strategic.json" for part in (*ready, "kube-controller-manager")}
    assert files["kube-controller-manager+strategic.json"]["spec"]["containers"] == [
        {"name": "kube-controller-manager", **lives}
    ]
