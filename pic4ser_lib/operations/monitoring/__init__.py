"""Prometheus and Grafana, and the NVIDIA exporter: figures of every node and every GPU.

grafana_password(site)       made at random, kept in a Secret; `pic4ser grafana SITE` shows it
stack_released(site)         kube-prometheus-stack with the document's values
targets_up(site)             Prometheus scrapes every node, and every target of the stack answers
grafana_page(site)           Grafana on a port of your own machine, for a while
exporter_released(site)      the DCGM exporter, once a second
monitor_accepted(site)       the operator has taken its monitor
gpus_sampled(site)           fresh samples of every GPU
gpu_dashboard()              our dashboard of the GPUs, given to Grafana
community_dashboards(site)   those that the site names, such as 12239
"""

from pic4ser_lib.operations.monitoring.dashboards import community_dashboards, gpu_dashboard
from pic4ser_lib.operations.monitoring.exporter import exporter_released, gpus_sampled, monitor_accepted
from pic4ser_lib.operations.monitoring.grafana import grafana_page, grafana_password
from pic4ser_lib.operations.monitoring.stack import stack_released, targets_up

__all__ = [
    "community_dashboards",
    "exporter_released",
    "gpu_dashboard",
    "gpus_sampled",
    "grafana_page",
    "grafana_password",
    "monitor_accepted",
    "stack_released",
    "targets_up",
]
