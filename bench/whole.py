"""The whole installation, once by the runbook and once by shell scripts, each on freshly booted machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pic4ser_lib.site import Node, load

ROOT = Path(__file__).parents[1]
SITE = ROOT / "parameters" / "lab"
SCRIPTS = ROOT / "bench" / "scripts"
NOTEBOOKS = ("00", "01", "02", "03", "04")
PIC4SER = (sys.executable, "-c", "from pic4ser_lib.cli import main; main()")


def fresh() -> None:
    """The lab with plain machines."""
    said(*PIC4SER, "lab", "down")
    said(*PIC4SER, "lab", "up", str(SITE))


def by_runbook(*, nodes: str = "*") -> float:
    """Seconds of `pic4ser run` with the notebooks of the document's "Installation"."""
    only = [word for number in NOTEBOOKS for word in ("--only", number)]
    began = time.perf_counter()
    said(*PIC4SER, "run", str(SITE), "--node", nodes, *only)
    return time.perf_counter() - began


def by_hand() -> float:
    """Seconds of the same commands as shell scripts over ssh: nodes side by side where the runbook has them so."""
    site = load(SITE)
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=len(site.nodes)) as pool:
        list(pool.map(lambda node: _script(node, "setup_node.sh"), site.nodes))
        *_, as_control_plane, as_worker = _script(site.first, "init.sh").splitlines()
        for node in site.control_planes[1:]:
            _on(node, as_control_plane)
        list(pool.map(lambda node: _on(node, as_worker), site.workers))
    _script(site.first, "network.sh")
    _script(site.first, "taint.sh")
    return time.perf_counter() - began


def last_run() -> Path:
    """The folder of the newest run."""
    return max((ROOT / "runs" / "lab").glob("*/run.json"), key=lambda path: path.stat().st_mtime).parent


def proofs(run: Path) -> float:
    """Seconds that a run spent on proofs: pods that it started to show that the cluster works."""
    return sum(float(entry["seconds"]) for entry in _records(run) if entry["kind"] == "proof")


def actions(run: Path) -> int:
    """How many changing commands a run's journal has."""
    return sum(len(entry["actions"]) for entry in _records(run))


def said(*words: str, stdin: str = "") -> str:
    """What a command printed; ends the benchmark with the command's own words if it fails."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=3600)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def _records(run: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((run / "journal").glob("*.jsonl")):
        for text in path.read_text("utf-8").splitlines():
            entry = json.loads(text)
            if entry.get("event") == "record":
                yield entry


def _script(node: Node, name: str) -> str:
    return _on(node, (SCRIPTS / name).read_text("utf-8"))


def _on(node: Node, script: str) -> str:
    return said(*_ssh(node), "sudo -n bash -s", stdin=script)


def _ssh(node: Node) -> Sequence[str]:
    options = ("-o", f"UserKnownHostsFile={node.ssh.known_hosts}", "-o", "StrictHostKeyChecking=yes")
    return ("ssh", "-F", "none", "-i", str(node.ssh.key), *options, f"{node.ssh.user}@{node.address}")
