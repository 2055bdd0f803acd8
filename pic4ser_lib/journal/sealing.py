"""A run's journals together: the seal over all of them, and run.json, which keeps it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pic4ser_lib.journal.chain import Head, State, Verdict, verify
from pic4ser_lib.journal.secrets import known, redacted
from pic4ser_lib.journal.writing import sync_folder


def verify_run(folder: Path, *, seal: str = "") -> tuple[Verdict, ...]:
    """One verdict a journal of a run's folder, compared with what run.json sealed (if the run got that far).

    With `seal`, what the run printed: one more verdict, which is good only if nothing at all was edited since.
    """
    sealed = {head.name: head for head in _sealed(folder)}
    paths = {path.name: path for path in _journals(folder)}
    verdicts = [_against(verify(path), sealed, name) for name, path in sorted(paths.items())]
    verdicts += [Verdict(State.MISSING, head) for name, head in sorted(sealed.items()) if name not in paths]
    if seal:
        heads = [verdict.head for verdict in verdicts if verdict.state is not State.MISSING]
        now = Head("seal", len(heads), seal_of(heads))
        same = now.hash == seal.strip() and all(verdict.good for verdict in verdicts)
        verdicts.append(Verdict(State.OK if same else State.UNSEALED, now, note="" if same else f"now {now.hash}"))
    return tuple(verdicts)


def seal(paths: Iterable[Path]) -> str:
    """One hash over the names, counts and last hashes of journals; keep it where nobody can edit it."""
    return seal_of(verify(path).head for path in paths)


def seal_of(heads: Iterable[Head]) -> str:
    """The same for heads that are known already."""
    rows = sorted([head.name, head.count, head.hash] for head in heads)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_run(folder: Path, run: Mapping[str, Any]) -> str:
    """Write run.json, atomically: `run`, the heads of the folder's journals and their seal, which is returned."""
    heads = [verify(path).head for path in _journals(folder)]
    sealed = seal_of(heads)
    journals = [{"name": head.name, "count": head.count, "hash": head.hash} for head in heads]
    content = redacted({**run, "journals": journals, "seal": sealed}, known())
    _replace(folder / "run.json", json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
    return sealed


def _against(verdict: Verdict, sealed: Mapping[str, Head], name: str) -> Verdict:
    """Not what run.json says: somebody recomputed the chain, or cut lines off its end."""
    if not verdict.good or not sealed or sealed.get(name) == verdict.head:
        return verdict
    known = sealed.get(name)
    note = f"run.json counted {known.count}" if known else "run.json does not know it"
    return Verdict(State.UNSEALED, verdict.head, note=note)


def _sealed(folder: Path) -> list[Head]:
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        return [Head(str(one["name"]), int(one["count"]), str(one["hash"])) for one in run["journals"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _journals(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.jsonl"))


def _replace(path: Path, text: str) -> None:
    """A whole new file or the old one, also after a power cut."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
