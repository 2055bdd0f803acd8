"""A folder with a JupyterLab on it, as the tests in a browser use it."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@dataclass(frozen=True)
class House:
    """A folder as a user of JupyterLab has it: parameters/, notebooks/, and its server."""

    path: Path
    url: str

    def notebook(self, name: str, *cells: str, site: str = "parameters/quiet") -> str:
        """A notebook with a binding and these code cells; the address at which JupyterLab opens it alone."""
        made = new_notebook()
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made.metadata["language_info"] = {"name": "python"}  # without it JupyterLab asks which kernel to take
        first = f"from steps_on_show import *\nfrom pic4ser_lib import bind\nnodes = bind({site!r})\nnodes"
        made.cells = [new_markdown_cell(f"# {name}"), *(new_code_cell(cell) for cell in (first, *cells))]
        nbformat.write(made, self.path / "notebooks" / f"{name}.ipynb")
        return self.url.replace("/lab?", f"/lab/tree/notebooks/{name}.ipynb?reset&")

    def kernel_waits(self, address: str) -> bool:
        """Whether the server has a kernel for the notebook at this address that has nothing to do."""
        with urllib.request.urlopen(self.url.replace("/lab?", "/api/sessions?"), timeout=60) as answer:
            sessions = json.load(answer)
        return any(s["path"] in address and s["kernel"]["execution_state"] == "idle" for s in sessions)
