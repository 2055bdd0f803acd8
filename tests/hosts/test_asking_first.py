"""A site that wants to be asked: nothing is changed before somebody has seen the plan of a cell and said yes."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from pathlib import Path

import pexpect
import pytest
from node_outside import Outside

from pic4ser_lib import bound
from pic4ser_lib.binding import bind
from pic4ser_lib.errors import ConsentMissing, SiteBusy
from pic4ser_lib.host import Host, SiteLock
from pic4ser_lib.site import Node
from pic4ser_lib.steps import Shell, Step, WriteFile

FOLDER = """\
title: Two machines
control_planes: [{name}]
endpoint: {{name: k8s-api.test.internal}}
versions: {{kubernetes: 1.36.3, containerd: 2.4.2, flannel: 0.28.10}}
ssh: {{user: {user}, key: "{key}", known_hosts: "{known_hosts}"}}
"""
CELL = """\
import sys
sys.path.insert(0, {here!r})
from test_asking_first import Written
from pic4ser_lib import bind
print(bind({site!r}).run(Written({path!r})))
print(bind({site!r}).run(Written({path!r})))
"""


class Written(Step):
    """A file of ours is there."""

    name, wanted = "test.written", "the file is there"

    def __init__(self, path: str) -> None:
        self.path = path

    def probe(self) -> Shell:
        return Shell(f"cat {self.path} 2>/dev/null || true")

    def parse(self, raw: str) -> str:
        return raw

    def actions(self, seen: str) -> list[WriteFile]:
        return [] if seen.strip() == "so" else [WriteFile(self.path, "so\n")]


@pytest.fixture
def site(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site of this one node that wants its plan to be confirmed, as sites do that do not say otherwise."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = tmp_path / "parameters" / "two"
    (place / "nodes").mkdir(parents=True)
    ssh = node.ssh
    text = FOLDER.format(name=node.name, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts)
    (place / "cluster.yaml").write_text(text)
    (place / "nodes" / f"{node.name}.yaml").write_text(f"address: {node.address}\n")
    return str(place)


def typed(site: str, path: str, answer: str) -> str:
    """What a terminal shows when a cell is run twice on it and the question gets this answer."""
    here = str(Path(__file__).parent)
    code = textwrap.dedent(CELL.format(here=here, site=site, path=path))
    terminal = pexpect.spawn(sys.executable, ["-c", code], encoding="utf-8", timeout=60)
    terminal.expect(r"Do this to Two machines \(bonnie\)\? \[yes/all/no\] ")
    terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    return str(terminal.before)


def test_where_nobody_can_be_asked_nothing_is_changed(site: str, folder: str, outside: Outside) -> None:
    with pytest.raises(ConsentMissing, match="pic4ser run"):
        bind(site).run(Written(f"{folder}/file"))
    assert outside.run(f"ls {folder}") == ""


def test_a_no_changes_nothing(site: str, folder: str, outside: Outside) -> None:
    assert "Nothing was changed" in typed(site, f"{folder}/file", "no")
    assert outside.run(f"ls {folder}") == ""


def test_a_yes_is_asked_for_once_and_not_where_nothing_is_to_be_done(site: str, folder: str, outside: Outside) -> None:
    said = typed(site, f"{folder}/file", "yes")
    assert outside.run(f"cat {folder}/file") == "so\n"
    assert said.count("the file is there  bonnie") == 2
    assert "[yes/all/no]" not in said


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has said yes to the runs of this process."""
    monkeypatch.setenv("PIC4SER_RUN_ID", "r1")
    monkeypatch.setenv("PIC4SER_CONSENT", "r1")


def test_between_two_cells_nobody_else_changes_the_site(site: str, folder: str, host: Host, agreed: None) -> None:
    nodes = bind(site)
    nodes.run(Written(f"{folder}/file"))
    with pytest.raises(SiteBusy, match=r"has been changing this site since"), SiteLock(host, run_id="r2", who="eva"):
        pass
    nodes.bound.let_go()


def test_after_its_last_cell_a_notebook_lets_others_go_on(
    site: str, folder: str, host: Host, agreed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound, "_LOCK_IDLE", 0.0)
    bind(site).run(Written(f"{folder}/file"))
    for _ in range(100):
        with contextlib.suppress(SiteBusy), SiteLock(host, run_id="r2", who="eva") as lock:
            assert lock.holds
            return
    pytest.fail("the notebook's lock is still held")
