"""A line that drops, a process that is killed, Ctrl-C: what was begun ends, nothing after it begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from node_outside import Outside, no_secret

from pic4ser_lib.errors import HostError
from pic4ser_lib.host import Host, connection, in_parallel, shell
from pic4ser_lib.host.scripts import Driver, action_unit
from pic4ser_lib.site import Node
from pic4ser_lib.steps import Run

ROOT = Path(__file__).parents[2]
SSHD = r"""
p=$$
while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(sed -n 's/^PPid:\t//p' /proc/$p/status); done
echo $p
"""


def slow(folder: str, name: str, *, seconds: float = 1.5) -> Run:
    """An action that says when it begins and when it ends."""
    return Run(f"echo {name} begins >> {folder}/log; sleep {seconds}; echo {name} ends >> {folder}/log")


def wait_for(outside: Outside, folder: str, text: str) -> None:
    outside.run(
        f"for n in $(seq 200); do grep -q '{text}' {folder}/log 2>/dev/null && exit 0; sleep 0.05; done; exit 1"
    )


def log(host: Host, folder: str) -> list[str]:
    """What was done, as the next session sees it."""
    with host.session() as session:
        return session.ask([f"cat {folder}/log"])[0].splitlines()


# ------------------------------------------------------------------------------------------- the line


def test_a_line_that_drops_in_an_action_is_a_sentence_and_the_action_ends(
    host: Host, outside: Outside, folder: str
) -> None:
    done: list[str] = []
    with host.session() as session:
        (sshd,) = session.ask([SSHD])
        cut = threading.Thread(target=lambda: (wait_for(outside, folder, "one begins"), outside.run(f"kill {sshd}")))
        cut.start()
        with pytest.raises(HostError, match=r"bonnie: the connection was lost while `run: echo one begins .* going on"):
            session.act(slow(folder, "one"), reveal=no_secret)
        with pytest.raises(HostError, match="its session was over"):
            session.act(slow(folder, "two"), reveal=no_secret)
        cut.join()
    assert done == []
    # the next session waits for what is still going on, so it never sees half of it
    assert log(host, folder) == ["one begins", "one ends"]


def test_a_line_that_drops_in_a_question_is_a_sentence(host: Host, outside: Outside) -> None:
    with host.session() as session:
        (sshd,) = session.ask([SSHD])
        threading.Timer(0.5, outside.run, args=(f"kill -KILL {sshd}",)).start()
        with pytest.raises(HostError, match=r"the connection was lost while asking `sleep 20` and 1 more"):
            session.ask(["sleep 20", "true"])


def test_a_root_shell_that_is_killed_is_a_sentence(host: Host, outside: Outside, folder: str) -> None:
    with host.session() as session:
        (shell,) = session.ask(["cut -d' ' -f4 /proc/$PPID/stat"])  # the parent of `timeout`
        threading.Timer(0.5, outside.run, args=(f"kill -KILL {shell}",)).start()
        with pytest.raises(HostError, match=r"ended with|connection was lost"):
            session.act(slow(folder, "one"), reveal=no_secret)


def test_half_an_action_is_never_executed(host: Host, outside: Outside, folder: str) -> None:
    for part in (0.2, 0.9, 0.999, 1):
        assert outside.run(f"ls {folder}") == ""
        opened = host.root_shell()
        unit = action_unit(f"touch {folder}/done", "0" * 32, title="t", stdin=b"", timeout=9)
        sent = opened._driver.framed(unit)
        opened._channel.sendall(sent[: int(len(sent) * part)])
        opened._channel.shutdown_write()
        while opened._channel.recv(1000):
            pass
        opened.close()
    assert outside.run(f"ls {folder}") == "done\n"


def test_a_line_that_falls_silent_is_a_sentence(
    host: Host, outside: Outside, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SILENCE_MS", 1500)
    monkeypatch.setattr(connection, "_KEEPALIVE", 1)
    with host.session() as session:
        ours = host._connection.transport.sock.getsockname()[0]
        # for some seconds nothing finds its way back to us, as when a cable is pulled
        cut = f"ip route add blackhole {ours} && sleep 8; ip route del blackhole {ours}"
        outside.run(f"systemd-run --quiet --collect bash -c '{cut}' && touch {folder}/log")
        with pytest.raises(HostError, match="the connection was lost while"):
            session.act(slow(folder, "one", seconds=3), reveal=no_secret)
    wait_until_reachable(host)


def wait_until_reachable(host: Host) -> None:
    for _ in range(20):
        try:
            with host.session() as session:
                session.ask(["true"])
                return
        except HostError:
            continue
    pytest.fail("the node did not come back")


def test_an_action_that_does_not_end_is_named_to_who_comes_next(
    host: Host, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "Driver", partial(Driver, patience=1))
    outside.run("mkdir -p -m 700 /run/pic4ser")
    holds = "exec 9<>/run/pic4ser/acting; flock 9; echo upgrade of everything >/run/pic4ser/acting; exec sleep 4323"
    outside.run(f"systemd-run --quiet --collect --unit pic4ser-tests-holder bash -c '{holds}'")
    outside.run("while [ ! -s /run/pic4ser/acting ]; do sleep 0.05; done")
    with pytest.raises(HostError, match="an earlier run began is still going on there: upgrade of everything"):
        log(host, "/etc")
    outside.run("systemctl stop pic4ser-tests-holder")
    with host.session() as session:  # what a dead action left written is no obstacle
        assert session.ask(["echo on"]) == ["on\n"]


# ---------------------------------------------------------------------------------------- our process

PROGRAM = """
import sys, threading, time
from pathlib import Path
from pic4ser_lib.errors import PicError
from pic4ser_lib.host import Host, connection, in_parallel, shell
from pic4ser_lib.site import Node
from pic4ser_lib.steps import Run

host = Host(Node.model_validate_json(sys.argv[1]))
folder = sys.argv[2]

def work():
    for name in ("one", "two"):
        with host.session() as session:
            text = f"echo {name} begins >> {folder}/log; sleep 1.5; echo {name} ends >> {folder}/log"
            try:
                session.act(Run(text), reveal=None)
            except PicError as error:
                print("error", error)

"""


@pytest.fixture
def process(node: Node, folder: str, outside: Outside, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that does one action after the other, and is in the middle of the first."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + textwrap.dedent(_MAIN))
    words = [sys.executable, "-u", str(program), node.model_dump_json(), folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as it:
        wait_for(outside, folder, "one begins")
        yield it
        it.kill()


_MAIN = """
try:
    print("results", in_parallel({"a": work}))
except KeyboardInterrupt:
    print("stopped by Ctrl-C")
    sys.exit(130)
"""


def test_a_killed_process_leaves_its_action_to_end_and_begins_no_other(
    process: subprocess.Popen[str], host: Host, folder: str
) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert log(host, folder) == ["one begins", "one ends"]


def test_ctrl_c_leaves_its_action_to_end_and_begins_no_other(
    process: subprocess.Popen[str], host: Host, folder: str
) -> None:
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    assert (process.returncode, said) == (130, "stopped by Ctrl-C\n")
    assert log(host, folder) == ["one begins", "one ends"]


def test_ctrl_c_in_the_main_thread_does_the_same(host: Host, outside: Outside, folder: str) -> None:
    with host.session() as session:
        timer = threading.Thread(
            target=lambda: (wait_for(outside, folder, "one begins"), os.kill(os.getpid(), signal.SIGINT))
        )
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            session.act(slow(folder, "one"), reveal=no_secret)
        timer.join()
    assert log(host, folder) == ["one begins", "one ends"]


# ----------------------------------------------------------------------------------------- several nodes


def test_one_bad_node_does_not_stop_the_others(host: Host, node: Node) -> None:
    lost = Host(node.model_copy(update={"name": "kitt", "ssh": node.ssh.model_copy(update={"port": 1})}))

    def ask(one: Host) -> str:
        with one.session() as session:
            return session.ask(["id -un"])[0]

    results = in_parallel({"bonnie": lambda: ask(host), "kitt": lambda: ask(lost), "rover": lambda: ask(host)}, cap=2)
    assert [results["bonnie"], results["rover"]] == ["root\n", "root\n"]
    assert str(results["kitt"]).startswith("kitt (")
