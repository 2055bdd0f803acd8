"""What to do about a machine's own trouble: it cannot be reached, its disk is full, its clock is wrong.

Here the exceptions of paramiko, fabric and invoke end: each becomes an error of ours with a next move.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
from typing import TYPE_CHECKING, Any

from pic4ser_lib.errors import Unreachable

if TYPE_CHECKING:
    from pic4ser_lib.site import Node

_ROOMS = {"paramiko", "fabric", "invoke"}

_LET_IN = (
    "Put the public half of its key into ~{user}/.ssh/authorized_keys there, or set ssh.user and ssh.key in the site."
)
_UP = "Start the machine and sshd on it, or correct address and ssh.port in nodes/{node}.yaml."
_SETTINGS = "Correct ssh settings in nodes/{node}.yaml or in your ~/.ssh/config."
_AGAIN = "Run this again; if it stays so, look at sshd's log there: journalctl -u ssh."
_UPDATE = "Update OpenSSH on the machine, or its list of algorithms in sshd_config."

REASONS: dict[str, tuple[str, str]] = {
    "AuthenticationException": ("user {user} was refused with {key}", _LET_IN),
    "AuthFailure": ("user {user} was refused with {key}", _LET_IN),
    "UnableToAuthenticate": ("user {user} was refused with {key}", _LET_IN),
    "BadAuthenticationType": ("user {user} was refused with {key}; sshd allows other ways only ({error})", _LET_IN),
    "PartialAuthentication": ("sshd wants more than a key from user {user}", _LET_IN),
    "PasswordRequiredException": ("{key} is encrypted", "Load it into your ssh-agent: ssh-add."),
    "BadHostKeyException": ("{error}", ""),
    "NoValidConnectionsError": ("nothing answers on port {port}", _UP),
    "IncompatiblePeer": ("no common algorithm ({error})", _UPDATE),
    "ProxyCommandFailure": ("the ProxyCommand ended ({error})", _SETTINGS),
    "ChannelException": ("sshd refused a channel ({error})", "Raise MaxSessions in sshd_config there, or " + _AGAIN),
    "ConfigParseError": ("ssh_config cannot be read ({error})", _SETTINGS),
    "CouldNotCanonicalize": ("the name cannot be completed ({error})", _SETTINGS),
    "MessageOrderError": ("sshd broke the protocol's order ({error})", _UPDATE),
    "InvalidHostKey": ("known_hosts has a broken line ({error})", "Correct that line."),
    "UnknownKeyType": ("{key} is of a kind that is not known", "Use an ed25519 key."),
    "BERException": ("{key} cannot be read ({error})", "Use an ed25519 key in OpenSSH's format."),
    "NeedRekeyException": ("the connection broke ({error})", _AGAIN),
    "SFTPError": ("sshd's file transfer failed ({error})", _AGAIN),
    "PipeTimeout": ("no answer in time", _AGAIN),
    "SSHException": ("{error}", _AGAIN),
    # not paramiko's own
    "gaierror": ("its address cannot be resolved ({error})", "Correct address in nodes/{node}.yaml, or the DNS entry."),
    "ConnectionRefusedError": ("nothing listens on port {port}", _UP),
    "TimeoutError": ("no answer on port {port}", _UP),
    "EOFError": ("the connection was closed at once", _AGAIN),
    "OSError": ("{error}", _UP),
}

_ROOM = "Make room on its disk (df -h there)."
_CLOCK = "Is its clock right? Look at date there, and at timedatectl set-ntp true."
# What the kernel (C's words and Go's are in another case), apt, TLS and OpenPGP say, in lower case.
_SAID = (
    ("no space left on device", _ROOM),
    ("enough free space in", _ROOM),
    ("not yet valid", _CLOCK),
    ("not valid yet", _CLOCK),
    ("not live until", _CLOCK),
    ("is expired (invalid since", _CLOCK),
)


def advice(said: str) -> str:
    """What to do about the machine itself, if that is what a command complains of; "" if not."""
    lower = said.lower()
    return next((remedy for words, remedy in _SAID if words in lower), "")


def is_foreign(error: BaseException) -> bool:
    """Whether an exception comes from the libraries or from the network, and has to end here."""
    kinds = type(error).__mro__
    return isinstance(error, OSError | EOFError) or any(kind.__module__.split(".")[0] in _ROOMS for kind in kinds)


def unreachable(node: Node, error: BaseException) -> Unreachable:
    """What a failed attempt to connect means, and what to do."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    seen, remedy = next((REASONS[kind] for kind in kinds if kind in REASONS), (f"{error!r}", _AGAIN))
    key = f"the key {node.ssh.key}" if node.ssh.key else "your keys"
    if "private key" in str(error):
        seen, remedy = REASONS["BERException"]
    user = node.ssh.user or getpass.getuser()
    values = {"user": user, "node": node.name, "port": node.ssh.port, "key": key, "error": error}
    return Unreachable(
        node=node.name, address=node.address, seen=seen.format(**values).rstrip("."), remedy=remedy.format(**values)
    )


def unknown_host_key(node: Node, name: str, key: Any, files: str) -> Unreachable:
    """The machine's key is not in known_hosts."""
    return Unreachable(
        node=node.name,
        address=node.address,
        seen=f"its host key {_fingerprint(key)} is not in {files}",
        remedy=(
            "Compare it with what the machine's console says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); "
            f"if they are the same: ssh-keyscan {_scan(name)} >> {files}."
        ),
    )


def changed_host_key(node: Node, name: str, error: Any, files: str) -> Unreachable:
    """The machine's key is another one than known_hosts says."""
    return Unreachable(
        node=node.name,
        address=node.address,
        seen=f"its host key is {_fingerprint(error.key)}, but {files} says {_fingerprint(error.expected_key)}",
        remedy=(
            "Somebody may be in between: go on only if you know why it changed (a reinstalled machine), after "
            f"comparing it on the machine's console. Then: ssh-keygen -R '{name}' -f {files}."
        ),
    )


def _fingerprint(key: Any) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"SHA256:{digest} ({key.get_name()})"


def _scan(name: str) -> str:
    """`[host]:port` of known_hosts as arguments of ssh-keyscan."""
    host, _, port = name.removeprefix("[").partition("]:")
    return f"-p {port} {host}" if port else host
