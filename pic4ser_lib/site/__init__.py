"""A site: one folder of parameters that says which machines, which versions and which sources.

`load("parameters/lab")` reads and judges the whole folder before anything is touched: either a frozen Site, or a
SiteError with every problem in it. The lab and a real site differ in nothing but their folders.
"""

from pic4ser_lib.site.folder import load, machine_id
from pic4ser_lib.site.known import upstream
from pic4ser_lib.site.schema import (
    AptSource,
    Chart,
    ClusterFile,
    Download,
    Endpoint,
    Kubeadm,
    Manifest,
    Monitoring,
    Network,
    Node,
    NodeFile,
    Site,
    Sources,
    Ssh,
    StandIn,
    Storage,
    Versions,
)
from pic4ser_lib.site.skew import skew_problems

__all__ = [
    "AptSource",
    "Chart",
    "ClusterFile",
    "Download",
    "Endpoint",
    "Kubeadm",
    "Manifest",
    "Monitoring",
    "Network",
    "Node",
    "NodeFile",
    "Site",
    "Sources",
    "Ssh",
    "StandIn",
    "Storage",
    "Versions",
    "load",
    "machine_id",
    "skew_problems",
    "upstream",
]
