"""What README says that is known elsewhere, and the two full tables that it links to.

`python -m docs.readme` writes README's parts between `<!-- NAME:begin -->` and `<!-- NAME:end -->`, docs/document.md
and docs/stand_ins.md. `python -m docs.readme OUTPUT` also takes the last lines of a real `make rehearse` from the file
OUTPUT; there is no other way for them to get there.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PICTURES = {
    "docs/pictures/notebook.png": "Notebook 01: why, the document's commands, the cell, and the state that it proved",
    "docs/pictures/grid.svg": "The grid of a run: notebooks by nodes, and what became of their steps",
}
_GROUPS = {  # the first name after `nodes.` in a cell, and which machines that is
    "run": "every node", "one_by_one": "every node", "control_planes": "every node", "workers": "every node",
    "first": "the first control plane", "with_gpus": "the nodes with GPUs", "cluster": "the cluster",
}  # fmt: skip
_GENERATED = "<!-- Made by `python -m docs.readme` from {source}. -->\n\n"
Entry = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Write all of it. Returns 2 when OUTPUT is not a whole run's."""
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    if arguments:
        said = last_lines(Path(arguments[0]).read_text("utf-8"))
        if not said:
            print(f"{arguments[0]}: not the output of a run that ended well", file=sys.stderr)
            return 2
        text = filled(text, "rehearse", f"```\n{said}\n```")
    for name, content in pages().items():
        (ROOT / name).write_text(content, "utf-8")
    readme.write_text(with_parts(text), "utf-8")
    return 0


def pages() -> dict[str, str]:
    """The generated pages, by their paths."""
    return {"docs/document.md": document_page(entries()), "docs/stand_ins.md": stand_ins_page(stand_ins())}


def with_parts(readme: str) -> str:
    """README with its generated parts as they are now."""
    for name, content in (
        ("pictures", pictures(ROOT)),
        ("notebooks", notebooks_table(sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))),
        ("document", sections_table(entries())),
        ("stand-ins", stand_ins_summary(stand_ins())),
    ):
        readme = filled(readme, name, content)
    return readme


def filled(page: str, name: str, content: str) -> str:
    """A page with what stands between a part's marks replaced. Raises ValueError without exactly one such part."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{name}: its two marks have to stand there once")
    before, rest = page.split(begin)
    return f"{before}{begin}{content.rstrip()}\n{end}{rest.split(end)[1]}"


def last_lines(output: str) -> str:
    """How a run that ended well ends, after its overview, which the picture of its grid has. "" for anything else."""
    *_, last = re.split(r"\n\s*\n", output.replace("\r", "").strip())
    overview, took, rest = last.partition("\nTook ")
    done = all(re.fullmatch(r"\S+ +\S+ +done\b.*", line) for line in overview.splitlines())
    return f"Took {rest}" if done and took and "\nNext: " in rest else ""


# ------------------------------------------------------------------------------------------ README's parts


def pictures(root: Path) -> str:
    """The pictures that have been made."""
    made = [f"![{words}]({path})" for path, words in PICTURES.items() if (root / path).is_file()]
    return "\n\n".join(made) or "(`python -m docs.pictures` makes them from a real run.)"


def notebooks_table(paths: Iterable[Path]) -> str:
    """Notebook, what becomes true, machines."""
    rows = []
    for path in paths:
        book = json.loads(path.read_text("utf-8"))
        title, promise = _opening("".join(book["cells"][0]["source"]))
        machines = _machines(book)
        rows.append((f"[{path.stem[:2]} {title}](notebooks/{path.name})", promise, machines))
    return table(("notebook", "what becomes true", "on"), rows)


def sections_table(found: Sequence[Entry]) -> str:
    """How many of each section's commands are done as the document has them, and how many otherwise."""
    rows = []
    for section in dict.fromkeys(entry["section"] for entry in found):
        own = [entry for entry in found if entry["section"] == section]
        other = sum(bool(entry.get("otherwise")) for entry in own)
        numbers = ", ".join(sorted({entry["notebook"] for entry in own}))
        rows.append((section, numbers, str(len(own) - other), str(other)))
    total = sum(bool(entry.get("otherwise")) for entry in found)
    rows.append(("**all**", "", f"**{len(found) - total}**", f"**{total}**"))
    return table(("the document's section", "notebook", "the same", "otherwise"), rows)


def stand_ins_summary(found: Sequence[Entry]) -> str:
    """What each stands in for, folded away, and where to read what it does not prove."""
    names = "; ".join(_cell(each["instead_of"]) for each in found)
    folded = f"<details><summary>In place of what they stand</summary>\n\n{names}.\n</details>"
    return f"[All {len(found)} stand-ins, with what each does not prove](docs/stand_ins.md).\n\n{folded}\n"


def _opening(source: str) -> tuple[str, str]:
    """A notebook's title, and the first sentence of its promise as it would stand alone."""
    title, _, said = source.partition("\n")
    first = said.strip().splitlines()[0]
    promise = first.removeprefix("After this notebook ")
    return title.removeprefix("# ").strip(), promise[0].upper() + promise[1:]


def _machines(book: dict[str, Any]) -> str:
    """Which machines the cells work on; a notebook that runs once per node says so."""
    code = "\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    asked = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in asked if isinstance(node.value, ast.Name) and node.value.id == "nodes"}
    if book["metadata"]["pic4ser"]["scope"] == "node":
        return "each node by itself"
    places = dict.fromkeys(where for name, where in _GROUPS.items() if name in used)
    return ", ".join(places) or "the cluster"


# ------------------------------------------------------------------------------------------ the full tables


def entries() -> list[Entry]:
    """The document's commands, look-ups, edits and import."""
    found: list[Entry] = yaml.safe_load((ROOT / "docs/document.yaml").read_text("utf-8"))
    return found


def stand_ins() -> list[Entry]:
    """The lab's stand-ins, as its site folder names them."""
    found: list[Entry] = yaml.safe_load((ROOT / "parameters/lab/cluster.yaml").read_text("utf-8"))["stand_ins"]
    return found


def document_page(found: Sequence[Entry]) -> str:
    """Every entry of the document, section by section, with who does it and why otherwise."""
    parts = [
        "# The document's commands\n",
        "Every command of the installation document, in its order: the notebook and the step that bring about what it "
        'is for. "The same" means: the same effect, and only where it is not there yet. Else it says why not.\n',
    ]
    for section in dict.fromkeys(entry["section"] for entry in found):
        rows = [
            (f"`{entry['text']}`", _kind(entry), _steps(entry), entry.get("otherwise", "the same"))
            for entry in found
            if entry["section"] == section
        ]
        parts += [f"## {section}\n", table(("the document", "kind", "notebook and step", "how"), rows) + "\n"]
    return _GENERATED.format(source="docs/document.yaml") + "\n".join(parts)


def stand_ins_page(found: Sequence[Entry]) -> str:
    """Every stand-in of the lab, with what it is there for and what it does not prove."""
    rows = [
        (each["name"], each["instead_of"], each["does_not_prove"], "upstream's" if each.get("online") else "the same")
        for each in found
    ]
    parts = [
        "# What the rehearsal lab's stand-ins do not prove\n",
        "Everything that is not named here is real in the lab: the cluster, its etcd and network, helm, the Prometheus "
        "operator, the training operator, TensorFlow. A run's report names these, too.\n",
        table(("in the lab", "instead of", "does not prove", "with `--online`"), rows),
    ]
    return _GENERATED.format(source="stand_ins in parameters/lab/cluster.yaml") + "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar inside a cell is escaped, also in code."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _kind(entry: Entry) -> str:
    return str(entry["kind"])


def _steps(entry: Entry) -> str:
    return " ".join([entry["notebook"], *(f"`{step}`" for step in entry.get("step", ()))])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
