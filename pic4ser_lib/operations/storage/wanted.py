"""The export that a site wants, or a sentence that it says none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pic4ser_lib.errors import Problem, SiteError

if TYPE_CHECKING:
    from pic4ser_lib.site import Site, Storage


def storage_of(site: Site) -> Storage:
    """The site's `storage`. Raises SiteError when it has none."""
    if site.storage is None:
        allowed = "server and path of the NFS export that claims are satisfied from"
        raise SiteError(path=str(site.path), problems=(Problem("cluster.yaml", "storage", "", allowed),))
    return site.storage
