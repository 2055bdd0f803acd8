"""Files on a node: how a probe shows them, how an answer is read, and how one is edited without losing anything.

A probe prints a file as a header and its lines, each behind a bar, so that fixtures stay readable and no content
can be taken for a header:

    /etc/fstab: 644
    | UUID=5f3c / ext4 defaults 0 1
    /etc/containerd/config.toml: absent
    $ containerd config dump: 0
    | version = 3
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pic4ser_lib.steps import Action, Refused, RemoveFile, Shell, Step, WriteFile

NO_NEWLINE = "\\ no newline at the end"
_FUNCTION = (
    "show() { for f; do "
    'if [ -f "$f" ]; then echo "$f: $(stat -Lc %a "$f")"; sed "s/^/| /" "$f"; '
    f"[ -z \"$(tail -c 1 \"$f\" | tr '\\0' x)\" ] || printf '\\n%s\\n' '{NO_NEWLINE}'; "
    'else echo "$f: absent"; fi; done; }; '
)
_HEADER = re.compile(r"((?:/|\$ ).*): (absent|[0-7]{1,4})")


@dataclass(frozen=True)
class File:
    """What a file holds."""

    path: str
    content: str
    mode: int = 0o644

    def __str__(self) -> str:
        lines = self.content.count("\n")
        return f"{self.path} ({lines} line{'' if lines == 1 else 's'})"


Files = Mapping[str, File | None]
"""By path; None where there is no such file."""


def show(*paths: str, patterns: Iterable[str] = ()) -> str:
    """A snippet for a probe that prints files so that `shown` can read them; `patterns` are left to the shell."""
    words = [*map(shlex.quote, paths), *patterns]
    return f"shopt -s nullglob; {_FUNCTION}show {' '.join(words)}"


def output(command: str) -> str:
    """A snippet that prints a command's output as a file named `$ command`, with the exit code in the mode's place.

    What it says on standard error is kept only when it fails. A command that is not there ends with 127.
    """
    return (
        f"said=$(mktemp); out=$({command} 2>\"$said\"); code=$?; printf '$ %s: %o\\n' {shlex.quote(command)} $code; "
        '{ printf "%s\\n" "$out"; [ $code = 0 ] || cat "$said"; } | sed "s/^/| /"; rm -f "$said"'
    )


def shown(raw: str) -> dict[str, File | None]:
    """The files in a probe's answer, by path. Other lines of the answer are passed over."""
    found: dict[str, File | None] = {}
    path, state, lines = "", "absent", list[str]()
    for line in raw.split("\n"):
        if header := _HEADER.fullmatch(line):
            (path, state), lines = header.groups(), []
        elif path and line.startswith("|"):
            lines.append(line[2:] + "\n")
        elif path and line == NO_NEWLINE and lines:
            lines[-1] = lines[-1].removesuffix("\n")
        else:
            path = ""
        if path:
            found[path] = None if state == "absent" else File(path, "".join(lines), int(state, 8))
    return found


def edited(path: str, seen: File | None, content: str) -> list[Action]:
    """What puts `content` in place: nothing when it is there already. Keeps the file's mode.

    Raises Refused for a file that is not UTF-8 text: rewriting it would lose what somebody wrote.
    """
    if seen is None:
        return [WriteFile(path, content)]
    if seen.content == content:
        return []
    if any(char == "\ufffd" or "\ud800" <= char <= "\udfff" for char in seen.content):
        raise Refused(f"{path} can be edited as text", f"{path} is not UTF-8", f"Convert {path} to UTF-8 by hand.")
    return [WriteFile(path, content, before=seen.content, mode=seen.mode)]


@dataclass(frozen=True)
class Contents:
    """What `Written` read."""

    files: tuple[tuple[str, File | None], ...]

    def __str__(self) -> str:
        return ", ".join(str(file) if file else f"no {path}" for path, file in self.files) or "nothing to write"


@dataclass(frozen=True)
class Written(Step):
    """Files that hold exactly what is given: pairs of path and content."""

    name: str
    wanted: str
    contents: tuple[tuple[str, str], ...]

    def probe(self) -> Shell:
        """The files as they are."""
        return Shell(show(*(path for path, _ in self.contents)))

    def parse(self, raw: str) -> Contents:
        """Each file, or None."""
        found = shown(raw)
        return Contents(tuple((path, found.get(path)) for path, _ in self.contents))

    def actions(self, seen: Contents) -> list[Action]:
        """Write those that differ."""
        now = dict(seen.files)
        return [action for path, content in self.contents for action in edited(path, now[path], content)]


def written(path: str, content: str) -> Written:
    """`path` holds exactly `content`."""
    return Written(f"files.written({path})", f"{path} holds what the site wants", ((path, content),))


def removed(file: File) -> RemoveFile:
    """Take a file away; the node keeps a copy."""
    return RemoveFile(file.path, before=file.content)


def put_in_place(beside: str, path: str) -> str:
    """Shell words that make a new file, whole or not at all, of one that was written beside it, also in a power cut.

    What they leave is on the disk, its folder too where that was made for it.
    """
    folder = posixpath.dirname(path)
    kept = " ".join(map(shlex.quote, (folder, posixpath.dirname(folder))))
    new, old = shlex.quote(beside), shlex.quote(path)
    return f"sync -- {new} && mv -fT {new} {old} && sync -- {kept}"
