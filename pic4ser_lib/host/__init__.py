"""SSH: one channel to ask and to act as root on a node; the site's lock; groups of nodes in threads.

The only room that imports fabric, paramiko and invoke (when they are used), and where their exceptions end.
"""

from pic4ser_lib.host.connection import Host
from pic4ser_lib.host.lock import SiteLock
from pic4ser_lib.host.parallel import in_parallel
from pic4ser_lib.host.password import once
from pic4ser_lib.host.session import Session

__all__ = ["Host", "Session", "SiteLock", "in_parallel", "once"]
