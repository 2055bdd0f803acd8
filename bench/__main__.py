"""python -m bench [whole] [state] [import]: figures as ratios, each pair measured in one run on one machine.

Takes the lab down and boots it, several times. Nothing here is a test: a busy machine changes seconds, ratios less.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench import figures, whole

LIBRARY = "import pic4ser_lib"
IMPORTS_OF_01 = "from pic4ser_lib import bind, containerd, kernel, packages, services, swap"
PARTS = ("whole", "state", "import")


def main() -> None:
    """Measures the parts that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--pairs", type=int, default=0, help="how many pairs (0: 1 of the whole, 5 of the rest)")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
    print(f"{os.cpu_count()} cores carry the lab and what is measured, load {os.getloadavg()[0]:.1f} at the start")
    measures = {"whole": measure_whole, "state": measure_state, "import": measure_import}
    for part in asked.parts or PARTS:
        for text in measures[part](asked.pairs or (1 if part == "whole" else 5)):
            print(text, flush=True)


def measure_whole(count: int) -> list[str]:
    """The first run of 00-04 against shell scripts on fresh machines; then the second run, which changes nothing."""

    def ours() -> float:
        whole.fresh()
        return whole.by_runbook()

    def scripts() -> float:
        whole.fresh()
        return whole.by_hand()

    found = figures.pairs(ours, scripts, count=count)
    first = whole.last_run()
    again, second = whole.by_runbook(), whole.last_run()
    return [
        figures.line("first run of 00-04 / the same commands as shell scripts", found, target=1.2),
        f"  of our last one, {whole.proofs(first):.1f} s went into proofs, which the scripts have none of",
        f"  second run: {again:.1f} s, {whole.actions(second)} changing commands in its journal"
        f" (the first had {whole.actions(first)})",
    ]


def measure_state(count: int) -> list[str]:
    """The cells of 01 on a converged lab against reading by hand; what papermill and a kernel add."""
    site = str(whole.SITE)
    measured = functools.partial(_child, site=site)
    share = figures.pairs(lambda: _papermill(site), lambda: measured("cells")["seconds"], count=count)
    added = statistics.median(pair.ours - pair.other for pair in share)
    by_hand = figures.pairs(lambda: measured("cells")["seconds"], lambda: measured("by-hand")["seconds"], count=count)
    same = figures.pairs(
        lambda: measured("cells")["seconds"], lambda: measured("same-questions")["seconds"], count=count
    )
    once = figures.pairs(_without_the_last, lambda: measured("by-hand")["seconds"], count=count)
    return [
        figures.line("cells of 01, nothing to change, 3 nodes / the state read by hand", by_hand, target=1.5),
        figures.line("  without the last cell, which asks everything a second time", once),
        figures.line("  all cells / the library's own questions in one script", same),
        f"  papermill and a kernel add {added:.2f} s to the cells, imports included",
    ]


def measure_import(count: int) -> list[str]:
    """What `import pic4ser_lib` costs, alone and with what notebook 01 imports."""
    library, notebook = (
        1000 * statistics.median(_import_seconds(text) for _ in range(count)) for text in (LIBRARY, IMPORTS_OF_01)
    )
    return [f"{LIBRARY}: {library:.0f} ms, target 300", f"  {IMPORTS_OF_01}: {notebook:.0f} ms"]


def _without_the_last() -> float:
    took = _child("cells", site=str(whole.SITE))
    return took["seconds"] - took["again"]


def _child(way: str, *, site: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(whole.said(sys.executable, "-m", "bench.cells", way, site))
    return found


def _papermill(site: str) -> float:
    with tempfile.TemporaryDirectory(prefix="pic4ser-bench-") as folder:
        words = ["-m", "pic4ser_lib.runbook.execution", "notebooks/01_setup_nodes.ipynb", f"{folder}/out.ipynb"]
        os.environ["PIC4SER_JOURNAL"] = f"{folder}/journal.jsonl"
        began = time.perf_counter()
        whole.said(sys.executable, *words, f"site={site}", "node=*", "mode=apply")
        del os.environ["PIC4SER_JOURNAL"]
        return time.perf_counter() - began


def _import_seconds(statement: str) -> float:
    program = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


main()
