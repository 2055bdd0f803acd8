"""A document against its model: the model's complaints as problems a person can act on."""

from __future__ import annotations

import contextlib
import difflib
import json
import typing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pic4ser_lib.errors import Problem
from pic4ser_lib.site.reading import Document, Key

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Judged(Generic[M]):
    """What a document says: the model of what is right, the problems, and the top-level keys whose value is wrong.

    A wrong key has its default in the model, or is no attribute of it: look into `wrong` before reading one.
    """

    model: M
    problems: tuple[Problem, ...] = ()
    wrong: frozenset[str] = frozenset()


def judged(model: type[M], document: Document, *, complete: bool = True) -> Judged[M]:
    """The document against its model. `complete=False`: missing keys are no problem.

    Unknown keys do not make the rest of their section wrong, so that the rules across files still see it.
    """
    try:
        return Judged(model.model_validate_json(json.dumps(document.values), strict=True))
    except ValidationError as error:
        errors = error.errors(include_url=False)
    found = [_problem(model, document, each, complete=complete) for each in errors]
    strangers = [_key(each["loc"]) for each in errors if each["type"] == "extra_forbidden"]
    right = _right_sections(model, _without(document.values, strangers))
    wrong = frozenset(model.model_fields) & frozenset(document.values) - frozenset(right)
    return Judged(model.model_construct(**right), tuple(p for p in found if p is not None), wrong)


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """A sentence for an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"unknown; did you mean {near[0]}?" if near else f"unknown; known here: {', '.join(names)}"


def _problem(model: type[BaseModel], document: Document, error: Any, *, complete: bool) -> Problem | None:
    key = _key(error["loc"])
    if any(key[:length] in document.misread for length in range(1, len(key) + 1)):
        return None  # said already, with the reason
    if error["type"] == "missing" and not complete:
        return None
    return document.problem(key, _sentence(model, key, error, document.place(key).text))


def _key(loc: tuple[Any, ...]) -> Key:
    return tuple(part for part in loc if part != "[key]")


def _sentence(model: type[BaseModel], key: Key, error: Any, text: str) -> str:
    meaning = _description(model, key)
    meant = f" ({meaning})" if meaning else ""
    seen = error["input"]
    if error["type"] == "extra_forbidden":
        return nearest(str(key[-1]), _model_at(model, key[:-1]).model_fields)
    if error["type"] == "missing":
        return f"missing{meant}"
    if seen is None:
        return f"empty: give it a value or delete the key{meant}"
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_type" | "path_type" if isinstance(seen, bool | int | float):
            return f'write "{text}" in quotes; without them YAML reads {json.dumps(seen)}, which is no text{meant}'
        case "string_type" | "path_type":
            return f"a text is wanted{meant}"
        case "bool_type":
            return f"true or false, without quotes{meant}"
        case "int_type" | "int_from_float":
            return f"a whole number, without quotes{meant}"
        case "tuple_type" | "list_type":
            return f"a list is wanted, such as [a, b]{meant}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"`key: value` lines are wanted here{meant}"
    message = str(error["msg"]).removeprefix("Input should be ")
    return f"{message}{meant}"


def _model_at(model: type[BaseModel], key: Key) -> type[BaseModel]:
    for part in key:
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field else None) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in typing.get_args(annotation) if (m := _model_in(arg))), None)


def _description(model: type[BaseModel], key: Key) -> str:
    names = [str(part) for part in key]
    for length in range(len(names), 0, -1):
        field = _model_at(model, key[: length - 1]).model_fields.get(names[length - 1])
        if field and field.description:
            return field.description
    return ""


def _without(values: dict[str, Any], keys: list[Key]) -> dict[str, Any]:
    kept = json.loads(json.dumps(values))
    for key in keys:
        here = kept
        for part in key[:-1]:
            here = here[part]
        here.pop(key[-1], None)
    return typing.cast(dict[str, Any], kept)


def _right_sections(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    right = {}
    for name, field in model.model_fields.items():
        with contextlib.suppress(ValidationError):
            if name in values:
                kind: Any = typing.Annotated[field.annotation, field]
                right[name] = TypeAdapter(kind).validate_json(json.dumps(values[name]), strict=True)
    return right
