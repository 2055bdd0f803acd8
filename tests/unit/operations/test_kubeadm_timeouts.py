"""How long kubeadm itself waits: as a site's patience says, and as upstream's kubeadm does where it says nothing."""

from __future__ import annotations

from pathlib import Path

import yaml

from pic4ser_lib.operations.kubeadm import configuration
from pic4ser_lib.site import Site, load
from pic4ser_lib.steps import Secret

SECRET = Secret("x", made_by="echo x", on="bonnie")
PIC4SER = load(Path(__file__).parents[3] / "parameters" / "pic4ser")


def _asked(site: Site) -> list[dict[str, str]]:
    """The timeouts for kubeadm's init and for each node's join."""
    joins = [configuration.for_join(site, node, "0" * 64, token=SECRET, certificate_key=SECRET) for node in site.nodes]
    join_texts = ["".join(part if isinstance(part, str) else "secret" for part in join) for join in joins]
    texts = [configuration.for_init(site), *join_texts]
    return [next(yaml.safe_load_all(text)).get("timeouts", {}) for text in texts]


def test_kubeadm_decides_where_the_site_asks_for_no_patience() -> None:
    assert not any(_asked(PIC4SER))


def test_a_slow_sites_patience_is_kubeadms_too() -> None:
    asked = _asked(PIC4SER.model_copy(update={"patience": 10}))
    assert {each["kubernetesAPICall"] for each in asked} == {"600s"}
    assert {each["controlPlaneComponentHealthCheck"] for each in asked} == {"2400s"}
    assert {each["tlsBootstrap"] for each in asked} == {"3000s"}
