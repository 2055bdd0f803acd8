"""From a folder to a Site: find it, read its files, judge them, and say all that is wrong at once.

cluster.yaml          all but the nodes' own facts
local.yaml            optional, not committed: laid over cluster.yaml, what differs from machine to machine
nodes/<name>.yaml     one machine each
"""

from __future__ import annotations

import contextlib
import difflib
import stat
from collections.abc import Iterator
from pathlib import Path

from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.site import rules
from pic4ser_lib.site.explain import judged
from pic4ser_lib.site.known import with_upstream
from pic4ser_lib.site.reading import Document, Key, parse
from pic4ser_lib.site.schema import ClusterFile, Node, NodeFile, Site, Ssh

_INTERFACES = Path("/sys/class/net")
CLUSTER, LOCAL, NODES = "cluster.yaml", "local.yaml", "nodes"


def load(site: str | Path, *, this_machine: str | None = None) -> Site:
    """The site in this folder. A relative path is tried from the working directory, then from each parent.

    `this_machine` is the machine-id that `valid_on` is compared with; by default this machine's own.
    Raises SiteError with every problem in the folder; nothing but files is looked at.
    """
    path = _found(Path(site).expanduser())
    cluster = _read(path / CLUSTER, CLUSTER)
    local = _read(path / LOCAL, LOCAL) if (path / LOCAL).exists() else None
    whole = local.over(cluster) if local else cluster
    _refuse_elsewhere(path, whole, machine_id() if this_machine is None else this_machine)
    _refuse_outside(path, whole)
    nodes = {file.stem: _read(file, f"{NODES}/{file.name}") for file in _node_files(path)}
    return _judged_site(path, whole, nodes, incomplete=local is None and bool(whole.values.get("completed_by")))


def machine_id() -> str:
    """This machine's id, as `valid_on` has it; empty when it has none."""
    for file in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError):
            if known := file.read_text(encoding="ascii").strip():
                return known
    return ""


def _judged_site(path: Path, whole: Document, nodes: dict[str, Document], *, incomplete: bool) -> Site:
    unread = bool(whole.problems and not whole.values)
    whole = with_upstream(whole)
    cluster = judged(ClusterFile, whole, complete=not incomplete)
    found = [*whole.problems, *(() if unread else cluster.problems), *_misnamed(path)]
    if incomplete:
        found.append(_incomplete(whole))
    files, wrong = _judged_nodes(nodes)
    found += wrong
    draft = rules.Draft(cluster.model, cluster.wrong, files, tuple(nodes))
    if not unread:
        found += [
            (nodes[finding.node] if finding.node else whole).problem(finding.key, finding.allowed)
            for finding in rules.findings(draft)
        ]
    found += _key_files(path, whole, nodes, draft)
    if found:
        raise SiteError(path=str(path), problems=_sorted(found))
    return _assembled(path, cluster.model, files)


def _judged_nodes(nodes: dict[str, Document]) -> tuple[dict[str, NodeFile], list[Problem]]:
    files: dict[str, NodeFile] = {}
    found: list[Problem] = []
    for name, document in nodes.items():
        file = judged(NodeFile, document)
        wrong = document.problems + (file.problems if document.values or not document.problems else ())
        found += wrong
        if not wrong:
            files[name] = file.model
    return files, found


def _assembled(path: Path, cluster: ClusterFile, files: dict[str, NodeFile]) -> Site:
    roles = [(name, "control-plane") for name in cluster.control_planes] + [
        (name, "worker") for name in cluster.workers
    ]
    nodes = [
        Node.model_validate(
            {
                "name": name,
                "role": role,
                "address": files[name].address,
                "gpus": files[name].gpus,
                "ssh": _ssh(path, cluster.ssh, files[name].ssh),
            }
        )
        for name, role in roles
    ]
    common = {name: getattr(cluster, name) for name in Site.model_fields if name in ClusterFile.model_fields}
    return Site(
        **{**common, "title": cluster.title or path.name, "name": path.name, "path": path, "nodes": tuple(nodes)}
    )


def _ssh(path: Path, shared: Ssh, own: Ssh) -> Ssh:
    both = shared.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
    files = {name: _absolute(path, getattr(both, name)) for name in ("key", "known_hosts")}
    return both.model_copy(update=files)


def _absolute(path: Path, file: Path | None) -> Path | None:
    return path / file.expanduser() if file else None


# ------------------------------------------------------------------------------------------ finding the folder


def _found(site: Path) -> Path:
    bases = [Path()] if site.is_absolute() else [Path.cwd(), *Path.cwd().parents]
    folders = [base / site for base in bases if (base / site).is_dir()]
    for folder in folders:
        if (folder / CLUSTER).is_file():
            return folder.resolve()
    if folders:
        allowed = f"a folder with a {CLUSTER}; this one has none{_there_are(site)}"
    elif any((base / site).is_file() for base in bases):
        allowed = f"the site's folder, not a file in it{_there_are(site)}"
    else:
        allowed = f"a folder that exists{_there_are(site)}"
    raise SiteError(path=str(site), problems=(Problem("parameter site", "", str(site), allowed),))


def _there_are(site: Path) -> str:
    beside = [site.parent.glob(f"*/{CLUSTER}")] if site.is_absolute() else []
    beside += [(base / "parameters").glob(f"*/{CLUSTER}") for base in [Path.cwd(), *Path.cwd().parents]]
    sites = sorted({_short(file.parent) for files in beside for file in files})
    if not sites:
        return ""
    near = difflib.get_close_matches(site.name, by_name := {Path(s).name: s for s in sites}, n=1)
    return f"; there are: {', '.join(sites)}" + (f"; did you mean {by_name[near[0]]}?" if near else "")


def _short(folder: Path) -> str:
    for base in [Path.cwd(), *Path.cwd().parents]:
        if folder.is_relative_to(base / "parameters"):
            return str(folder.relative_to(base))
    return str(folder)


# ------------------------------------------------------------------------------------------ reading files


def _read(file: Path, name: str) -> Document:
    try:
        return parse(file.read_text(encoding="utf-8"), file=name)
    except UnicodeDecodeError:
        return Document(name, problems=(Problem(name, "", "", "text in UTF-8"),))
    except OSError as error:
        return Document(name, problems=(Problem(name, "", "", f"a readable file: {error.strerror}"),))


def _node_files(path: Path) -> list[Path]:
    return sorted(file for file in (path / NODES).glob("*.yaml") if not file.name.startswith("."))


def _misnamed(path: Path) -> Iterator[Problem]:
    for file in sorted([*path.glob("*.yml"), *path.glob(f"{NODES}/*.yml")]):
        name = str(file.relative_to(path))
        yield Problem(name, "", "", f"a name that ends in .yaml: {name.removesuffix('.yml')}.yaml")


def _key_files(path: Path, whole: Document, nodes: dict[str, Document], draft: rules.Draft) -> Iterator[Problem]:
    shared = draft.section("ssh")
    for document, ssh in [(whole, shared), *((nodes[name], file.ssh) for name, file in draft.files.items())]:
        if ssh is None:
            continue
        if key := _absolute(path, ssh.key):
            yield from _key_file(document, ("ssh", "key"), key)
        if (hosts := _absolute(path, ssh.known_hosts)) and not hosts.is_file():
            yield document.problem(
                ("ssh", "known_hosts"),
                "a file that exists; `ssh-keyscan` prints what belongs in it, "
                "to be compared with the machines' own fingerprints",
            )


def _key_file(document: Document, key: Key, file: Path) -> Iterator[Problem]:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        yield document.problem(key, f"a private key file that exists: {error.strerror}")
        return
    if not stat.S_ISREG(mode):
        yield document.problem(key, "a private key file; this is none")
    elif mode & 0o077:
        yield document.problem(
            key, f"a file that only its owner may read, not mode {mode & 0o777:04o}: chmod 600 {file}"
        )


# ------------------------------------------------------------------------------------------ this machine's folder


def _refuse_elsewhere(path: Path, whole: Document, this_machine: str) -> None:
    valid_on = whole.values.get("valid_on")
    if isinstance(valid_on, str) and valid_on and valid_on != this_machine:
        writer = whole.values.get("completed_by") or "pic4ser lab up"
        sentence = f"this folder is the lab of another machine; here `{writer}` makes one of its own"
        raise SiteError(path=str(path), problems=(whole.problem(("valid_on",), sentence),))


def _refuse_outside(path: Path, whole: Document) -> None:
    """Without its own network a lab's addresses belong to somebody else: after a reboot of this machine, for one."""
    interface = whole.values.get("valid_while")
    if isinstance(interface, str) and interface and not (_INTERFACES / interface).exists():
        writer = whole.values.get("completed_by") or "pic4ser lab up"
        sentence = f"the lab is down: this machine has no network interface of that name; `{writer}` boots it again"
        raise SiteError(path=str(path), problems=(whole.problem(("valid_while",), sentence),))


def _incomplete(whole: Document) -> Problem:
    writer = whole.values["completed_by"]
    line = whole.place(("completed_by",)).line
    return Problem(
        CLUSTER, "completed_by", str(writer), f"{LOCAL} is missing: `{writer}` writes it; run that first", line
    )


# ------------------------------------------------------------------------------------------ problems


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    order = {CLUSTER: 0, LOCAL: 1}
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (order.get(p.file, 2), p.file, p.line)))
