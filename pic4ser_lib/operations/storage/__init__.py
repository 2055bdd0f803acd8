"""Default storage: claims that are satisfied by folders of an NFS export (document: Default storage).

server_installed(site, node)  the NFS server's package, on the node that the site names, if it names one
exported(site, node)          the export, likewise
export_reachable(site, node)  the node can mount the export, and root may make folders in it
provisioned(site)             the provisioner, with the document's values
one_default_class(site)       claims that name no class get this one, and no other class says so too
claim_proof(site)             a claim is bound, written on one node and read on the others
"""

from pic4ser_lib.operations.storage.classes import one_default_class, provisioned
from pic4ser_lib.operations.storage.export import export_reachable
from pic4ser_lib.operations.storage.proof import claim_proof
from pic4ser_lib.operations.storage.server import exported, server_installed

__all__ = [
    "claim_proof",
    "export_reachable",
    "exported",
    "one_default_class",
    "provisioned",
    "server_installed",
]
