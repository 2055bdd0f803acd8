"""Every step against recorded answers: one YAML file a case, one runner.

    recorded: Debian 12, util-linux 2.38.1   # the machine that gave the answer
    step: swap.off                           # a function in pic4ser_lib/operations
    with: {}                                 # its keyword arguments; `args: []` for positional ones
    raw: |                                   # the answer; a list when the step asks several questions;
      Filename ...                           # {file: NAME} reads it from a file beside the case
    seen: nothing                            # optional: how the answer reads
    actions:                                 # [] means already so
      - run: swapoff -a                      # stdin, on: compared too, empty unless given; timeout only when given
      - write: /etc/fstab                    # content (exact) or contains/lacks (lists); mode when given
      - restart: containerd                  # also remove:, apply: [names], patch:, delete:, keep_kubeconfig:

Instead of `actions`: `later: NEEDS`, `settling: MISSING`, `refused: {wanted, seen, remedy}`, and `failed: SEEN` where
waiting cannot help; each text need only occur in what the step says. `!object {...}` makes something with attributes,
for arguments that are models of a site; `!parameters lab` and `!node [lab, kitt]` load the real ones; `!job {...}`
makes a training job.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from pic4ser_lib import steps
from pic4ser_lib.errors import StepFailed
from pic4ser_lib.operations import files

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CASES = sorted(HERE.glob("*/*.yaml"))
OUTCOMES = {"actions", "later", "settling", "refused", "failed"}
KEYS = OUTCOMES | {"recorded", "step", "args", "with", "raw", "seen", "note"}


def _site(name: str) -> Any:
    from pic4ser_lib import site

    return site.load(ROOT / "parameters" / name)


def _node(site: str, name: str) -> Any:
    return _site(site).node(name)


def _job(given: dict[str, Any]) -> Any:
    from pic4ser_lib.operations.training_job import Job

    return Job(**{"name": "multi-worker", "image": "registry.lab/tf:1", "script": "print(1)", **given})


def load(path: Path) -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    build = yaml.constructor
    build.add_constructor("!object", lambda c, node: SimpleNamespace(**c.construct_mapping(node, deep=True)))
    build.add_constructor("!tuple", lambda c, node: tuple(c.construct_sequence(node, deep=True)))
    build.add_constructor("!job", lambda c, node: _job(c.construct_mapping(node, deep=True)))
    build.add_constructor("!parameters", lambda c, node: _site(c.construct_scalar(node)))
    build.add_constructor("!node", lambda c, node: _node(*c.construct_sequence(node)))
    case: dict[str, Any] = yaml.load(path.read_text())
    unknown = set(case) - KEYS
    assert not unknown, f"{path}: unknown keys {sorted(unknown)}"
    assert len(set(case) & OUTCOMES) == 1, f"{path}: exactly one of {sorted(OUTCOMES)}"
    assert case["recorded"], f"{path}: name the machine that gave the answer"
    return case


def step_of(case: dict[str, Any]) -> steps.Step:
    module, _, function = case["step"].rpartition(".")
    made = getattr(importlib.import_module(f"pic4ser_lib.operations.{module}"), function)
    step: steps.Step = made(*case.get("args", ()), **case.get("with", {}))
    return step


def raw_of(case: dict[str, Any], step: steps.Step, folder: Path) -> Any:
    """The answer in the form of the question: a question that cannot be answered like this fails the case."""
    questions = step.probe()
    many = isinstance(questions, tuple)
    answers = case["raw"] if many else [case["raw"]]
    asked = questions if isinstance(questions, tuple) else (questions,)
    assert len(asked) == len(answers), f"{len(asked)} questions, {len(answers)} answers"
    read = tuple(
        (folder / answer["file"]).read_text() if isinstance(answer, dict) and set(answer) == {"file"} else answer
        for answer in answers
    )
    for question, answer in zip(asked, read, strict=True):
        assert isinstance(answer, str) == isinstance(question, steps.Shell), f"{question} answered by {answer!r}"
    return read if many else read[0]


def _same(action: steps.Action, expected: dict[str, Any]) -> None:
    match action:
        case steps.Run():
            full = {"stdin": "", "on": "", "timeout": action.timeout} | expected
            seen = {"run": action.command, "stdin": steps.printable(action.stdin), "on": action.on}
            assert full == seen | {"timeout": action.timeout}
        case steps.WriteFile():
            content = steps.printable(action.content)
            assert expected.pop("write") == action.path
            assert expected.pop("content", content) == content
            assert expected.pop("mode", action.mode) == action.mode
            for part in expected.pop("contains", []):
                assert part in content
            for part in expected.pop("lacks", []):
                assert part not in content
            assert not expected
        case steps.RemoveFile():
            assert expected == {"remove": action.path}
        case steps.Restart():
            assert expected == {"restart": action.unit} | ({"why": action.why} if "why" in expected else {})
        case steps.Apply():
            assert expected == {"apply": [steps.object_name(o) for o in action.objects]}
        case steps.Patch():
            assert expected == {"patch": f"{action.kind} {action.name}", "body": action.body}
        case steps.Delete():
            names = (f"{action.kind} {action.name}", f"{action.kind} {action.namespace}/{action.name}")
            assert expected["delete"] in names
        case steps.KeepKubeconfig():
            assert expected == {"keep_kubeconfig": action.server}


def _decided(step: steps.Step, raw: Any) -> Any:
    try:
        decision = step.actions(step.parse(raw))
    except (steps.Refused, StepFailed) as refusal:
        return refusal
    return decision


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_step_decides_as_its_case_says(path: Path) -> None:
    case = load(path)
    step = step_of(case)
    raw = raw_of(case, step, path.parent)
    seen = step.parse(raw)
    assert case.get("seen", str(seen)) == str(seen)
    assert case.get("note", getattr(seen, "note", "")) == getattr(seen, "note", "")
    match _decided(step, raw):
        case steps.Refused() as refusal:
            assert "refused" in case, refusal
            for field, text in case["refused"].items():
                assert text in getattr(refusal, field)
        case StepFailed() as failure:
            assert case.get("failed", "not expected") in failure.seen
        case steps.Later() as later:
            assert case.get("later", "not expected") in f"{later.needs} {later.why}"
        case steps.Settling() as settling:
            assert case.get("settling", "not expected") in settling.missing
        case actions:
            expected = case.get("actions", "other outcome expected")
            assert [next(iter(e)) for e in expected] == [_kind(a) for a in actions], actions
            for action, want in zip(actions, expected, strict=True):
                _same(action, dict(want))


def _kind(action: steps.Action) -> str:
    names = {"WriteFile": "write", "RemoveFile": "remove", "KeepKubeconfig": "keep_kubeconfig"}
    return names.get(type(action).__name__, type(action).__name__.lower())


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_file_that_was_written_is_not_written_again(path: Path) -> None:
    case = load(path)
    step = step_of(case)
    raw = raw_of(case, step, path.parent)
    decision = _decided(step, raw)
    actions = decision if isinstance(decision, list | tuple) else []
    writes = [a for a in actions if isinstance(a, steps.WriteFile) and not steps.secrets_of(a)]
    if not writes:
        return
    again = _decided(step, _fed_back(raw, writes))
    assert not isinstance(again, Exception), again
    rewritten = [a.path for a in again if isinstance(a, steps.WriteFile)] if isinstance(again, list | tuple) else []
    assert not set(rewritten) & {write.path for write in writes}
    if len(writes) == len(actions):
        assert list(again) == []


def _fed_back(raw: Any, writes: list[steps.WriteFile]) -> Any:
    """The answer as it would be after the writes; a step has to read (by `files.show`) what it writes.

    What a command (`files.output`) printed about that file was so before, and is left out.
    """
    if isinstance(raw, tuple):
        return tuple(_fed_back(part, writes) if isinstance(part, str) else part for part in raw)
    for write in writes:
        if any(line.startswith(f"{write.path}: ") for line in raw.splitlines()):
            for command in re.findall(rf"(?m)^(\$ .*{re.escape(write.path)}.*): [0-7]+$", raw):
                raw = _without(raw, command)
            raw = _without(raw, write.path) + framed(write.path, steps.printable(write.content), write.mode)
    return raw


def _without(raw: str, path: str) -> str:
    kept, inside = [], False
    for line in raw.splitlines():
        inside = line.startswith(f"{path}: ") or (inside and (line.startswith("|") or line == files.NO_NEWLINE))
        if not inside:
            kept.append(line + "\n")
    return "".join(kept)


def framed(path: str, content: str, mode: int = 0o644) -> str:
    """How `files.show` prints a file: said here once more, so that the bash there is compared with something."""
    lines = "".join(f"| {line}\n" for line in content.splitlines())
    return f"{path}: {mode:o}\n{lines}" + ("" if content.endswith("\n") or not content else f"{files.NO_NEWLINE}\n")


@pytest.mark.parametrize("content", ["", "one\n", "one\n\ntwo\n", "no end", "\n", "| bar\n/etc/x: 644\n", "é ü\n"])
def test_bash_shows_a_file_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "it's here"
    path.write_text(content)
    path.chmod(0o640)
    script = files.show(str(path), "/nonexistent", patterns=[f"{tmp_path}/*.none"])
    raw = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert raw == framed(str(path), content, 0o640) + "/nonexistent: absent\n"
    assert files.shown(raw) == {str(path): files.File(str(path), content, 0o640), "/nonexistent": None}


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_probe_is_valid_bash(path: Path) -> None:
    questions = step_of(load(path)).probe()
    for question in questions if isinstance(questions, tuple) else (questions,):
        if isinstance(question, steps.Shell):
            subprocess.run(["bash", "-n"], input=question.script, text=True, check=True)
