"""One run at a time on a site: a lock on its first control plane that lives as long as its holder."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
import time
from types import TracebackType
from typing import Any

from pic4ser_lib.errors import HostError, PicError, SiteBusy
from pic4ser_lib.host import scripts
from pic4ser_lib.host.connection import Host
from pic4ser_lib.host.shell import RootShell

BEAT = 30.0
LAPSE = 300
"""Seconds after which the node gives the lock up when its holder, or the line to it, is silent."""

_TAKE = r"""
mkdir -p -m 700 FOLDER
exec 9<>FOLDER/site.lock
if flock -n 9; then
  printf '%s %s\n' $$ WHO >FOLDER/site.lock
  TMOUT=LAPSE
  printf '\n%s end 0\n' NONCE
else
  for n in 1 2 3 4 5 6 7 8 9 10; do
    read -r pid who <FOLDER/site.lock
    [ -n "$pid" ] && [ -d "/proc/$pid" ] && break
    sleep 0.2
  done
  exec 9>&-
  printf '%s' "$who"
  printf '\n%s end 1\n' NONCE
fi
"""


class SiteLock:
    """While it is entered, no other run changes the site. Raises SiteBusy with who does, and since when.

    It is a flock that a shell on `host` holds for an open channel of ours, so it ends with this process however that
    ends; nothing is on disk. Whoever comes with the same `run_id` (the kernels of a batch) passes, and holds nothing.
    """

    def __init__(self, host: Host, *, run_id: str, who: str, site: str = "") -> None:
        self._host = host
        self._run_id = run_id
        self._who = who
        self._site = site or host.node.name
        self._shell: RootShell | None = None
        self._released = threading.Event()
        self.lost = ""

    def __enter__(self) -> SiteLock:
        shell = self._host.root_shell()
        try:
            holder = self._take(shell)
        except BaseException:
            shell.close()
            raise
        if holder is None:
            self._shell = shell
            threading.Thread(target=self._keep, args=(shell,), daemon=True, name="site lock").start()
            return self
        shell.close()
        if holder.get("run") == self._run_id:
            return self
        raise SiteBusy(
            site=self._site,
            who=str(holder.get("who", "")),
            since=str(holder.get("since", "")),
            remedy="Wait until that run has ended, then run this again.",
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    @property
    def holds(self) -> bool:
        """Whether this very object holds the lock (not a parent of the same run)."""
        return self._shell is not None and not self.lost

    def _take(self, shell: RootShell) -> dict[str, Any] | None:
        """None: it is ours now. Otherwise what its holder wrote there."""
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        text = json.dumps({"who": self._who, "since": since, "run": self._run_id})
        nonce = scripts.new_nonce()
        unit = _TAKE.replace("FOLDER", scripts.RUN_FOLDER).replace("LAPSE", str(LAPSE)).replace("NONCE", nonce)
        end = scripts.end_mark(nonce)
        raw = shell.run(unit.replace("WHO", shlex.quote(text)), end, timeout=30, doing="taking the site's lock")
        mark = end.search(raw)
        if mark is None or mark[1] == b"0":
            return None
        try:
            holder = json.loads(raw[: mark.start()])
        except ValueError:
            return {}
        return holder if isinstance(holder, dict) else {}

    def _keep(self, shell: RootShell) -> None:
        """Say every BEAT seconds that the holder lives."""
        while not self._released.wait(BEAT):
            nonce = scripts.new_nonce()
            unit = f"printf '\\n%s end 0\\n' {nonce}"
            try:
                shell.run(unit, scripts.end_mark(nonce), timeout=BEAT, doing="keeping the site's lock")
            except PicError as error:
                self.lost = "" if self._released.is_set() else str(error)
                return
            except KeyboardInterrupt:
                return
        with contextlib.suppress(HostError):
            shell.close()
