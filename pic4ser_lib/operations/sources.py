"""apt's sources: the key that signs a repository, the repository, and the document's own that are gone.

Notebooks reach these through `packages`.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import Protocol

from pic4ser_lib.operations import apt, files, openpgp
from pic4ser_lib.steps import Action, Decision, Later, Refused, RemoveFile, Run, Shell, Step

LISTS = "/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources"
DEAD = re.compile(r"//apt\.kubernetes\.io\b|//packages\.cloud\.google\.com/apt/?\s+kubernetes-")
"""Google's repositories of Kubernetes, which the document names; they were switched off in March 2024."""
_LISTS_SYNCED = "sync -- /var/lib/apt/lists/* /var/lib/apt/lists"
CODENAME = "{codename}"  # in a suite: the code name of each node's own distribution
_QUOTED = '\\|{}[]<>"^~_=!@#$%&*'  # what apt writes as %xx in the names of its lists


class AptSource(Protocol):
    """What a site says about a repository (`site.AptSource`)."""

    @property
    def url(self) -> str: ...
    @property
    def suite(self) -> str: ...
    @property
    def components(self) -> tuple[str, ...]: ...
    @property
    def key_url(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def keyring(self) -> str: ...
    @property
    def list_file(self) -> str: ...


@dataclass(frozen=True)
class Keys:
    """The fingerprints in a keyring (None: no such file), and the programs that are missing to fetch one."""

    fingerprints: tuple[str, ...] | None
    lacking: tuple[str, ...]

    def __str__(self) -> str:
        if self.fingerprints is None:
            return "no keyring"
        return ", ".join(self.fingerprints) or "a keyring without a key"


@dataclass(frozen=True)
class Keyring(Step):
    """A keyring holds exactly the key with the site's fingerprint. Another key is never put in place."""

    url: str
    fingerprint: str
    path: str

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the keyring's name."""
        return f"packages.keyring({posixpath.basename(self.path)})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the path."""
        return f"{self.path} holds the repository's key, and no other"

    def probe(self) -> Shell:
        """The keyring's bytes; whether curl and gpg are there."""
        path = shlex.quote(self.path)
        return Shell(
            f"if [ -f {path} ]; then echo keyring: $(base64 -w 0 {path}); fi; "
            "for c in curl gpg; do command -v $c >/dev/null || echo lacking: $c; done"
        )

    def parse(self, raw: str) -> Keys:
        """The fingerprints, computed from the bytes."""
        rows = [line.partition(":") for line in raw.splitlines()]
        rings = [_decoded(value.strip()) for key, _, value in rows if key == "keyring"]
        lacking = tuple(value.strip() for key, _, value in rows if key == "lacking")
        return Keys(openpgp.fingerprints(rings[0]) if rings else None, lacking)

    def actions(self, seen: Keys) -> Decision:
        """Fetch the key, look at it, and only then put it in place."""
        if seen.fingerprints == (self.fingerprint.upper(),):
            return []
        if seen.lacking:
            return Later("packages.dependencies", f"{' and '.join(seen.lacking)} not installed")
        return [Run(self._fetch(), timeout=180)]

    def _fetch(self) -> str:
        url, wanted = shlex.quote(self.url), self.fingerprint.upper()
        folder = shlex.quote(posixpath.dirname(self.path))
        beside = posixpath.join(posixpath.dirname(self.path), f".{posixpath.basename(self.path)}.new")
        form = (
            'gpg --homedir "$t" --batch --dearmor <"$t/key" >"$t/ring"'
            if self.path.endswith(".gpg")
            else 'mv "$t/key" "$t/ring"'
        )
        show = 'gpg --homedir "$t" --batch --show-keys --with-colons "$t/key" 2>/dev/null'
        primary = "awk -F: '$1==\"pub\"{p=1} $1==\"fpr\"&&p{print $10; p=0}' | paste -sd ' '"
        wrong = f"echo 'wanted the key {wanted}, saw '\"${{seen:-none}}\"' at '{url}'; nothing was put in place' >&2"
        return (
            "(t=$(mktemp -d) && trap 'rm -rf \"$t\"' EXIT && "
            f'curl -fsSL --connect-timeout 15 --max-time 60 -o "$t/key" {url} && seen=$({show} | {primary}) && '
            f'{{ [ "$seen" = {wanted} ] || {{ {wrong}; exit 1; }}; }} && '
            f'{form} && install -d -m 0755 {folder} && install -m 0644 "$t/ring" {shlex.quote(beside)} && '
            f"{files.put_in_place(beside, self.path)})"
        )


@dataclass(frozen=True)
class Repository:
    """What is configured for a repository, and whether apt has its lists."""

    architecture: str
    file: files.File | None
    others: tuple[files.File, ...]
    fetched: bool
    codename: str = ""

    def __str__(self) -> str:
        if self.others:
            return f"configured in {', '.join(file.path for file in self.others)}"
        if self.file is None:
            return "not configured"
        return self.file.content.strip() + ("" if self.fetched else " (lists not fetched)")


@dataclass(frozen=True)
class Source(Step):
    """apt knows a repository, trusts it by its own keyring only, and has read its lists."""

    url: str
    suite: str
    components: tuple[str, ...]
    keyring: str
    path: str

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the list's name."""
        return f"packages.source({posixpath.basename(self.path)})"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the list's name, not the URL: that differs by site."""
        return f"apt reads the repository of {posixpath.basename(self.path)}, signed by its own key"

    def probe(self) -> Shell:
        """Our list, any other that names the repository, and whether the lists are there."""
        bare = shlex.quote(_bare(self.url))
        others = f"$(grep -lsF -- {bare} {LISTS})"
        return Shell(
            '. /etc/os-release; echo "codename: ${VERSION_CODENAME:-}"; '
            f"echo architecture: $(dpkg --print-architecture); {files.show(self.path, patterns=[others])}; "
            f"if ls /var/lib/apt/lists | grep -qF -- {in_shell(_list_name(self.url, self.suite))} "
            f"|| LC_ALL=C apt-cache policy 2>/dev/null | grep -qF -- {bare}; then echo lists: there; fi"
        )

    def parse(self, raw: str) -> Repository:
        """All of it by name."""
        found = files.shown(raw)
        said = dict(re.findall(r"(?m)^(architecture|codename): (\S+)$", raw))
        others = (f for path, f in found.items() if f and path != self.path and self.url.rstrip("/") in _active(f))
        return Repository(
            said.get("architecture", ""),
            found.get(self.path),
            tuple(others),
            "\nlists: there" in f"\n{raw}",
            said.get("codename", ""),
        )

    def actions(self, seen: Repository) -> list[Action]:
        """Take away another list of the same repository, write ours, read its lists."""
        if CODENAME in self.suite and not seen.codename:
            raise Refused(self.wanted, "this system has no code name", "Name the suite in sources.apt of cluster.yaml.")
        removed = [self._removed(file) for file in seen.others]
        written = files.edited(self.path, seen.file, self._line(seen))
        if not (removed or written) and seen.fetched:
            return []
        # apt leaves its lists to the kernel: after a power cut they would be gone.
        return [*removed, *written, Run(f"{apt.update(self.path)} && {_LISTS_SYNCED}")]

    def _removed(self, file: files.File) -> RemoveFile:
        rest = [entry for entry in _entries(file) if self.url.rstrip("/") not in entry]
        if rest or file.path == "/etc/apt/sources.list":
            seen = f"{file.path} names it too, beside others"
            raise Refused(
                self.wanted, seen, f"Remove {self.url} from {file.path}: apt refuses two keys for one source."
            )
        return files.removed(file)

    def _line(self, seen: Repository) -> str:
        words = [self.url, self.suite.replace(CODENAME, seen.codename), *self.components]
        return f"deb [arch={seen.architecture} signed-by={self.keyring}] {' '.join(words)}\n"


@dataclass(frozen=True)
class Lists:
    """The lists that name a repository that is gone."""

    dead: tuple[files.File, ...]

    def __str__(self) -> str:
        return ", ".join(file.path for file in self.dead) or "none"


@dataclass(frozen=True)
class DeadSourcesRemoved(Step):
    """No list names a repository that is gone: apt would fail on it whenever it reads its lists."""

    name = "packages.dead_sources_removed"
    wanted = "no apt source is one that no longer exists"

    def probe(self) -> Shell:
        """The lists that name one."""
        hosts = "-e apt.kubernetes.io -e packages.cloud.google.com"
        return Shell(files.show(patterns=[f"$(shopt -s nullglob; grep -lsF {hosts} {LISTS})"]))

    def parse(self, raw: str) -> Lists:
        """Those with an active line."""
        found = [file for file in files.shown(raw).values() if file]
        return Lists(tuple(file for file in found if any(DEAD.search(entry) for entry in _entries(file))))

    def actions(self, seen: Lists) -> list[Action]:
        """A list with nothing else is taken away (the node keeps a copy); elsewhere the line becomes a comment."""
        return [action for file in seen.dead for action in self._without(file)]

    def _without(self, file: files.File) -> list[Action]:
        alive = [entry for entry in _entries(file) if not DEAD.search(entry)]
        if not alive and file.path.startswith("/etc/apt/sources.list.d/"):
            return [files.removed(file)]
        if file.path.endswith(".sources"):
            raise Refused(self.wanted, f"{file.path} names one beside others", f"Remove its stanza from {file.path}.")
        lines = file.content.splitlines(keepends=True)
        return files.edited(file.path, file, "".join(f"# {line}" if _dead(line) else line for line in lines))


def in_shell(text: str) -> str:
    """The text as one word for a shell that has read /etc/os-release: {codename} is the node's own."""
    return '"$VERSION_CODENAME"'.join(map(shlex.quote, text.split(CODENAME)))


def keyring(source: AptSource) -> Keyring:
    """The repository's keyring holds exactly the key with the site's fingerprint."""
    return Keyring(source.key_url, source.fingerprint, source.keyring)


def source(source: AptSource) -> Source:
    """apt knows the repository, trusts it by its own keyring only, and has read its lists."""
    return Source(source.url, source.suite, tuple(source.components), source.keyring, source.list_file)


def dead_sources_removed() -> DeadSourcesRemoved:
    """No list names a repository that is gone (apt.kubernetes.io)."""
    return DeadSourcesRemoved()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _entries(file: files.File) -> list[str]:
    """The active entries: lines of a .list, stanzas of a .sources (as one line each)."""
    lines = [line for line in file.content.splitlines() if not line.lstrip().startswith("#")]
    if not file.path.endswith(".sources"):
        return [line for line in lines if line.strip()]
    stanzas = "\n".join(lines).split("\n\n")
    return [_as_line(stanza) for stanza in stanzas if stanza.strip() and not re.search(r"(?mi)^enabled:\s*no", stanza)]


def _as_line(stanza: str) -> str:
    fields = {key.strip().lower(): value.strip() for key, _, value in (x.partition(":") for x in stanza.splitlines())}
    return f"deb {fields.get('uris', '')} {fields.get('suites', '')}"


def _active(file: files.File) -> str:
    return "\n".join(_entries(file))


def _dead(line: str) -> bool:
    return bool(DEAD.search(line)) and not line.lstrip().startswith("#")


def _bare(url: str) -> str:
    return url.partition("://")[2].rstrip("/")


def _list_name(url: str, suite: str) -> str:
    """How apt names a repository's files under /var/lib/apt/lists; {codename} stays as it is."""
    place = _bare(url) if suite.endswith("/") else f"{_bare(url)}/dists/{suite}"
    parts = ("".join(f"%{ord(c):02x}" if c in _QUOTED else c for c in part) for part in place.split(CODENAME))
    quoted = CODENAME.join(parts)
    return quoted.replace("/", "_") + "_"
