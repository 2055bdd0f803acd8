"""Archives that a node fetches: nothing is unpacked before its checksum is the site's.

A site may lack a checksum, where nobody could look it up: then the archive is fetched for its sum only, and the step
says what it saw and where to write it. What nobody has compared is never trusted.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Protocol

from pic4ser_lib.steps import Refused

_CURL = "curl -fsSL --connect-timeout 15 --max-time 300 --retry 2"


class Download(Protocol):
    """What a site says about a file (`site.Download`)."""

    @property
    def url(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Seen:
    """What stands at an archive's URL: its checksum, or why it could not be fetched; both empty: nobody looked."""

    sha256: str = ""
    failed: str = ""


def fetched(url: str, into: str) -> str:
    """A snippet that fetches an archive into a shell variable's file (`into`: an expression such as $t/archive)."""
    return f'{_CURL} -o "{into}" {shlex.quote(url)}'


def look(url: str) -> str:
    """A snippet for a probe: fetches the archive, prints `@sha256:` or `@failed:`, and keeps nothing."""
    return (
        "(t=$(mktemp -d) && trap 'rm -rf \"$t\"' EXIT; "
        f'if {fetched(url, "$t/archive")} 2>"$t/error"; then '
        'echo "@sha256: $(sha256sum <"$t/archive" | cut -d " " -f 1)"; '
        "else echo \"@failed: $(tr '\\n' ' ' <\"$t/error\")\"; fi)"
    )


def checked(archive: Download, into: str) -> str:
    """A snippet that fetches an archive and fails, with both sums, unless it is the site's."""
    url, wanted = shlex.quote(archive.url), archive.sha256
    return (
        f"{fetched(archive.url, into)} && "
        f'seen=$(sha256sum <"{into}" | cut -d " " -f 1) && {{ [ "$seen" = {wanted} ] || {{ '
        f"echo \"wanted the checksum {wanted}, saw $seen at \"{url}'; nothing was unpacked' >&2; exit 1; }}; }}"
    )


def seen(said: dict[str, str]) -> Seen:
    """What `look` printed, from the marked lines of an answer."""
    return Seen(said.get("sha256", ""), said.get("failed", ""))


def judged(archive: Download, key: str, saw: Seen, *, published: str) -> None:
    """Raises Refused unless the archive that was looked at has the site's checksum.

    `key` is its name under `sources.archives`; `published` says where its vendor publishes the sum, if anywhere.
    """
    if saw.failed:
        raise Refused(f"{archive.url} can be fetched", saw.failed.strip(), "Is the source up, and its URL right?")
    if not archive.sha256:
        remedy = (
            f"Compare it with {published}; if they are the same, write it into cluster.yaml as "
            f"sources.archives.{key}.sha256 and run this cell again."
        )
        raise Refused(
            f"a checksum for {archive.url} in the site", f"none there; what it serves has {saw.sha256}", remedy
        )
    if saw.sha256 and saw.sha256 != archive.sha256:
        remedy = "Somebody changed what stands at this URL, or the checksum is that of another version."
        raise Refused(f"an archive with checksum {archive.sha256}", f"{saw.sha256} at {archive.url}", remedy)
