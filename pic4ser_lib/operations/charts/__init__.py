"""Helm and what it installs: the document's section "Helm", and the charts of the sections after it.

helm_installed(site)      the pinned helm on the first control plane
repositories_added(site)  the site's chart repositories, under the document's names
released(site, chart)     a chart, installed or upgraded with values that it knows, and running

helm runs on the first control plane: it reaches the site's sources, and the operator's machine need not.
"""

from pic4ser_lib.operations.charts.helm import helm_installed
from pic4ser_lib.operations.charts.release import Released, released
from pic4ser_lib.operations.charts.repositories import repositories_added
from pic4ser_lib.operations.charts.values import merged

__all__ = ["Released", "helm_installed", "merged", "released", "repositories_added"]
