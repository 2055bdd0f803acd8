"""Answers in which each line that is ours says its name: `@kubelet: active`.

What kubectl prints may stand between such lines. A name that comes twice means what it says last.
"""

from __future__ import annotations

import re


def marked(raw: str) -> dict[str, str]:
    """The lines of an answer that start with @, by name."""
    return {key: value.strip() for key, value in re.findall(r"^@([^:\n]+):(.*)$", raw, re.MULTILINE)}
