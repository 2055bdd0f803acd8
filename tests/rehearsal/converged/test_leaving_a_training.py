"""The program of notebook 12 as two processes on this machine, with the lab's own TensorFlow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster_outside import ROOT

from pic4ser_lib.lab import cache, pins, stages

STAYS = "import multi_worker; multi_worker.main()"
LEAVES = f"import os, multi_worker; multi_worker.leave_together = lambda strategy: os._exit(0); {STAYS}"
SHORT = ("--epochs", "1", "--steps-per-epoch", "3")


@pytest.fixture
def tensorflow() -> Path:
    """The folder that the image's Python finds it in."""
    known = pins.load()
    if known.python["python"] != f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip(f"the lab's TensorFlow is for Python {known.python['python']}")
    recipe = stages.plan("training", known, cache.root()).recipes["tensorflow-cpu"]
    return recipe.folder(cache.root()) / "site"


@pytest.mark.parametrize("programs", [(LEAVES, STAYS), (STAYS, LEAVES)], ids=["first", "second"])
def test_a_worker_that_leaves_before_the_other_has_heard_from_it_fails_nobody(
    programs: tuple[str, str], tensorflow: Path, tmp_path: Path
) -> None:
    addresses, logs = free_addresses(2), [tmp_path / "0.log", tmp_path / "1.log"]
    with ExitStack() as ended:
        running = []
        for index, (program, log) in enumerate(zip(programs, logs, strict=True)):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            found = f"{tensorflow}{os.pathsep}{ROOT / 'training'}"
            env = {**os.environ, "PYTHONPATH": found, "TF_CONFIG": json.dumps(config)}
            words = [sys.executable, "-c", program, *SHORT]
            written = ended.enter_context(log.open("w"))
            running.append(subprocess.Popen(words, env=env, stdout=written, stderr=subprocess.STDOUT))
            ended.callback(running[-1].kill)
        codes = [process.wait(240) for process in running]
    assert codes == [0, 0], logs[codes.index(max(codes))].read_text()[-2000:]
    assert all('"event": "end"' in log.read_text() for log in logs)


def free_addresses(number: int) -> list[str]:
    """As many addresses of this machine, with ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
