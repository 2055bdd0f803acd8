"""What can be said about virtual machines without one."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pic4ser_lib.errors import LabError
from pic4ser_lib.lab import boot, machines, pins, qemu, stages, vm, vmimage
from pic4ser_lib.lab.identity import ROUTED, plain
from pic4ser_lib.lab.nodes import NEXT_RELEASE, RELEASE, LabNode, NodeSpec
from pic4ser_lib.lab.podman import Container
from pic4ser_lib.progress import Progress

KITT = NodeSpec("kitt", "10.83.17.12", kind="vm")


def _node(folder: Path, spec: NodeSpec = KITT) -> vm.VirtualNode:
    made = plain(spec, (), user_key="", apt_key="", host_key=("", ""), network=vm.network_files(spec.address))
    how = qemu.Accelerator(qemu.EMULATED, "")
    return vm.VirtualNode(spec, Path("/cache/vm-image/1"), folder, "/state", made, how)


def _of_release(folder: Path, release: str, *images: str) -> LabNode:
    made = plain(KITT, (), user_key="", apt_key="", host_key=("", ""), network=vm.network_files(KITT.address))
    guests = machines.Virtual({each: Path("/cache", each) for each in images}, qemu.Accelerator(qemu.EMULATED, ""))
    spec = replace(KITT, release=release)
    return machines.node(spec, folder=folder, lab="/state", plain=made, image="", modules=folder, guests=guests)


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_two_machines_share_no_name_card_device_or_file(tmp_path: Path) -> None:
    other = NodeSpec("rover", "10.83.17.254", kind="vm")
    first, second = (_node(tmp_path / n.name, n).command(uuid=n.name) for n in (KITT, other))
    for flag in ("-name", "-pidfile", "-uuid", "-initrd", "-drive", "-netdev", "-device", "-serial", "-qmp"):
        assert _after(first, flag) != _after(second, flag)


def test_its_card_has_the_address_that_its_system_expects(tmp_path: Path) -> None:
    (file,) = vm.network_files(KITT.address)
    told = configparser.ConfigParser()
    told.read_string(str(file.content))
    assert _after(_node(tmp_path).command(uuid=""), "-device").endswith(f"mac={told['Match']['MACAddress']}")
    assert told["Network"]["Address"] == "10.83.17.12/24"
    assert told["Network"]["Gateway"] == "10.83.17.2"


def test_the_kernel_accepts_the_name_of_its_tap_device(tmp_path: Path) -> None:
    assert len(_node(tmp_path, NodeSpec("n", "10.83.17.254", kind="vm")).tap) <= 15


def test_a_machine_that_comes_or_goes_leaves_the_bridge_its_address() -> None:
    (high,) = re.findall(r"address (\S+)", vm.connecting("podman7", KITT.address))
    assert high == "fe:83:0a:53:11:0c"
    assert "master podman7" in vm.connecting("podman7", KITT.address)


def test_a_machine_is_prepared_only_when_its_last_file_was_written(tmp_path: Path) -> None:
    node = _node(tmp_path / "nodes" / "kitt")
    half = vm.Guest("pic4ser-kitt", "/state", "")
    assert not node.prepared(None)
    assert not node.prepared(half)
    assert not node.prepared(Container("pic4ser-kitt", "abc", node.config, "/state", "running", True))
    assert node.prepared(vm.Guest("pic4ser-kitt", "/state", node.config))


def test_a_machine_that_is_off_is_known_by_its_folder(tmp_path: Path) -> None:
    for name, told in (("one", json.dumps({"config": "abc"})), ("two", "{")):
        (tmp_path / "nodes" / name).mkdir(parents=True)
        (tmp_path / "nodes" / name / "vm.json").write_text(told)
    (tmp_path / "nodes" / "three").mkdir()
    found = vm.guests(tmp_path)
    assert found["pic4ser-one"] == vm.Guest("pic4ser-one", str(tmp_path), "abc")
    assert found["pic4ser-two"].config == ""
    assert "pic4ser-three" not in found
    assert not found["pic4ser-one"].alive


@pytest.mark.parametrize(("words", "same_addresses"), [(qemu.EMULATED, True), (qemu.KVM, False)])
def test_only_an_emulated_machine_gives_up_random_addresses(
    tmp_path: Path, words: tuple[str, ...], same_addresses: bool
) -> None:
    made = replace(_node(tmp_path), accelerator=qemu.Accelerator(words, ""))
    assert ("norandmaps" in _after(made.command(uuid=""), "-append").split()) is same_addresses


@pytest.mark.parametrize(("words", "niceness"), [(qemu.EMULATED, 5), (qemu.KVM, 0)], ids=["emulated", "at full speed"])
def test_notebooks_come_before_emulated_machines(tmp_path: Path, words: tuple[str, ...], niceness: int) -> None:
    made = replace(_node(tmp_path), accelerator=qemu.Accelerator(words, ""))
    assert made.command(uuid="")[:3] == ["nice", "-n", str(niceness)]


def test_a_new_identity_alone_makes_no_other_machine(tmp_path: Path) -> None:
    assert _node(tmp_path).config == _node(tmp_path).config


def test_a_machine_of_another_release_is_another_machine(tmp_path: Path) -> None:
    old, new = (_of_release(tmp_path / "kitt", release, RELEASE, NEXT_RELEASE) for release in (RELEASE, NEXT_RELEASE))
    assert old.config != new.config
    made = vm.Guest("pic4ser-kitt", "/state", old.config)
    start = boot._Start(new, made, Progress(), threading.Event(), threading.Event())
    with pytest.raises(LabError, match=r"another release of Debian.*pic4ser lab down"):
        start()


def test_a_machine_whose_release_has_no_image_is_not_made_of_another(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no image"):
        _of_release(tmp_path / "kitt", NEXT_RELEASE, RELEASE)


def test_each_kind_gets_its_network_in_its_own_way() -> None:
    assert machines.network_of(NodeSpec("kitt", "10.83.17.12")) == ROUTED
    assert machines.network_of(KITT) == vm.network_files(KITT.address)


def test_a_lab_of_containers_makes_nothing_for_virtual_machines(tmp_path: Path) -> None:
    recipes = vmimage.recipes(pins.load(), RELEASE)
    assert set(recipes) == {"root-vm", "vm-image"}
    assert not set(recipes) & set(stages.plan(stages.STAGES[-1], pins.load(), tmp_path).recipes)


def test_the_image_is_made_anew_when_its_root_is() -> None:
    root, image = vmimage.recipes(pins.load(), RELEASE).values()
    assert image.needs == (root,)


@pytest.mark.parametrize("script", sorted((pins.FILES / "node-vm").glob("*.sh")), ids=lambda path: path.name)
def test_each_script_of_a_virtual_machine_is_valid_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_what_the_guest_says_when_it_has_booted_is_what_is_waited_for() -> None:
    asked, said = (pins.FILES / "node-vm" / "probe.sh").read_text(), qemu._SAYS
    assert f"echo '{said}'" in asked
    assert qemu._TRY.split()[-1] in asked
