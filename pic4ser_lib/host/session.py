"""What one does with a root shell: ask, act, make a secret's value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pic4ser_lib import steps
from pic4ser_lib.errors import CommandFailed, HostError
from pic4ser_lib.host import scripts
from pic4ser_lib.host.shell import AGAIN, RootShell
from pic4ser_lib.host.trouble import advice

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

FILE_TIMEOUT = 60.0
RESTART_TIMEOUT = 180.0
_BUSY = 95
_LATE = 124


class Session:
    """One channel to a node, as root. Made by Host.session; ends with its `with`."""

    def __init__(self, node: Node, shell: RootShell) -> None:
        self._node = node
        self._shell = shell
        self._secrets: dict[str, str] = {}

    def ask(self, scripts: Sequence[str], *, timeout: float = 60.0) -> list[str]:
        """The standard output of each snippet, exactly; all of them in one round trip.

        Each runs in its own subshell with standard input from /dev/null. The first that ends with another exit code
        than 0 raises CommandFailed with the end of its standard error; after `timeout` seconds the node ends them.
        """
        if not scripts:
            return []
        return self._ask(scripts, timeout=timeout)

    def capture(self, command: str, *, timeout: float = 60.0) -> str:
        """What `command` prints, without trailing newlines, as `$(command)` would give it."""
        return self._ask([command], timeout=timeout)[0].rstrip("\n")

    def act(self, action: steps.Action, *, reveal: Callable[[steps.Secret], str]) -> None:
        """Execute a Run, WriteFile, RemoveFile or Restart to its end. Raises CommandFailed, or HostError when the
        line drops.

        An action is begun only when the node has received all of it. Once begun it goes on to its end there, or to
        its deadline, even when this process is killed, interrupted or cut off: then nothing after it is begun, and
        the next session waits until it has ended. So apt is never torn in the middle by Ctrl-C. What exceeds its
        `timeout` is ended by the node itself (TERM, then KILL).
        """
        script, stdin, timeout = self._program(action, reveal)
        nonce = scripts.new_nonce()
        title = scripts.shortened(steps.describe(action))
        unit = scripts.action_unit(script, nonce, title=title, stdin=stdin, timeout=timeout)
        patience = timeout + scripts.PATIENCE
        raw = self._shell.run(unit, scripts.end_mark(nonce), timeout=patience, doing=f"`{title}` was going on")
        self._judge(action, raw, nonce, timeout)

    def _program(self, action: steps.Action, reveal: Callable[[steps.Secret], str]) -> tuple[str, bytes, float]:
        match action:
            case steps.Run(command=command, stdin=stdin, timeout=timeout):
                return command, self._bytes(stdin, reveal), timeout
            case steps.WriteFile(path=path, content=content, mode=mode):
                data = self._bytes(content, reveal)
                return scripts.write_script(path, mode=mode, size=len(data)), data, FILE_TIMEOUT
            case steps.RemoveFile(path=path):
                return scripts.remove_script(path), b"", FILE_TIMEOUT
            case steps.Restart(unit=unit):
                return scripts.restart_script(unit), b"", RESTART_TIMEOUT
            case _:
                raise TypeError(f"not an action for a node: {type(action).__name__}")

    def _bytes(self, content: steps.Content, reveal: Callable[[steps.Secret], str]) -> bytes:
        """The content with its secrets, which are masked from now on in all that is said."""
        parts = (content,) if isinstance(content, str) else content
        texts = []
        for part in parts:
            value = reveal(part) if isinstance(part, steps.Secret) else part
            if isinstance(part, steps.Secret):
                self._secrets[value] = part.name
            texts.append(value)
        return "".join(texts).encode("utf-8", errors="surrogateescape")

    def _ask(self, snippets: Sequence[str], *, timeout: float) -> list[str]:
        nonce = scripts.new_nonce()
        unit = scripts.question_unit(snippets, nonce, timeout=timeout)
        doing = f"asking `{scripts.shortened(snippets[0])}`" + (f" and {len(snippets) - 1} more" * (len(snippets) > 1))
        raw = self._shell.run(unit, scripts.end_mark(nonce), timeout=timeout, doing=doing)
        got = scripts.answers(raw, nonce, len(snippets))
        if isinstance(got, list):
            return got
        late = f"It was not done after {timeout:g} s." if got.exit == _LATE else ""
        known = advice(got.said)
        raise CommandFailed(
            node=self._node.name,
            command=scripts.shortened(snippets[min(got.index, len(snippets) - 1)]),
            exit=got.exit,
            stderr_tail=scripts.masked(got.said, self._secrets) or late,
            remedy=f"{known} {AGAIN}" if known else "",
        )

    def _judge(self, action: steps.Action, raw: bytes, nonce: str, timeout: float) -> None:
        mark = scripts.end_mark(nonce).search(raw)
        code = int(mark[1]) if mark else -1
        if code == 0:
            return
        said = scripts.masked(raw[: mark.start() if mark else None].decode(errors="replace"), self._secrets).strip()
        said = said.removesuffix(f"{nonce} busy").strip()
        if code == _BUSY:
            raise HostError(node=self._node.name, seen=f"another action is going on there: {said}.", remedy=AGAIN)
        command = steps.describe(action) if not isinstance(action, steps.Run) else action.command
        raise CommandFailed(
            node=self._node.name,
            command=scripts.shortened(command),
            exit=code,
            stderr_tail=said,
            remedy=_remedy(action, code, said, timeout),
        )


def _remedy(action: steps.Action, code: int, said: str, timeout: float) -> str:
    if code == _LATE:
        return f"It was ended there after {timeout:g} s."
    kept = f"{action.path} is as it was." if isinstance(action, steps.WriteFile | steps.RemoveFile) else ""
    known = advice(said)
    return " ".join(filter(None, (kept, known, AGAIN))) if kept or known else ""
