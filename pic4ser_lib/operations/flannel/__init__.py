"""Network plugin: flannel, from the document's look at nodes that are not Ready to pods that reach each other.

looked_at(site)       each node is Ready, or waits for its network and nothing else
applied(site)         the pinned manifest with the site's pod range
rolled_out(site)      its pods run on every node
ready(site, node)     the node is Ready, restarted as in the document if it does not become so
network_proof(site)   pods on every pair of nodes reach each other, by address, by name and by service
"""

from pic4ser_lib.operations.flannel.manifest import applied, rolled_out
from pic4ser_lib.operations.flannel.proof import network_proof
from pic4ser_lib.operations.flannel.readiness import looked_at, ready

__all__ = ["applied", "looked_at", "network_proof", "ready", "rolled_out"]
