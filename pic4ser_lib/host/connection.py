"""One node's SSH connection: opened once with host keys checked, kept, and shared by all sessions with the node."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pic4ser_lib.errors import HostError, PicError, Unreachable
from pic4ser_lib.host.parallel import current_stop
from pic4ser_lib.host.password import once
from pic4ser_lib.host.session import Session
from pic4ser_lib.host.shell import AGAIN, RootShell
from pic4ser_lib.host.trouble import changed_host_key, is_foreign, unknown_host_key, unreachable

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

CONNECTING = 10.0
"""Seconds for TCP, for sshd's banner, for authentication and for a channel; each on its own."""
SESSIONS = 8
"""Channels at once: sshd's MaxSessions is 10 by default, and the site's lock holds one."""
_KEEPALIVE = 15
_SILENCE_MS = 45_000


class Host:
    """One node over SSH. Sessions may be opened from several threads; nothing connects before the first one.

    `password` is called at most once, when sudo asks for one; what it returned stays in memory.
    """

    def __init__(self, node: Node, *, password: Callable[[], str] | None = None) -> None:
        self.node = node
        self._password = password if password is None or isinstance(password, once) else once(password)
        self._connection: Any = None
        self._connecting = threading.Lock()
        self._sessions = threading.BoundedSemaphore(SESSIONS)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """One exec channel on the kept connection, with a root shell at its other end.

        Raises Unreachable (no SSH that we trust), ConsentMissing (sudo wants a password and nobody can be asked) or
        HostError (not root after all, or the line dropped).
        """
        if not self._sessions.acquire(timeout=600):
            raise HostError(
                node=self.node.name, seen=f"all {SESSIONS} sessions have been busy for 600 s.", remedy=AGAIN
            )
        try:
            shell = self.root_shell()
            try:
                yield Session(self.node, shell)
            finally:
                shell.close()
        finally:
            self._sessions.release()

    def root_shell(self) -> RootShell:
        """A root shell on a channel of its own, for the caller to close."""
        current_stop().check()
        channel = self._channel()
        shell = RootShell(self.node, channel, user=self._connection.user, password=self._password)
        shell.open()
        return shell

    def know_password(self) -> None:
        """Ask for the sudo password now, unless it is known. Raises ConsentMissing when nobody can be asked."""
        if self._password is not None:
            self._password()

    def close(self) -> None:
        """End the connection, if there is one."""
        with self._connecting:
            self._drop()

    def __repr__(self) -> str:
        return f"Host({self.node.name})"

    def _channel(self) -> Any:
        """A new channel; a kept connection that turns out to be dead is opened once more, since nothing was sent."""
        with self._connecting:
            kept = self._connection is not None and self._connection.is_connected
            if not kept:
                self._connect()
            try:
                return self._connection.transport.open_session(timeout=CONNECTING)
            except Exception as error:
                if not is_foreign(error):
                    raise
                if not kept:
                    raise unreachable(self.node, error) from error
            self._connect()
            try:
                return self._connection.transport.open_session(timeout=CONNECTING)
            except Exception as error:
                raise unreachable(self.node, error) from error

    def _connect(self) -> None:
        self._drop()
        self._connection = _connected(self.node)

    def _drop(self) -> None:
        if self._connection is not None:
            _close(self._connection)
            self._connection = None


def _connected(node: Node) -> Any:
    """An open fabric.Connection with checked host keys. Raises Unreachable for whatever goes wrong."""
    logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its tracebacks reach stderr
    connection = None
    try:
        connection = _configured(node)
        if not connection.gateway:
            connection.connect_kwargs["sock"] = _socket(connection.host, connection.port)
        connection.open()
        connection.transport.set_keepalive(_KEEPALIVE)
        return connection
    except BaseException as error:
        if connection is not None:
            _close(connection)
        if isinstance(error, PicError) or not isinstance(error, Exception):
            raise
        if type(error).__name__ == "BadHostKeyException":
            raise changed_host_key(node, _known_as(connection), error, _known_hosts_text(node)) from error
        raise unreachable(node, error) from error


def _configured(node: Node) -> Any:
    """fabric's reading of the node and of the user's ssh_config; nothing is opened yet."""
    from fabric import Connection

    ssh = node.ssh
    seconds = int(CONNECTING)
    gateway = None
    if ssh.gateway:
        gateway = Connection(ssh.gateway, connect_timeout=seconds, connect_kwargs=_settings(node))
    connection = Connection(
        node.address,
        user=ssh.user or None,
        port=None if ssh.port == 22 else ssh.port,  # 22 is a site's default: then ~/.ssh/config may know better
        gateway=gateway,
        connect_timeout=seconds,
        connect_kwargs=_settings(node),
    )
    hop = connection
    while hop is not None and not isinstance(hop, str):
        _check_host_keys(hop.client, node)
        hop = hop.gateway
    return connection


def _settings(node: Node) -> dict[str, Any]:
    """How paramiko logs in. A key that the site names comes first; the agent may still help."""
    settings: dict[str, Any] = {"banner_timeout": CONNECTING, "auth_timeout": CONNECTING}
    if not node.ssh.key:
        return settings
    key = Path(node.ssh.key).expanduser()
    if not key.is_file():
        raise Unreachable(
            node=node.name,
            address=node.address,
            seen=f"the key {key} is not there",
            remedy="Set ssh.key in the site to a private key of yours (the lab's is made by `pic4ser lab up`).",
        )
    return {**settings, "key_filename": str(key), "look_for_keys": False}


def _check_host_keys(client: Any, node: Node) -> None:
    """Only keys of known_hosts are accepted; fabric by itself would take any and write it down."""
    from paramiko import RejectPolicy

    class Refuse(RejectPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            raise unknown_host_key(node, hostname, key, _known_hosts_text(node))

    for path in _known_hosts(node):
        if path.is_file():
            client.load_system_host_keys(str(path))
    client.set_missing_host_key_policy(Refuse())


def _known_hosts(node: Node) -> tuple[Path, ...]:
    if node.ssh.known_hosts:
        return (Path(node.ssh.known_hosts).expanduser(),)
    return (Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts"))


def _known_hosts_text(node: Node) -> str:
    return str(_known_hosts(node)[0])


def _known_as(connection: Any) -> str:
    return connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"


def _socket(host: str, port: int) -> socket.socket:
    """TCP without Nagle's delay (48 ms a channel with it, 12 without), and with an end to silence."""
    opened = socket.create_connection((host, port), timeout=CONNECTING)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_MS)
    return opened


def _close(connection: Any) -> None:
    """Close all there is; what fails here has no meaning any more."""
    with contextlib.suppress(Exception):
        connection.client.close()
    sock = connection.connect_kwargs.get("sock")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.close()
    gateway = connection.gateway
    if gateway and not isinstance(gateway, str):
        _close(gateway)
