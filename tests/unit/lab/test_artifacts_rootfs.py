"""What a node is told about its kernel, and the scripts that go into its root file system."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from pic4ser_lib.lab import pins, rootfs


def _kernel(folder: Path) -> Path:
    (folder / "proc").mkdir()
    (folder / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_OVERLAY_FS=y\nCONFIG_VXLAN=m\n"))
    (folder / "sys/module/tcp_cubic").mkdir(parents=True)
    return folder


def _modprobe(base: Path, module: str) -> subprocess.CompletedProcess[str]:
    command = ["modprobe", "--dirname", str(base), "--set-version", "9.9-test", "--show-depends", module]
    return subprocess.run(command, capture_output=True, text=True)


def test_modprobe_knows_what_the_kernel_has_built_in(tmp_path: Path) -> None:
    folder = rootfs.modules_folder(tmp_path / "cache", release="9.9-test", kernel=_kernel(tmp_path))
    assert folder is not None
    assert _modprobe(folder.parents[2], "overlay").stdout.split() == ["builtin", "overlay"]
    assert _modprobe(folder.parents[2], "tcp_cubic").stdout.split() == ["builtin", "tcp_cubic"]
    assert _modprobe(folder.parents[2], "vxlan").returncode != 0


def test_a_machine_with_modules_of_its_own_shares_them(tmp_path: Path) -> None:
    (tmp_path / "lib/modules/9.9-test").mkdir(parents=True)
    assert rootfs.modules_folder(tmp_path / "cache", release="9.9-test", kernel=tmp_path) is None


@pytest.mark.parametrize("script", sorted((pins.FILES / "node").glob("*.sh")), ids=lambda path: path.name)
def test_each_script_of_a_node_is_valid_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
