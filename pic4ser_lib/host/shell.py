"""A root shell on one exec channel: opened with or without a password, then unit by unit."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pic4ser_lib.errors import ConsentMissing, HostError
from pic4ser_lib.host.parallel import current_stop
from pic4ser_lib.host.password import once
from pic4ser_lib.host.scripts import KILL_AFTER, MARKS, Driver, new_nonce
from pic4ser_lib.host.trouble import is_foreign

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

T = TypeVar("T")

OPENING = 30.0
"""Seconds that a node has to make us root."""
GRACE = KILL_AFTER + 15.0
"""Seconds after a unit's own deadline in which its end mark must have arrived."""
ANSWER_LIMIT = 256 * 1024 * 1024
AGAIN = "Run this again: it reads the node's state anew and goes on from there."


class RootShell:
    """One channel with a bash of root's at its other end. Not for two threads at once."""

    def __init__(self, node: Node, channel: Any, *, user: str, password: once | None) -> None:
        self._node = node
        self._channel = channel
        self._user = user
        self._password = password
        self._driver = Driver(new_nonce(), as_root_already=user == "root")
        self._received = bytearray()
        self._closed = threading.Event()
        self._stop = current_stop()

    def open(self) -> None:
        """Become root. Raises ConsentMissing without a password that is needed, HostError for all that fails."""
        self._stop.add(self)
        self._guarded(self._begin, "becoming root")

    def run(self, unit: str, end: re.Pattern[bytes], *, timeout: float, doing: str) -> bytes:
        """What the unit said, up to and including its end mark. One unit at a time.

        Ctrl-C closes the channel: a question's output goes nowhere, and an action that was started goes on to its
        end on the node while nothing after it is begun.
        """

        def exchange() -> bytes:
            self._channel.settimeout(timeout + GRACE)
            self._channel.sendall(self._driver.framed(unit))
            return self._until(end, time.monotonic() + timeout + GRACE, doing)

        return self._guarded(exchange, doing)

    def close(self) -> None:
        """End the channel; the shell at its other end reads the end of its input and leaves."""
        self._closed.set()
        self._stop.drop(self)
        self._channel.close()

    @property
    def closed(self) -> bool:
        """Whether this shell cannot be used any more."""
        return self._closed.is_set()

    def _begin(self) -> None:
        driver = self._driver
        self._channel.set_combine_stderr(True)
        self._channel.settimeout(OPENING)
        self._channel.exec_command(driver.command())
        words = [driver.prompt, *map(driver.word, ("READY", "BUSY", "STILL"))]
        said = re.compile(b"|".join(map(re.escape, words)))
        answered = False
        deadline = time.monotonic() + OPENING
        while True:
            heard = self._until(said, deadline, "becoming root")
            if heard.endswith(driver.word("READY")):
                return
            if heard.endswith(driver.word("STILL")):
                raise self._still_acting(heard.removesuffix(driver.word("STILL")))
            if heard.endswith(driver.word("BUSY")):
                deadline = time.monotonic() + driver.patience + OPENING
                continue
            self._answer(again=answered)
            answered, deadline = True, time.monotonic() + OPENING

    def _answer(self, *, again: bool) -> None:
        """The password, in answer to our own prompt and to nothing else."""
        user, node = self._user, self._node.name
        if self._password is None:
            raise ConsentMissing(
                needed=f"the sudo password of {user} on {node}",
                remedy="Set ssh.password_sudo and run `pic4ser` on a terminal, or allow sudo without a password.",
            )
        if again:
            self._password.forget()
            raise HostError(
                node=node,
                seen=f"sudo did not accept the password of {user}.",
                remedy="Run this again to be asked anew.",
            )
        self._channel.sendall(self._password().encode() + b"\n")

    def _until(self, mark: re.Pattern[bytes], deadline: float, doing: str) -> bytes:
        """What was received up to and including `mark`; the rest is kept for later."""
        looked = 0
        while True:
            found = mark.search(self._received, max(0, looked - 256))
            if found:
                taken = bytes(self._received[: found.end()])
                del self._received[: found.end()]
                return taken
            looked = len(self._received)
            self._stop.check()
            left = deadline - time.monotonic()
            if left <= 0 or looked > ANSWER_LIMIT:
                raise self._unanswered(doing, too_much=looked > ANSWER_LIMIT)
            self._channel.settimeout(left)
            try:
                more = self._channel.recv(1 << 20)
            except TimeoutError:
                continue
            if not more:
                raise self._ended(doing)
            self._received += more

    def _unanswered(self, doing: str, *, too_much: bool) -> HostError:
        seen = "more output than anybody can want" if too_much else "no answer in time"
        remedy = AGAIN if too_much else f"Is the machine on? {AGAIN}"
        return HostError(node=self._node.name, seen=f"{seen} while {doing}.{self._last_words()}", remedy=remedy)

    def _ended(self, doing: str) -> HostError:
        self._stop.check()
        code = self._channel.recv_exit_status() if self._channel.status_event.wait(2) else -1
        if doing == "becoming root" and code >= 0:
            name = self._user
            return HostError(
                node=self._node.name,
                seen=f"{name} cannot become root.{self._last_words()}",
                remedy=f"Allow {name} to use sudo with bash there.",
            )
        how = f"the shell ended with {code}" if code >= 0 else "the connection was lost"
        remedy = AGAIN if code >= 0 else f"Is the machine on? {AGAIN}"
        return HostError(node=self._node.name, seen=f"{how} while {doing}.{self._last_words()}", remedy=remedy)

    def _still_acting(self, what: bytes) -> HostError:
        named = what.decode(errors="replace").strip() or "its name is not known"
        seen = f"an action that an earlier run began is still going on there: {named}."
        return HostError(node=self._node.name, seen=seen, remedy=AGAIN)

    def _last_words(self) -> str:
        said = MARKS.sub("", self._received[-2000:].decode(errors="replace"))
        text = said.replace(self._driver.nonce, "").strip()
        return f" It said: {text}" if text else ""

    def _guarded(self, act: Callable[[], T], doing: str) -> T:
        """Any failure, Ctrl-C among them, ends the channel; a foreign exception becomes ours."""
        if self.closed:
            raise HostError(node=self._node.name, seen=f"its session was over before {doing}.", remedy=AGAIN)
        try:
            return act()
        except BaseException as error:
            self.close()
            if is_foreign(error):
                self._stop.check()
                raise HostError(
                    node=self._node.name, seen=f"the connection was lost while {doing} ({error!r}).", remedy=AGAIN
                ) from error
            raise
