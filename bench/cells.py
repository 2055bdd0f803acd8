"""One measurement in a process of its own: the cells of notebook 01 on all nodes, or the same state read by hand.

    python -m bench.cells cells|by-hand|same-questions SITE

Prints JSON with the seconds. Everything is done twice, each time with new connections, and the second time counts:
by then everything is imported, on every side.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "01_setup_nodes.ipynb"
READ_STATE = ROOT / "bench" / "scripts" / "read_state.sh"


def main(way: str, site: str) -> dict[str, float]:
    """The seconds that this way takes."""
    from pic4ser_lib.site import load

    if way == "cells":
        return _second(lambda: cells(site))
    nodes = load(site).nodes
    script = READ_STATE.read_text() if way == "by-hand" else same_questions(site)
    return _second(lambda: by_hand(nodes, script))


def cells(site: str) -> dict[str, float]:
    """Every cell of the notebook in its order, in this process; `again` is the last one, which asks all once more."""
    namespace: dict[str, Any] = {"site": site, "node": "*", "mode": "apply"}
    took: dict[str, float] = {}
    for number, source in enumerate(_sources()):
        began = time.perf_counter()
        exec(compile(source, f"cell {number}", "exec"), namespace)
        took[source] = time.perf_counter() - began
    for host in namespace["nodes"].bound.ways.hosts.values():
        host.close()
    return {"seconds": sum(took.values()), "again": took["nodes.verify()"]}


def same_questions(site: str) -> str:
    """One script with the library's own questions of notebook 01, each asked once."""
    from pic4ser_lib.steps import Shell

    namespace: dict[str, Any] = {"site": site, "node": "*", "mode": "verify"}
    for source in _sources():
        exec(source, namespace)
    kernel = namespace["nodes"].kernel
    for host in kernel.ways.hosts.values():
        host.close()
    first = kernel.site.first.name
    probes = [step.probe() for name, step in kernel.wanted if name == first]
    questions = [q for probe in probes for q in (probe if isinstance(probe, tuple) else (probe,))]
    return "\n".join(f"(\n{question.script}\n)" for question in questions if isinstance(question, Shell))


def by_hand(nodes: Iterable[Any], script: str) -> dict[str, float]:
    """The script on each node at once, one connection and one channel a node, with Fabric and nothing of ours."""
    began = time.perf_counter()
    nodes = list(nodes)
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        said = list(pool.map(lambda node: _read(node, script), nodes))
    assert all("containerd.io" in text for text in said), "a node that is not set up: run `pic4ser run` first"
    return {"seconds": time.perf_counter() - began}


def _read(node: Any, script: str) -> str:
    from fabric import Connection
    from paramiko import RejectPolicy

    arguments = {"key_filename": str(node.ssh.key), "allow_agent": False, "look_for_keys": False}
    with Connection(node.address, user=node.ssh.user, port=node.ssh.port, connect_kwargs=arguments) as connection:
        connection.client.load_host_keys(str(node.ssh.known_hosts))
        connection.client.set_missing_host_key_policy(RejectPolicy())
        ran = connection.run(f"sudo -n bash -c {shlex.quote(script)}", hide=True, warn=True, in_stream=False)
    return str(ran.stdout)


def _sources() -> list[str]:
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    return [source for source in code if not source.startswith("site = ")]


def _second(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    measure()
    return measure()


if __name__ == "__main__":
    os.environ["PIC4SER_RUN_ID"] = f"bench-{os.getpid()}"  # the second time passes the first one's lock
    with tempfile.TemporaryDirectory(prefix="pic4ser-bench-") as folder:
        os.environ["PIC4SER_JOURNAL"] = str(Path(folder, "journal.jsonl"))
        os.chdir(ROOT)
        print(json.dumps(main(*sys.argv[1:])))
    sys.stdout.flush()
    os._exit(0)  # the journals' folder is gone, and connections may end as they like
