"""Three machines become a cluster while one dies, one hangs, one loses its power, and the network is bad.

The tests build on each other, in their order, and end with one control plane: the first is lost for good.
Part of `make soak`: emulated on two cores they take an hour and more.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import machine_outside as machine
import pytest
import yaml
from machine_outside import PIC4SER, ROOT, THREE, until

BONNIE, KITT, ROVER = THREE
GONE = r"{}(: (the connection was lost|no answer in time) while| \(.*?\): not reachable over SSH)"
"""How a node is named that stopped answering: in the middle of a command, before its answer began, or between two."""
BAD_NETWORK = "tc qdisc replace dev eth0 root netem delay 60ms 20ms loss 2%"
"""Inside the machines, on what they send: this machine's own kernel may have no netem for the other ends."""
LONG = 3600.0


@pytest.fixture(scope="module")
def site(may_boot: None) -> Iterator[Path]:
    """Three plain machines; at the end the lab is down."""
    assert machine.down().returncode == 0
    yield machine.up(ROOT / "parameters" / "lab")
    machine.down()


def reported(site: Path, before: set[Path]) -> dict[str, list[str]]:
    """By node, the steps that the run which is newer than these has reported as done."""
    found: dict[str, list[str]] = {node.name: [] for node in THREE}
    for run in set(_runs(site)) - before:
        for path in run.glob("journal/*.jsonl"):
            for line in path.read_text("utf-8").splitlines():
                told = json.loads(line) if line.endswith("}") else {}
                if told.get("event") == "record" and told["outcome"] in ("ok", "changed"):
                    found.setdefault(told["node"], []).append(told["step"])
    return found


def _runs(site: Path) -> list[Path]:
    return list((ROOT / "runs" / site.name).glob("*"))


def ended(site: Path, notebook: str, when: Callable[[set[Path]], bool], then: Callable[[], None]) -> tuple[int, str]:
    """How a run of one notebook ends, and what it says, if something is done to its machines in the middle."""
    before = set(_runs(site))
    words = [*PIC4SER, "run", str(site), "--only", notebook]
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        try:
            until(lambda: run.poll() is not None or when(before), f"notebook {notebook} is in it", seconds=LONG)
            assert run.poll() is None, f"notebook {notebook} ended before anything was done to its machines"
            then()
            code = run.wait(LONG)
        finally:
            run.kill()
        said.seek(0)
        return code, " ".join(said.read().split())


def works(site: Path, notebook: str) -> None:
    """The same command again ends well, and everything is proved."""
    done = machine.pic4ser("run", str(site), "--only", notebook, timeout=LONG)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def half_way(node: machine.Machine, kubeadm: str, file: str) -> bool:
    """Whether `kubeadm init` or `join` is going on and has made this file."""
    ask = f"pgrep -f '^kubeadm {kubeadm} --config' >/dev/null && [ -s /etc/kubernetes/{file} ] && echo yes || true"
    return node.on(ask) == "yes"


def spoil_the_network() -> None:
    """Those that join lose and delay what they send; a reboot ends it."""
    for node in (KITT, ROVER):
        node.on(f"modprobe sch_netem && {BAD_NETWORK}")


def test_a_machine_that_dies_and_one_that_hangs_stop_no_other(site: Path) -> None:
    def in_the_middle(before: set[Path]) -> bool:
        done = reported(site, before)
        return len(done["kitt"]) >= 3 and len(done["rover"]) >= 3

    def trouble() -> None:
        KITT.cut_the_power()
        ROVER.freeze()

    try:
        code, said = ended(site, "01", in_the_middle, trouble)
    finally:
        ROVER.thaw()
    assert code != 0
    assert all(re.search(GONE.format(node.name), said) for node in (KITT, ROVER)), said[-6000:]
    assert BONNIE.on("apt-mark showhold").split() == ["kubeadm", "kubectl", "kubelet"], "bonnie was set up to the end"


def test_the_same_command_sets_up_the_others(site: Path) -> None:
    machine.up(ROOT / "parameters" / "lab")
    works(site, "01")


def test_a_power_cut_while_the_first_control_plane_is_made(site: Path) -> None:
    def making(before: set[Path]) -> bool:
        return half_way(BONNIE, "init", "manifests/kube-apiserver.yaml")

    code, said = ended(site, "02", making, BONNIE.cut_the_power)
    machine.up(ROOT / "parameters" / "lab")
    assert code != 0
    assert re.search(GONE.format("bonnie"), said), said[-3000:]


def test_the_same_command_makes_it_and_a_power_cut_while_another_joins_is_told(site: Path) -> None:
    def joining(before: set[Path]) -> bool:
        return half_way(KITT, "join", "kubelet.conf")

    spoil_the_network()
    code, said = ended(site, "02", joining, KITT.cut_the_power)
    machine.up(ROOT / "parameters" / "lab")
    assert code != 0
    assert re.search(GONE.format("kitt"), said), said[-3000:]


def test_the_same_command_goes_on_and_nodes_join_through_a_bad_network(site: Path) -> None:
    spoil_the_network()
    works(site, "02")
    for node in (KITT, ROVER):
        assert int(node.on("tc -s qdisc show dev eth0 | grep -oP 'dropped \\K[0-9]+' | head -1")) > 0
        node.on("tc qdisc del dev eth0 root")


def test_a_power_cut_of_all_right_after_it_loses_nothing(site: Path) -> None:
    for node in THREE:
        node.cut_the_power()
    machine.up(ROOT / "parameters" / "lab")
    works(site, "02")


@pytest.fixture(scope="module")
def bereaved(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bonnie is off for good, and this is the site as if its machines were none of the lab's.

    In the lab's own folder it is said that a machine of the lab does not run, and nothing is asked.
    """
    folder = shutil.copytree(site, tmp_path_factory.mktemp("bereaved") / site.name)
    BONNIE.cut_the_power()
    return folder


def test_a_first_control_plane_that_is_lost_for_good_is_named_with_what_can_be_done(bereaved: Path) -> None:
    """Of two etcd members one is no majority: the cluster is lost with either, and what is said must not hide it."""
    done = machine.pic4ser("verify", str(bereaved), "--only", "02", timeout=LONG)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert re.search(GONE.format("bonnie"), said), said[-3000:]
    assert "bonnie is the first control plane: nothing can go on without it." in said, said[-3000:]
    assert "docs/lost_control_plane.md" in said, said[-3000:]


def test_the_status_says_that_nobody_answers(bereaved: Path) -> None:
    done = machine.pic4ser("status", str(bereaved))
    assert done.returncode != 0
    assert "no answer from https://10.83.17.11:6443" in done.stdout + done.stderr


def test_the_survivor_goes_on_alone_as_the_page_says(bereaved: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/lost_control_plane.md").read_text("utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    KITT.on(f"set -e\n{block}", timeout=LONG)
    alone = shutil.copytree(bereaved, tmp_path / "alone")
    (alone / "nodes" / "bonnie.yaml").unlink()
    told = yaml.safe_load((alone / "cluster.yaml").read_text("utf-8"))
    (alone / "cluster.yaml").write_text(yaml.safe_dump(told | {"control_planes": ["kitt"]}, sort_keys=False))
    works(alone, "02")
    assert ROVER.on("getent ahostsv4 k8s-api.lab.internal | cut -d' ' -f1 | sort -u") == KITT.address
    kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
    assert KITT.on(f"{kubectl} get nodes -o name").split() == ["node/kitt", "node/rover"]
