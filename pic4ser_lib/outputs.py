"""Writes the outputs of the committed notebooks: executes them in place on the converged lab, keeps what is stable.

`python -m pic4ser_lib.outputs` is the only way outputs get into the repository. A committed output is true on any
site and any day: text and figures stay; HTML, progress on standard error, and times are dropped. A notebook that
fails is left as it was.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

KEPT = frozenset({"text/plain", "image/png"})
"""What is committed of an output, by its MIME type."""

_ABOUT_NOTEBOOK = frozenset({"kernelspec", "language_info", "pic4ser"})
_LANGUAGE = {"name": "python"}


def main(arguments: list[str]) -> int:
    """Execute the named notebooks, or all of notebooks/. Returns 1 at the first one whose cell raises."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    paths = [Path(a) for a in arguments] or sorted(Path("notebooks").glob("[0-9][0-9]_*.ipynb"))
    for path in paths:
        print(f"{path}: is executed", file=sys.stderr, flush=True)
        try:
            _write(path, stripped(executed(path)))
        except CellExecutionError as error:
            print(f"{path}: {error.ename}: {error.evalue}", file=sys.stderr)
            return 1
        except DeadKernelError:
            print(f"{path}: the kernel died", file=sys.stderr)
            return 1
    return 0


def executed(path: Path) -> NotebookNode:
    """The notebook with fresh outputs, run where JupyterLab and nbval would run it: in its own folder."""
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    book: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="pic4ser-") as folder:
        # Nobody's IPython profile may change what an output looks like; sockets in a private folder, not TCP ports.
        ways = {"transport": "ipc", "ip": f"{folder}/socket", "connection_file": f"{folder}/kernel.json"}
        client = NotebookClient(
            book, kernel_name="python3", record_timing=False,
            config=Config({"AsyncKernelManager": ways}), resources={"metadata": {"path": str(path.parent)}},
        )  # fmt: skip
        client.execute(env={**os.environ, "IPYTHONDIR": f"{folder}/ipython"})
    return book


def stripped(book: NotebookNode) -> NotebookNode:
    """The same notebook with nothing in it that differs by run, machine or site."""
    kept = {key: value for key, value in book.metadata.items() if key in _ABOUT_NOTEBOOK}
    book.metadata = type(book)({**kept, "language_info": _LANGUAGE})
    for cell in book.cells:
        cell.metadata = type(book)({key: value for key, value in cell.metadata.items() if key == "tags"})
        if cell.cell_type == "code":
            cell.outputs = [_stable(output) for output in cell.outputs if _is_kept(output)]
    return book


def _is_kept(output: dict[str, Any]) -> bool:
    if output["output_type"] == "stream":
        return bool(output["name"] == "stdout")
    return bool(KEPT & set(output.get("data", ())))


def _stable(output: Any) -> Any:
    if "data" in output:
        output.data = type(output)({kind: value for kind, value in output.data.items() if kind in KEPT})
        output.metadata = type(output)()
    return output


def _write(path: Path, book: NotebookNode) -> None:
    import nbformat

    nbformat.validate(book)
    text = json.dumps(_with_lines(book), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def _with_lines(book: NotebookNode) -> Any:
    """Text as lists of lines, as Jupyter writes it: a change of one line is one line in a diff."""
    from nbformat.v4.rwbase import split_lines

    return split_lines(book)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
