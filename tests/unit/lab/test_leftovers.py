"""Mounts that a dead lab left inside its folder."""

from __future__ import annotations

from pathlib import Path

from pic4ser_lib.lab.leftovers import inside

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /state/pic4ser/lab/nodes/kitt/kubelet/pods/1 tmpfs rw 0 0
tmpfs /state/pic4ser/lab/nodes/kitt/kubelet tmpfs rw 0 0
tmpfs /state/pic4ser/labour tmpfs rw 0 0
tmpfs /state/pic4ser/lab/with\\040blank tmpfs rw 0 0
"""


def test_the_innermost_comes_first_and_neighbours_stay() -> None:
    lab = Path("/state/pic4ser/lab")
    assert inside(lab, MOUNTS) == [
        lab / "nodes/kitt/kubelet/pods/1",
        lab / "nodes/kitt/kubelet",
        lab / "with blank",
    ]


def test_only_mounts_with_a_containers_name_are_meant() -> None:
    mounts = "shm /c/abc/userdata/shm tmpfs rw 0 0\nshm /c/abcd/userdata/shm tmpfs rw 0 0\n"
    assert inside(Path("/"), mounts, with_name="abc") == [Path("/c/abc/userdata/shm")]
