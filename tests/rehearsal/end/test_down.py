"""The lab goes down after a whole rehearsal: the host is as it was before, and no packet has left meanwhile."""

from __future__ import annotations

from pathlib import Path

from cluster_outside import host_differs, host_seen, pic4ser
from lab_outside import HOME, Watched, said
from spare_outside import nobody_uses_the_lab


def test_the_host_is_as_it_was_and_no_packet_has_left(watched: Watched) -> None:
    nobody_uses_the_lab()
    down = pic4ser("lab", "down")
    assert down.returncode == 0, down.stdout
    assert host_differs(watched.host, host_seen()) == []
    assert said("podman", "ps", "--all", "--quiet", "--filter", "label=pic4ser.lab") == ""
    assert not list((HOME / "nodes").glob("*/"))
    assert not list(Path("/sys/class/net").glob("pic4ser*")), "a virtual machine still has its network card"
    watched.capture.__exit__(None, None, None)
    assert watched.capture.alive, "tcpdump ended early: nothing is known about what left"
    assert watched.capture.packets() == []
