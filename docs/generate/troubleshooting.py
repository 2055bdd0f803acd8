"""The page of errors: every kind there is, and every sentence that the library can raise, by the notebook it stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from docs.generate.markdown import anchor, heading, page, plain
from docs.generate.notebooks import LIBRARY, Notebook
from docs.generate.raised import Kind, Raised, kinds, raised
from docs.generate.sentences import own_words
from docs.generate.source import Library

# What to do about an error of a kind that says no remedy of its own. A kind without a line here fails the build.
NEXT = {
    "PicError": "Read its sentence: it says what was wanted, what was seen and what to do.",
    "SiteError": "Mend what each line names; nothing was touched. Then run the same command or cell again.",
    "HostError": "Look at that node, then run the cell again: it reads the node's state anew.",
    "Unreachable": "Try `ssh` to that address yourself; once that works, run the cell again.",
    "CommandFailed": "Read what the command said, mend that on the node, and run the cell again.",
    "ClusterError": "Look at the cluster with `pic4ser status`, then run the cell again.",
    "StepFailed": "Mend what was seen, then run the cell again: what is done already is not done twice.",
    "StepRefused": "Nothing was changed. Decide yourself what should happen to what was seen, then run the cell again.",
    "DeadlinePassed": "Look at what was seen last; running the cell again goes on waiting from here.",
    "GroupFailed": "The other nodes are done. Mend those it names, each by its own sentence, then run the cell again.",
    "SiteBusy": "Wait until that run has ended, then run this again.",
    "ConsentMissing": "Start the run with `pic4ser run` on a terminal, or step through the notebook in JupyterLab.",
    "ArtifactError": "Mend what it names, then run `pic4ser lab up` again: what is built stays built.",
    "LabError": "Mend what it names, then run `pic4ser lab up` again.",
    "JournalFailed": "Make room or give write permission where the journal lies, then run this again.",
}
SUBJECTS = {
    "site": "The site's folder",
    "host": "The way to a node",
    "cluster": "The cluster's API",
    "lab": "The rehearsal lab",
    "runbook": "Runs and their reports",
    "journal": "The journal of a run",
    "cli": "The command line",
    "preflight": "Before you start",
}
CELLS = "Cells, runs and questions"
"""Where everything goes that is neither a subject of its own nor an operation."""

_INTRODUCTION = """\
Every error that is raised on purpose says who, what was wanted, what was seen, and what to do now.
Look for the words you see after "saw" or after the last colon: the search field knows this page.
What stands between « and » differs from case to case: «node» is the name of one of your machines.

Running the same cell or the same command again is always safe.
A step looks first and does only what is missing, so that a run goes on where it stopped.

This page is made from the library's own source, so it has every error that the library can raise."""


def troubleshooting(library: Library, books: Sequence[Notebook]) -> str:
    """The whole page."""
    groups = grouped(raised(library), books)
    sections = [_section(title, errors, books) for title, errors in groups.items()]
    return page("Troubleshooting", _INTRODUCTION, _kinds(kinds(library)), *sections)


def grouped(errors: Iterable[Raised], books: Sequence[Notebook]) -> dict[str, list[Raised]]:
    """Title of a section to its errors: the operations in the notebooks' order, then the rest."""
    found: dict[str, list[Raised]] = {}
    for error in errors:
        found.setdefault(subject(error.module), []).append(error)
    order = [subject(f"{LIBRARY}.operations.{call.partition('.')[0]}") for book in books for call in book.calls]
    rest = [*SUBJECTS.values(), *sorted(found)]
    return {title: found[title] for title in dict.fromkeys([*order, *rest]) if title in found}


def subject(module: str) -> str:
    """The section of a module's errors."""
    first, _, rest = module.removeprefix(f"{LIBRARY}.").partition(".")
    if first != "operations":
        return SUBJECTS.get(first, CELLS)
    name = rest.split(".")[0]
    return SUBJECTS.get(name.partition("_")[0]) or name.replace("_", " ").capitalize()


def section_anchor(title: str) -> str:
    """What links to a section use."""
    return anchor("trouble", title)


def _section(title: str, errors: Sequence[Raised], books: Sequence[Notebook]) -> str:
    using = [
        book
        for book in books
        if any(title == subject(f"{LIBRARY}.operations.{c.partition('.')[0]}") for c in book.calls)
    ]
    links = ", ".join(f"[{book.number} {book.title}](chapters/{book.name}.ipynb)" for book in using)
    said = [*dict.fromkeys(_entry(error) for error in errors if error.kind != "SiteError"), *_of_files(errors)]
    used = f"Used by {links}." if links else ""
    return "\n\n".join(filter(None, [heading(title, level=2, anchor=section_anchor(title)), used, *said]))


def _entry(error: Raised) -> str:
    """What is seen as the term of a definition, and below it what was wanted and what to do."""
    wanted = plain(error.text("wanted")) if _tells(error, "wanted") else ""
    lines = [f"Wanted: {wanted}"] if wanted and wanted not in headline(error) else []
    lines.append(f"What to do: {plain(error.text('remedy') if _tells(error, 'remedy') else NEXT[error.kind])}")
    return "\n".join([headline(error), *(f": {line}" for line in lines)])


def headline(error: Raised) -> str:
    """The words by which a reader finds an error."""
    said = {name: plain(error.text(name)) for name in error.said}
    match error.kind:
        case "ClusterError":
            return f"{said.get('object') or 'API server'}: {said.get('reason', '')}"
        case "DeadlinePassed":
            return f"waited for {said['waiting_for']}"
        case "ConsentMissing":
            return f"Nobody could be asked for {said['needed']}"
        case "SiteBusy":
            return "«who» has been changing this site since «since»"
        case "LabError" | "ArtifactError":
            return f"{said.get('what') or said.get('artifact') or 'lab'}: {said['seen']}"
        case "CommandFailed":
            return f"`{error.text('command')}` ended with {said.get('exit', '')}"
    return said.get("seen", "") if _tells(error, "seen") else f"wanted {said.get('wanted')}, saw {said.get('seen')}"


def _of_files(errors: Iterable[Raised]) -> list[str]:
    """What is wrong in a site's files, by the sentence that says what is allowed; the same in several files once."""
    files: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        if error.kind == "SiteError":
            for allowed in error.said["allowed"]:
                files.setdefault((allowed, error.text("key")), []).append(error.text("file") or "the site's file")
    return [_of_file(allowed, key, list(dict.fromkeys(where))) for (allowed, key), where in files.items()]


def _of_file(allowed: str, key: str, files: Sequence[str]) -> str:
    where = plain(" or ".join(files))
    what = f"`{key}` in {where}" if key else where
    return f"{plain(allowed)}\n: What to do: mend {what}. Nothing was touched."


def _tells(error: Raised, name: str) -> bool:
    return bool(own_words(error.text(name)).strip(" .;:/"))


def _kinds(tree: Sequence[Kind]) -> str:
    title = heading("The kinds of errors", level=2, anchor="trouble-kinds")
    return "\n\n".join(
        [title, "The name stands before the sentence, in a notebook and in the journal.", *map(_kind, tree)]
    )


def _kind(kind: Kind) -> str:
    reads = [f"It reads: {plain(kind.sentence)}"] if own_words(kind.sentence).strip() else []
    lines = [plain(kind.meaning), *reads, f"What to do: {plain(NEXT[kind.name])}"]
    return "\n".join([f"`{kind.name}`", *(f": {line}" for line in lines)])
