"""A house of its own for each module of tests: a site's folder, and small notebooks made for the purpose."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pic4ser_lib.site import Site, load

CLUSTER = """\
title: Test den
confirm: {confirm}
control_planes: [bonnie, kitt]
workers: [rover]
ssh: {{user: nobody}}
endpoint: {{name: k8s-api.test.internal}}
versions: {{kubernetes: 1.36.3, containerd: 2.4.2, flannel: 0.28.10}}
stand_ins:
  - {{name: nothing at all, instead_of: machines, does_not_prove: that anything works}}
"""
PARAMETERS = 'site = "parameters/lab"\nnode = "*"\nmode = "apply"'
NOTE = """\
import os
from pic4ser_lib.journal import Journal
from pic4ser_lib.steps import Outcome, Record
from pathlib import Path
journal = Journal(Path(os.environ["PIC4SER_JOURNAL"]))
def keep(step, outcome, on, **more):
    record = Record(on, step, f"{step} is so", Outcome(outcome), **more)
    journal.write({"event": "record", **record.as_dict()})
"""
END = 'journal.write({"event": "end", "ok": True})'


def notebook(*cells: str, per_node: bool = False, parameters: str = PARAMETERS) -> nbformat.NotebookNode:
    """A notebook with a parameters cell, what a binding gives, and these cells."""
    made = new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    if per_node:
        made.metadata["pic4ser"] = {"scope": "node"}
    made.cells = [new_code_cell(textwrap.dedent(cell)) for cell in (parameters, NOTE, *cells)]
    made.cells[0].metadata["tags"] = ["parameters"]
    return made


Make = Callable[..., Site]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a house with these notebooks (name to notebook) and returns its site."""

    def made(books: dict[str, nbformat.NotebookNode], *, confirm: bool = False) -> Site:
        root = tmp_path_factory.mktemp("house")
        site = root / "parameters" / "den"
        (site / "nodes").mkdir(parents=True)
        (root / "notebooks").mkdir()
        (site / "cluster.yaml").write_text(CLUSTER.format(confirm=str(confirm).lower()))
        for number, name in enumerate(("bonnie", "kitt", "rover"), 11):
            (site / "nodes" / f"{name}.yaml").write_text(f"address: 192.0.2.{number}\n")
        for name, book in books.items():
            nbformat.write(book, root / "notebooks" / f"{name}.ipynb")
        return load(site)

    return made
