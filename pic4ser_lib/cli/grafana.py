"""pic4ser grafana: the way into Grafana, and the only place that shows its password."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any

import click

from pic4ser_lib.cli.lab import LAB, lab_runs

if TYPE_CHECKING:
    from pic4ser_lib.cluster import Cluster
    from pic4ser_lib.site import Site


@click.command(short_help="Open Grafana, with its password.")
@click.argument("site", default=LAB, required=False)
@click.option("--port", default=3000, show_default=True, help="Port of this machine; another one if it is taken.")
@click.option("--minutes", default=30.0, show_default=True, help="How long Grafana stays open; 0: only show.")
@click.option("--show", is_flag=True, help="Print the password although this is not a terminal.")
def grafana(site: str, port: int, minutes: float, show: bool) -> int:
    """Show Grafana's password, and bring Grafana to a port of this machine until Ctrl-C.

    Example: pic4ser grafana parameters/lab
    """
    if not (show or sys.stdout.isatty()):
        raise click.UsageError("The password is shown on a terminal only; add --show if something else shall read it.")
    from pic4ser_lib.site import load

    described = load(site)
    if described.valid_on:
        lab_runs(described.path)
    cluster = _cluster(described)
    user, password = _credentials(cluster)
    click.echo(f"User: {user}\nPassword: {password}")
    if minutes > 0:
        _opened(cluster, described, port, minutes)
    return 0


def _cluster(site: Site) -> Cluster:
    from pic4ser_lib.cluster import Cluster
    from pic4ser_lib.ports import state_folder

    return Cluster(state_folder(site.name) / "kubeconfig", patience=site.patience)


def _credentials(cluster: Cluster) -> tuple[str, str]:
    """User and password. Raises ClusterError as long as notebook 08 has not made them."""
    from pic4ser_lib.errors import ClusterError
    from pic4ser_lib.operations.monitoring import grafana as made
    from pic4ser_lib.operations.monitoring.prometheus import NAMESPACE
    from pic4ser_lib.steps import Read

    (secret,) = cluster.ask([Read("v1", "Secret", made.SECRET, NAMESPACE)])
    values: dict[str, Any] = secret.get("data", {}) if isinstance(secret, dict) else {}
    if not values.get(made.PASSWORD_KEY):
        raise ClusterError(
            status=404, reason="there is no password yet", object=f"Secret {NAMESPACE}/{made.SECRET}",
            remedy="Notebook 08 (Prometheus and Grafana) makes it.",
        )  # fmt: skip
    user, password = (base64.b64decode(values.get(key, "")).decode() for key in (made.USER_KEY, made.PASSWORD_KEY))
    return user, password


def _opened(cluster: Cluster, site: Site, port: int, minutes: float) -> None:
    from dataclasses import replace

    from pic4ser_lib.operations import monitoring

    forward = replace(monitoring.grafana_page(site), local_port=port, seconds=minutes * 60)
    with cluster.forward(forward) as made:
        click.echo(f"Grafana: {made.url}  (for {minutes:g} minutes, or until Ctrl-C)")
        try:
            made.wait()
        except KeyboardInterrupt:
            click.echo("Closed.", err=True)
