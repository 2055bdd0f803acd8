"""What an expression of the library's source says, read without running it: sentences with «names» for what varies.

An expression may say several things (a conditional, a variable set in two branches): all of them are returned.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from docs.generate.source import Function, Library, Source

MOST = 6
"""More readings of one expression than this are too many to read: only the first of each part is kept."""
DEEPEST = 12
"""So many names are followed from one to the next; a text that needs more is a name."""

UNKNOWN = "«…»"
_THROUGH = {"strip", "rstrip", "lstrip", "removesuffix", "removeprefix", "lower", "capitalize", "decode", "splitlines"}


@dataclass(frozen=True, eq=False)
class Scope:
    """Where an expression stands: its module, its class, and what the parameters of its function were given."""

    source: Source
    owner: ast.ClassDef | None = None
    arguments: dict[str, tuple[ast.expr, Scope]] = field(default_factory=dict)


def own_words(text: str) -> str:
    """A text without its names: what it says whatever it is about."""
    kept, _, rest = text.partition("«")
    return kept + own_words(rest.partition("»")[2]) if rest else kept


def name_of(expr: ast.AST) -> str:
    """What stands for an expression whose text is known only when it runs: `", ".join(seen.others)` is «others»."""
    match expr:
        case ast.Name(id=name):
            return _shown(name)
        case ast.Attribute(value=value, attr=attr):
            return name_of(value) if attr in ("name", "stderr") else _shown(attr)
        case ast.Call(func=ast.Attribute(attr="join"), args=[first, *_]):
            return name_of(first)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _THROUGH:
            return name_of(value)
        case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[key, *_]):
            return _shown(str(key.value)) if isinstance(key, ast.Constant) else name_of(value)
        case ast.Call(func=ast.Name(id="str" | "repr" | "len" | "map" | "sorted" | "type"), args=arguments) if (
            arguments
        ):
            return name_of(arguments[-1])
        case ast.Call(func=func):
            return name_of(func)
        case ast.Subscript(value=value) | ast.Starred(value=value) | ast.FormattedValue(value=value):
            return name_of(value)
        case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt) | ast.SetComp(elt=elt):
            return name_of(elt)
        case ast.JoinedStr(values=values):
            return next((name_of(v) for v in values if isinstance(v, ast.FormattedValue)), UNKNOWN)
        case ast.BinOp(left=left):
            return name_of(left)
    return UNKNOWN


@dataclass(frozen=True)
class Reader:
    """Reads expressions of one library."""

    library: Library

    def texts(self, expr: ast.expr, scope: Scope, depth: int = 0) -> tuple[str, ...]:
        """All that an expression may say, in the order of the source, each once."""
        if depth > DEEPEST:
            return (name_of(expr),)
        return tuple(dict.fromkeys(self._texts(expr, scope, depth + 1)))[:MOST]

    def attribute(self, owner: ast.ClassDef, name: str, scope: Scope, depth: int = 0) -> tuple[str, ...]:
        """What a class says by an attribute or a property: its own, or inherited, or its heirs'; else nothing."""
        for kind, source in self.library.lineage(owner, scope.source):
            if said := self._own(kind, name, Scope(source, owner, scope.arguments), depth):
                return said
        heirs = list(self.library.heirs(owner))
        return tuple(text for heir, source in heirs for text in self._own(heir, name, Scope(source, heir), depth))

    def _own(self, kind: ast.ClassDef, name: str, inside: Scope, depth: int) -> tuple[str, ...]:
        for node in kind.body:
            match node:
                case ast.Assign(targets=targets, value=value) if name in _names(targets):
                    return self._values(targets, value, name, inside, depth)
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.Constant(value=str() as text)) if (
                    target == name
                ):
                    return (text,) if text else ()
                case ast.FunctionDef(name=function) if function == name:
                    return self._returned(node, inside, depth)
        return ()

    def _values(
        self, targets: Sequence[ast.expr], value: ast.expr, name: str, scope: Scope, depth: int
    ) -> tuple[str, ...]:
        """What `a = x` or `a, b = x, y` gives to one name."""
        if isinstance(value, ast.Tuple) and isinstance(targets[0], ast.Tuple):
            return self.texts(value.elts[list(_names(targets)).index(name)], scope, depth)
        return self.texts(value, scope, depth)

    def _texts(self, expr: ast.expr, scope: Scope, depth: int) -> Iterator[str]:
        match expr:
            case ast.Constant(value=value):
                yield str(value)
            case ast.JoinedStr(values=parts):
                yield from self._joined(parts, scope, depth)
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                yield from self._joined([left, right], scope, depth)
            case ast.Tuple(elts=parts):
                yield ".".join(self.texts(part, scope, depth)[0] for part in parts)
            case ast.IfExp(body=one, orelse=other):
                yield from self.texts(one, scope, depth)
                yield from self.texts(other, scope, depth)
            case ast.BoolOp(values=values) | ast.Dict(values=values):
                yield from itertools.chain(*(self.texts(value, scope, depth) for value in values))
            case ast.FormattedValue(value=value) | ast.NamedExpr(value=value):
                yield from self.texts(value, scope, depth)
            case ast.Call():
                yield from self._called(expr, scope, depth)
            case ast.Name(id=name):
                yield from self._named(name, expr, scope, depth)
            case ast.Attribute(value=ast.Name(id="self"), attr=attr) if scope.owner:
                yield from self.attribute(scope.owner, attr, scope, depth) or (name_of(expr),)
            case ast.Attribute(value=ast.Name(id=module), attr=attr):
                yield from self._constant_of(module, attr, scope, depth) or (name_of(expr),)
            case _:
                yield name_of(expr)

    def _joined(self, parts: Sequence[ast.expr], scope: Scope, depth: int) -> Iterator[str]:
        """Every combination of what the parts say; what is there only sometimes is shown as there."""
        said = [self.texts(part, scope, depth) for part in parts]
        said = [tuple(filter(None, each)) or ("",) for each in said]
        if len(list(itertools.product(*said))) > MOST:
            said = [each[:1] for each in said]
        yield from map("".join, itertools.product(*said))

    def _called(self, call: ast.Call, scope: Scope, depth: int) -> Iterator[str]:
        match call.func:
            case ast.Attribute(value=value, attr="replace") if len(call.args) == 2:
                old, new = (self.texts(each, scope, depth)[0] for each in call.args)
                yield from (text.replace(old, new) for text in self.texts(value, scope, depth))
            case ast.Attribute(value=value, attr="format"):
                given = {each.arg: self.texts(each.value, scope, depth)[0] for each in call.keywords if each.arg}
                for text in self.texts(value, scope, depth):
                    for name, said in given.items():
                        text = text.replace(f"{{{name}}}", said)
                    yield text
            case ast.Attribute(value=value, attr=attr) if attr in _THROUGH:
                yield from self.texts(value, scope, depth)
            case ast.Attribute(value=ast.Name(id=name), attr="get") if name in scope.source.constants:
                for value in (scope.source.constants[name], *call.args[1:]):
                    yield from self.texts(value, scope, depth)
            case ast.Name(id=kind) if (
                kind[0].isupper() and len(call.args) == 1 and isinstance(call.args[0], ast.Constant)
            ):
                yield str(call.args[0].value)
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name):
                function = scope.source.function(name)
                inside = Scope(scope.source, scope.owner, arguments_of(call, function, scope)) if function else scope
                yield from (self._returned(function, inside, depth) if function else ()) or (name_of(call),)
            case _:
                yield name_of(call)

    def _returned(self, function: Function, scope: Scope, depth: int) -> tuple[str, ...]:
        """What a function returns, if that is a sentence or some."""
        values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
        said = [text for value in values for text in self.texts(value, scope, depth)]
        return tuple(text for text in said if own_words(text).strip(" .,:;"))

    def _named(self, name: str, use: ast.AST, scope: Scope, depth: int) -> Iterator[str]:
        if values := scope.source.assigned(name, use):
            said = [text for value in values for text in self.texts(value, scope, depth)]
            telling = [text for text in said if any(map(str.isalpha, own_words(text)))]
            if len(values) == 1 and any(map(own_words, said)):
                yield from (text.replace(UNKNOWN, _shown(name)) for text in said)
            else:
                yield from telling or (_shown(name),)
        elif name in scope.arguments:
            value, outside = scope.arguments[name]
            yield from self.texts(value, outside, depth)
        elif name in scope.source.constants:
            yield from self.texts(scope.source.constants[name], Scope(scope.source), depth)
        elif imported := self.library.imported(name, scope.source):
            source, original = imported
            constant = source.constants.get(original)
            yield from self.texts(constant, Scope(source), depth) if constant is not None else (_shown(name),)
        else:
            yield _shown(name)

    def _constant_of(self, module: str, name: str, scope: Scope, depth: int) -> tuple[str, ...]:
        source = self.library.module(module, scope.source)
        value = source.constants.get(name) if source else None
        return self.texts(value, Scope(source), depth) if source and value is not None else ()


def arguments_of(call: ast.Call, function: Function, scope: Scope) -> dict[str, tuple[ast.expr, Scope]]:
    """What a call gives to a function's parameters, and where that was written; else their defaults."""
    positional = [each.arg for each in (*function.args.posonlyargs, *function.args.args) if each.arg != "self"]
    defaults = dict(zip(positional[::-1], function.args.defaults[::-1], strict=False))
    only = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    defaults |= {each.arg: value for each, value in only if value is not None}
    given: dict[str, ast.expr] = dict(zip(positional, call.args, strict=False)) | {
        each.arg: each.value for each in call.keywords if each.arg
    }
    return {name: (value, scope) for name, value in (defaults | given).items()}


def _names(targets: Sequence[ast.expr]) -> Iterator[str]:
    for target in targets:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _shown(name: str) -> str:
    return f"«{name.strip('_').replace('_', ' ')}»"
