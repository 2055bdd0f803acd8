"""Install Kubernetes: a cluster made by kubeadm on the first control plane, and the other nodes joined to it.

endpoint_resolved(site, node)     the control plane's name leads to a control plane
images_pulled(site, node)         what a control plane runs is there before it is made
initialised(site)                 `kubeadm init`, on the first control plane
kubeconfig_for_root(site, node)   the document's copy of admin.conf
joined(site, node)                `kubeadm join`, by the node's role
operator_kubeconfig(site)         the same for the operator's own machine
versions_agree(site)              every component runs what the site pins
etcd_members(site)                who keeps the cluster's state, and how many of them may fail
"""

from pic4ser_lib.operations.kubeadm.endpoint import endpoint_resolved
from pic4ser_lib.operations.kubeadm.health import etcd_members, versions_agree
from pic4ser_lib.operations.kubeadm.images import images_pulled
from pic4ser_lib.operations.kubeadm.init import initialised
from pic4ser_lib.operations.kubeadm.join import joined
from pic4ser_lib.operations.kubeadm.kubeconfigs import kubeconfig_for_root, operator_kubeconfig

__all__ = [
    "endpoint_resolved",
    "etcd_members",
    "images_pulled",
    "initialised",
    "joined",
    "kubeconfig_for_root",
    "operator_kubeconfig",
    "versions_agree",
]
