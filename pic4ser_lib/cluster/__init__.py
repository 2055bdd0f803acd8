"""The Kubernetes API as steps and proofs use it: read, server-side apply, patch, delete, prove.

The only room that imports the kubernetes client, and only when a request is due: it costs 0.3 s. The client brings
kubeconfig, TLS and connections; paths come from the server's own discovery, so a kind of tomorrow needs no new code.
"""

from pic4ser_lib.cluster.access import Cluster
from pic4ser_lib.cluster.forwarding import Forwarded
from pic4ser_lib.cluster.kubeconfig import keep_kubeconfig, own_kubeconfig

__all__ = ["Cluster", "Forwarded", "keep_kubeconfig", "own_kubeconfig"]
