"""What is written to a node's root shell, and what its answers mean: text and bytes, no I/O.

A unit is one complete piece of bash that the driver evaluates only when it was received to its end mark. Every
answer ends with a line that begins with the unit's nonce, which nobody on the node can know beforehand: it travels
on standard input, never in an argument. So an answer may hold any bytes, and need not end with a newline.
"""

from __future__ import annotations

import base64
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

RUN_FOLDER = "/run/pic4ser"
BACKUP_FOLDER = "/var/lib/pic4ser/backup"
ACTING = f"{RUN_FOLDER}/acting"
PATIENCE = 600
"""Seconds to wait for somebody else's action on the node."""
KILL_AFTER = 10
"""Seconds between TERM and KILL for what exceeds its time."""
TAIL_BYTES = 4000

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


MARKS = re.compile(r"(?m)^[0-9a-f]{32} (\d+|begin|end) \d+\n?")  # the lines between a node's answers, in any of them


def new_nonce() -> str:
    """128 random bits as text."""
    return secrets.token_hex(16)


# ------------------------------------------------------------------------------------------- the driver


@dataclass(frozen=True)
class Driver:
    """The command of a channel: become root, say READY, then evaluate units from standard input.

    It fits every login shell (no newline, no `!`, only single quotes around it). While an action that an earlier
    session left running goes on, it says BUSY and waits up to `patience` seconds before READY (else STILL): what is
    asked afterwards is never half of somebody's action.
    """

    nonce: str
    as_root_already: bool = False
    patience: int = PATIENCE

    @property
    def prompt(self) -> bytes:
        """What sudo says, and nobody else, when it wants the password."""
        return f"password-{self.nonce}:".encode()

    def word(self, name: str) -> bytes:
        """A word that only this driver says: READY, BUSY, STILL."""
        return f"\n{name}-{self.nonce}\n".encode()

    def command(self) -> str:
        """The command line of the exec channel."""
        bash = f"/bin/bash --noprofile --norc -c '{self._program()}'"
        if self.as_root_already:
            return bash
        return f"sudo -S -H -p {self.prompt.decode()} -- {bash}"

    def _program(self) -> str:
        wait = (
            f"if [ -s {ACTING} ]; then flock -n -s {ACTING} true || "
            f"{{ {_say('BUSY', self.nonce)}; cat {ACTING}; flock -s -w {self.patience} {ACTING} true || "
            f"{{ {_say('STILL', self.nonce)}; exit 96; }}; }}; fi"
        )
        loop = (
            'while read -r size; do unit=$(head -c "$size"); case $unit in '
            f'*"#END-{self.nonce}") eval "$unit" </dev/null;; *) exit 97;; esac; done'
        )
        first = f'export LC_ALL=C.UTF-8 PATH={_PATH}; umask 022; cd /; trap "" HUP'
        return f"{first}; {wait}; {_say('READY', self.nonce)}; exec 2>/dev/null; {loop}"

    def framed(self, unit: str) -> bytes:
        """A unit as it is sent: its length, its text, and the mark without which it is not evaluated."""
        payload = f"{unit}\n#END-{self.nonce}".encode()
        return f"{len(payload)}\n".encode() + payload


def _say(word: str, nonce: str) -> str:
    return rf'printf "\n{word}-{nonce}\n"'


# -------------------------------------------------------------------------------------------- questions

_QUESTION = r"""
q() {
  { said=$(exec 2>&1 1>&3 3>&-; eval "$2"); } 3>&1
  code=$?
  printf '\n%s %s %s\n' NONCE "$1" "$code"
  [ "$code" -eq 0 ] && return
  [ "${#said}" -gt LIMIT ] && said=${said: -LIMIT}
  printf '%s' "$said"
  exit 0
}
"""


def question_unit(scripts: Sequence[str], nonce: str, *, timeout: float) -> str:
    """All snippets, each in its own subshell, ended by the node itself when `timeout` seconds have passed."""
    calls = [f"q {index} {shlex.quote(script)}" for index, script in enumerate(scripts)]
    body = _QUESTION.replace("NONCE", nonce).replace("LIMIT", str(TAIL_BYTES)) + "\n".join(calls)
    said = f"printf '\\n%s %s %s\\n' {nonce}"
    return f"{said} begin 0\n{_bounded(body, timeout)} </dev/null\n{said} end $?"


@dataclass(frozen=True)
class Failure:
    """Which snippet ended with what, and the end of what it said on standard error."""

    index: int
    exit: int
    said: str


def answers(raw: bytes, nonce: str, count: int) -> list[str] | Failure:
    """The snippets' outputs, or the first failure. `raw` reaches up to and including the line of the end mark."""
    pattern = re.compile(rb"\n%s (\d+|begin|end) (\d+)\n" % nonce.encode())
    found: list[str] = []
    start = 0
    for mark in pattern.finditer(raw):
        text = raw[start : mark.start()]
        start = mark.end()
        if mark[1] == b"begin":
            continue
        if mark[1] == b"end":
            return found if len(found) == count else Failure(len(found), int(mark[2]), _text(text[-TAIL_BYTES:]))
        if mark[2] != b"0":
            rest = raw[start:]
            end = pattern.search(rest)
            return Failure(int(mark[1]), int(mark[2]), _text(rest[: end.start()] if end else rest))
        found.append(_text(text))
    raise ValueError("an answer without its end mark")


def end_mark(nonce: str) -> re.Pattern[bytes]:
    """What the last line of an answer looks like."""
    return re.compile(rb"\n%s end (\d+)\n" % nonce.encode())


# ---------------------------------------------------------------------------------------------- actions

_ACTION = r"""
mkdir -p -m 700 RUN
exec 9<>ACTING
if flock -w PATIENCE 9; then
  rm -f RUN/said.*
  printf '%s, since %s\n' TITLE "$(date -u +%FT%TZ)" >ACTING
  ( umask 077; : >RUN/said.out; : >RUN/said.err )
  COMMAND
  code=$?
  if [ "$code" -ne 0 ]; then
    tail -c LIMIT RUN/said.err
    [ -s RUN/said.err ] || tail -c LIMIT RUN/said.out
  fi
  rm -f RUN/said.*
  : >ACTING
else
  code=busy
  cat ACTING
fi
exec 9>&-
[ "$code" = busy ] && printf '\n%s busy\n' NONCE
printf '\n%s end %s\n' NONCE "${code/busy/95}"
"""


def action_unit(body: str, nonce: str, *, title: str, stdin: bytes, timeout: float) -> str:
    """One action: `body` in a session of its own without a terminal, `stdin` on its standard input.

    It holds the node's lock while it runs, so that nobody asks or acts in the middle of it even when its own channel
    is gone. It goes on to its end then, or until `timeout` seconds have passed.
    """
    encoded = base64.b64encode(stdin).decode()
    source = f"< <(printf %s {encoded} | base64 -d)" if stdin else "</dev/null"
    said = f">{RUN_FOLDER}/said.out 2>{RUN_FOLDER}/said.err"
    values = {
        "TITLE": shlex.quote(title),
        "COMMAND": f"9>&- setsid --wait {_bounded(body, timeout)} {source} {said}",
        "ACTING": ACTING,
        "RUN": RUN_FOLDER,
        "LIMIT": str(TAIL_BYTES),
        "PATIENCE": str(PATIENCE),
        "NONCE": nonce,
    }
    return re.sub("|".join(values), lambda found: values[found[0]], _ACTION)


_WRITE = r"""
set -eu
[ ! -L "$path" ] || path=$(readlink -f -- "$path")
folder=$(dirname -- "$path")
made=$folder
while [ ! -d "$made" ]; do made=$(dirname -- "$made"); done
mkdir -p -- "$folder"
new=$folder/.$(basename -- "$path").pic4ser-new
trap 'rm -f -- "$new"' EXIT
rm -f -- "$new"
( set -C; umask 077; cat >"$new" )
[ "$(stat -c %s -- "$new")" = "$size" ] || { echo "only a part of $path was received" >&2; exit 1; }
if [ -e "$path" ]; then chown --reference="$path" -- "$new"; fi
chmod "$mode" -- "$new"
sync -- "$new"
if [ -e "$path" ]; then keep "$path"; fi
mv -fT -- "$new" "$path"
sync -- "$folder" "$made"
"""

_KEEP = r"""
keep() {
  kept=BACKUP$1.$(date -u +%Y%m%dT%H%M%S.%NZ)
  ( umask 077; mkdir -p -- "$(dirname -- "$kept")" )
  cp -p -- "$1" "$kept" && sync -- "$kept" "$(dirname -- "$kept")" || { rm -f -- "$kept"; return 1; }
}
""".replace("BACKUP", BACKUP_FOLDER)

_REMOVE = r"""
set -eu
if [ -e "$path" ]; then keep "$path"; fi
rm -f -- "$path"
folder=$(dirname -- "$path")
if [ -d "$folder" ]; then sync -- "$folder"; fi
"""

_RESTART = r"""
systemctl daemon-reload && systemctl restart -- "$unit" || {
  code=$?
  journalctl --no-pager -o cat -n 15 -u "$unit" >&2
  exit "$code"
}
"""


def write_script(path: str, *, mode: int, size: int) -> str:
    """Standard input becomes the file `path`, all of it or nothing; the old version is kept in the backup folder.

    A link is followed. The new file has the old one's owner, else root's. It is on the disk when the script ends.
    """
    return _with({"path": _absolute(path), "mode": f"{mode:04o}", "size": str(size)}, _KEEP + _WRITE)


def remove_script(path: str) -> str:
    """The file `path` is gone; its last version is kept in the backup folder."""
    return _with({"path": _absolute(path)}, _KEEP + _REMOVE)


def restart_script(unit: str) -> str:
    """The unit was restarted by its newest files; a failure says the end of the unit's log."""
    return _with({"unit": unit}, _RESTART)


def _absolute(path: str) -> str:
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"not an absolute path: {path}")
    return path


def _with(values: Mapping[str, str], script: str) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + script


def _bounded(body: str, timeout: float) -> str:
    """`body` in a bash of its own with a time limit; it travels on a pipe, so no argument shows it."""
    if "\0" in body:
        raise ValueError("a NUL cannot be part of a command")
    program = "'b=$(</dev/fd/8); exec 8<&-; eval \"$b\"'"
    bash = f"/bin/bash --noprofile --norc -c {program} bash"
    return f"timeout -k {KILL_AFTER} {timeout:g} {bash} 8< <(printf %s {shlex.quote(body)})"


# ------------------------------------------------------------------------------------------ said by nodes


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def masked(text: str, secret_values: Mapping[str, str]) -> str:
    """`text` with each secret, and each longer line of one, shown as its name."""
    for value, name in secret_values.items():
        lines = [line.strip() for line in value.splitlines()]
        for part in (value.strip(), *sorted(lines, key=len, reverse=True)):
            text = text.replace(part, f"<{name}>") if part == value.strip() != "" or len(part) >= 8 else text
    return text


def shortened(command: str, *, limit: int = 200) -> str:
    """The first line that says something, for an error's sentence."""
    lines = [line.strip() for line in command.splitlines() if line.strip()] or [""]
    first = lines[0] if len(lines[0]) <= limit else lines[0][:limit] + " …"
    return first + (" …" if len(lines) > 1 and not first.endswith("…") else "")
