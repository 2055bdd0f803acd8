"""The reference of a site's parameters, from the models that read them: name, type, default, meaning, allowed."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from docs.generate.markdown import anchor, block, code, heading, page, plain
from pic4ser_lib.site.known import upstream
from pic4ser_lib.site.schema import ClusterFile, NodeFile

FILES: dict[str, type[BaseModel]] = {"cluster.yaml": ClusterFile, "nodes/NAME.yaml": NodeFile}
EMPTY = "empty"
_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path of a file",
    Any: "anything",
}
_EACH = {"text": "a text", "section": "a section", "anything": "any value"}
_UPSTREAM = upstream(kubernetes="1.36.3", flannel="0.28.10")
_WRONG = ("!", "", " ")
"""Texts of which every kind of text refuses at least one; its refusal says what is allowed."""

_INTRODUCTION = """\
A site is a folder: `cluster.yaml` describes the cluster, `nodes/NAME.yaml` one machine each.
A notebook's parameter `site` names the folder, and nothing else has to be said in a notebook.
All problems of a folder are reported at once, before anything is touched; a key that is not listed here is one of them.

`local.yaml`, if it is there, is laid over `cluster.yaml` key by key, for what nobody commits.
A dot stands for one level of indentation: `endpoint.name` is `name` below `endpoint`."""


@dataclass(frozen=True)
class Parameter:
    """One key of a file: its dotted name, what kind of value it takes, and what is said about it."""

    file: str
    name: str
    kind: str
    default: str
    meaning: str
    allowed: str

    @property
    def anchor(self) -> str:
        """What links to it use."""
        return anchor("parameter", self.file, self.name)


def parameters() -> tuple[Parameter, ...]:
    """Every key of every file, those of a section after the section's own."""
    return tuple(each for file, model in FILES.items() for each in _below(file, model, ""))


def reference(example: Path) -> str:
    """The whole page; `example` is a site's folder that is shown as one that works."""
    parts = [_INTRODUCTION]
    for file in FILES:
        parts += [heading(code(file), level=2, anchor=anchor("parameters", file))]
        parts += [_entry(each) for each in parameters() if each.file == file]
    return page("Parameters of a site", *parts, _upstream(), _example(example))


def _entry(parameter: Parameter) -> str:
    facts = [parameter.kind, _without(parameter)]
    sentences = [
        f"{_sentence(parameter.meaning)}",
        f"Allowed: {plain(parameter.allowed)}." if parameter.allowed else "",
    ]
    title = heading(code(parameter.name), level=3, anchor=parameter.anchor)
    return "\n\n".join([title, f"*{'; '.join(facts)}*", "\n".join(filter(None, sentences))])


def _without(parameter: Parameter) -> str:
    """What it means to leave a key out."""
    section, _, below = parameter.name.partition(".")
    if parameter.default:
        return "may be left out" if parameter.default == EMPTY else f"default {code(parameter.default)}"
    known = section == "sources" and below.split(".")[0] in _UPSTREAM
    return "upstream's if left out" if known else "has to be given"


def _sentence(text: str) -> str:
    return plain(f"{text[:1].upper()}{text[1:]}.")


def _below(file: str, model: type[BaseModel], prefix: str) -> Iterator[Parameter]:
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{name}"
        kind = _kind(field.annotation)
        yield Parameter(file, dotted, kind, _default(field), field.description or "", _allowed(field))
        inner, many = _model_in(field.annotation)
        if inner:
            yield from _below(
                file, inner, f"{dotted}.NAME." if many is dict else f"{dotted}[]." if many else f"{dotted}."
            )


def _kind(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is tuple:
        return f"list of {_kind(arguments[0])}s".replace("ys", "ies")
    if origin is dict:
        return f"names, each with {_EACH.get(_kind(arguments[1]), 'settings of its own')}"
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return _kind(next(each for each in arguments if each is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in ({}, (), "", None):
        return EMPTY
    return str(value).lower() if isinstance(value, bool) else str(value)


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, type | None]:
    """The model of a section, and whether there are many of it: by name (dict), in a list (tuple)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    origin = typing.get_origin(annotation)
    inner = (_model_in(each)[0] for each in typing.get_args(annotation))
    return next((each for each in inner if each), None), origin if origin in (dict, tuple) else None


def _allowed(field: FieldInfo) -> str:
    """What the key's own rules say, in words."""
    said = [_rule(rule) for rule in (*field.metadata, *_inner_rules(field.annotation))]
    return "; ".join(dict.fromkeys(filter(None, said)))


def _inner_rules(annotation: Any) -> Iterator[Any]:
    """The rules of the values in a list or behind names, and of a value that may be left out."""
    for argument in typing.get_args(annotation):
        if typing.get_origin(argument) is typing.Annotated:
            yield from argument.__metadata__
        else:
            yield from _inner_rules(argument)


def _rule(rule: Any) -> str:
    match rule:
        case Ge(ge=least):
            return f"at least {least}"
        case Le(le=most):
            return f"at most {most}"
        case MinLen():
            return "not empty"
        case AfterValidator():
            return _refusal(rule)
    return ""


def _refusal(rule: AfterValidator) -> str:
    """What a kind of text says to a text that is none of it, without the part about that text."""
    adapter: TypeAdapter[Any] = TypeAdapter(typing.Annotated[str, rule])
    for wrong in _WRONG:
        try:
            adapter.validate_python(wrong)
        except ValidationError as error:
            said = re.sub(r", not \d+ characters", "", str(error.errors()[0]["ctx"]["error"]))
            return f"{said}, or an address" if "host name" in said and _takes(adapter, "192.0.2.11") else said
    raise ValueError(f"{rule} allows everything that was tried")


def _takes(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


def _upstream() -> str:
    import yaml

    return "\n\n".join([
        heading("Upstream's sources", level=2, anchor="parameters-upstream"),
        "What a site does not say below `sources` is this, for Kubernetes 1.36.3 and flannel 0.28.10:",
        block(yaml.safe_dump({"sources": _UPSTREAM}, sort_keys=False, width=100), "yaml"),
    ])  # fmt: skip


def _example(folder: Path) -> str:
    files = [folder / "cluster.yaml", *sorted((folder / "nodes").glob("*.yaml"))]
    shown = [f"`{path.relative_to(folder)}`\n\n{block(path.read_text('utf-8'), 'yaml')}" for path in files]
    return "\n\n".join([heading("A whole site", level=2, anchor="parameters-example"), *shown])
