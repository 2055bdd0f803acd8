"""What no journal of this process may show."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "<redacted>"
_secrets: set[str] = set()


def register_secret(value: str) -> None:
    """From now on no journal of this process shows `value`, nor a line of it, nor its base64 form.

    Values of fewer than four characters are not looked for: they would be found everywhere.
    """
    if len(value.strip()) < 4:
        return
    lines = [line.strip() for line in value.splitlines()]
    encoded = base64.b64encode(value.encode()).decode()
    _secrets.update((value.strip(), encoded, *(line for line in lines if len(line) >= 8)))


def known() -> tuple[str, ...]:
    """All forms of all secrets that were registered."""
    return tuple(_secrets)


def redacted(value: Any, secrets: Iterable[str]) -> Any:
    """`value` (JSON's kinds) with each secret replaced, in keys too; longer ones first."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, Mapping):
        return {redacted(str(key), secrets): redacted(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, secrets) for item in value]
    return value
