"""Charts from their upstream repositories, fetched on the host before the nodes boot: `pic4ser lab up --online`.

What comes back is a folder as `pic4ser lab up --charts` takes one, in the cache under the digests of what is in it.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from pic4ser_lib.errors import ArtifactError
from pic4ser_lib.lab import cache
from pic4ser_lib.lab.pins import Pins

_SECONDS = 120.0
_MOST_BYTES = 64_000_000  # the largest index that is read today has 6 MB, the largest chart less than 1 MB
_AWAY = (
    "See whether this machine reaches it (through a proxy: set https_proxy), then run this again; "
    "without --online the stand-ins are served and nothing is fetched."
)
_UNPINNED = "Pin a version that is there in pic4ser_lib/lab/pins/charts.yaml and pic4ser_lib/site/known.py."
_CHANGED = (
    "Nothing of it is kept. Upstream replaced that version, or something on the way did: find out which before you "
    "change the pin in pic4ser_lib/lab/pins/charts.yaml."
)


@dataclass(frozen=True)
class Wanted:
    """A chart as it is pinned. `sha256` is that of its .tgz; "" when only the repository's index knows it."""

    name: str
    repository: str
    version: str
    sha256: str = ""

    @property
    def index(self) -> str:
        """Where its repository says what it has."""
        return f"{self.repository.rstrip('/')}/index.yaml"


@dataclass(frozen=True)
class _Found:
    chart: Wanted  # with a digest in any case
    url: str


def pinned(pins: Pins) -> tuple[Wanted, ...]:
    """The charts that the runbook installs."""
    return tuple(Wanted(name, **told) for name, told in pins.charts["charts"].items())


def fetched(root: Path, charts: Iterable[Wanted], *, seconds: float = _SECONDS) -> Path:
    """The folder with every chart's .tgz, each checked against its digest; all of them or no folder at all.

    `seconds` is the deadline of each download. Raises ArtifactError naming chart, URL, wanted and seen.
    """
    found = [_found(chart, seconds) for chart in charts]

    def make(into: Path) -> None:
        for each in found:
            cache.write(into / f"{each.chart.name}-{each.chart.version}.tgz", _checked(each, seconds))

    inputs = {f"{each.chart.name}-{each.chart.version}": each.chart.sha256 for each in found}
    return cache.ensure(root, "charts-of-upstream", cache.key_of(inputs), make)


def _found(chart: Wanted, seconds: float) -> _Found:
    """Where the index says that this version lies, and with which digest."""
    told = _entry(chart, _entries(chart, _content(chart, chart.index, seconds)))
    digest = str(told.get("digest") or "").removeprefix("sha256:").lower()
    urls = told.get("urls")
    if not digest or not isinstance(urls, list) or not urls:
        wanted, seen = f"a digest and a URL for it in {chart.index}", f"digest '{digest}', URLs {urls or 'none'}"
        raise _refused(chart, wanted=wanted, seen=seen, remedy=_UNPINNED)
    if chart.sha256 and digest != chart.sha256:
        wanted = f"sha256 {chart.sha256}, as pinned, in {chart.index}"
        raise _refused(chart, wanted=wanted, seen=f"sha256 {digest}", remedy=_CHANGED)
    return _Found(replace(chart, sha256=digest), urljoin(chart.index, str(urls[0])))


def _entries(chart: Wanted, text: bytes) -> list[dict[str, Any]]:
    """What the index says about this chart, each version as it stands there."""
    import yaml

    # The C loader, and everything as text: megabytes in seconds, and a version 1.10 that stays one.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        told = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        seen = " ".join(str(error).split())
        wanted = f"the index of a chart repository at {chart.index}"
        raise _refused(chart, wanted=wanted, seen=f"no YAML: {seen}", remedy=_AWAY) from error
    entries = told.get("entries") if isinstance(told, dict) else None
    if not isinstance(entries, dict):
        wanted = f"the index of a chart repository at {chart.index}"
        raise _refused(chart, wanted=wanted, seen="YAML without `entries`", remedy=_AWAY)
    listed = entries.get(chart.name)
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _entry(chart: Wanted, listed: list[dict[str, Any]]) -> dict[str, Any]:
    for entry in listed:
        if entry.get("version") == chart.version:
            return entry
    versions = [str(entry.get("version")) for entry in listed]
    seen = f"{len(versions)} others, first {', '.join(versions[:3])}" if versions else "no chart of that name"
    raise _refused(chart, wanted=f"version {chart.version} in {chart.index}", seen=seen, remedy=_UNPINNED)


def _checked(found: _Found, seconds: float) -> bytes:
    content = _content(found.chart, found.url, seconds)
    digest = hashlib.sha256(content).hexdigest()
    if digest != found.chart.sha256:
        wanted = f"sha256 {found.chart.sha256} at {found.url}"
        raise _refused(found.chart, wanted=wanted, seen=f"sha256 {digest}", remedy=_CHANGED)
    return content


def _content(chart: Wanted, url: str, seconds: float) -> bytes:
    """What a GET answers, through the user's proxy if there is one; whole, or ArtifactError."""
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("a URL that is neither http nor https")
        request = urllib.request.Request(url, headers={"User-Agent": "pic4ser"})
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return _read(answer, seconds)
    except urllib.error.HTTPError as error:
        error.close()
        seen = f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        seen = str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        seen = str(error) or type(error).__name__
    raise _refused(chart, wanted=f"an answer from {url}", seen=seen, remedy=_AWAY)


def _read(answer: http.client.HTTPResponse, seconds: float) -> bytes:
    end, parts, size = time.monotonic() + seconds, [], 0
    while part := answer.read1(65536):
        parts.append(part)
        size += len(part)
        if time.monotonic() > end:
            raise TimeoutError(f"{size} bytes in {seconds:g} s, and no end")
        if size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
    if answer.length:
        raise ValueError(f"the end after {size} bytes, {answer.length} too early")
    return b"".join(parts)


def _refused(chart: Wanted, *, wanted: str, seen: str, remedy: str) -> ArtifactError:
    return ArtifactError(artifact=f"chart {chart.name} {chart.version}", wanted=wanted, seen=seen, remedy=remedy)
