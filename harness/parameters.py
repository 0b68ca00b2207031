"""Describe a component's parameters in words, and check the values that a suite gives for them.

Pydantic checks every parameter strictly against its annotation: a string never becomes a number.
The messages are our own, because a suite's reader thinks in TOML, not in Python.
"""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import MISSING, fields
from functools import cache, partial, reduce
from inspect import get_annotations
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import annotated_types as at

from harness.api import KINDS, Component, HarnessError, parameters_of
from harness.wording import article, choices, either, nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError, ValidationInfo

_T = TypeVar("_T")
Where = tuple[str | int, ...]  # a path in a table: ("of", 0, "temperature")
Build = Callable[[str, Mapping[str, Any]], Component]  # (kind, table) → component


class ParameterErrors(HarnessError):
    """All mistakes in one component's table, each with its path in the table."""

    def __init__(self, problems: Iterable[tuple[Where, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(message for _, message in self.problems)


def _once(function: Callable[[Any], _T]) -> Callable[[Any], _T]:
    """Cache a function of a class, as functools.cache does; mypy does not accept classes as hashable."""
    return cache(function)


# -- the parameters of a class ------------------------------------------------------------------------

# Linters move these imports under `if TYPE_CHECKING`, so annotations that are strings need them here.
_FAMILIAR: dict[str, Any] = {
    "Path": Path,
    "Sequence": Sequence,
    **{name: getattr(typing, name) for name in ("Annotated", "Literal", "Optional", "Union")},
    **{component.__name__: component for component in KINDS.values()},
}


@_once
def types_of(cls: type[Any]) -> Mapping[str, Any]:
    """Return the types of a dataclass's parameters by name. Raise TypeError if one cannot be resolved."""
    found: dict[str, Any] = {}
    for field in fields(cls):
        if not field.init:
            continue
        owner = next((c for c in cls.__mro__ if field.name in get_annotations(c)), cls)

        def stand_in() -> None: ...

        # One field at a time: only type checkers may be able to read other fields and class variables.
        stand_in.__annotations__ = {field.name: field.type}
        namespace = {**_FAMILIAR, **vars(sys.modules[owner.__module__])}
        try:
            found |= typing.get_type_hints(stand_in, namespace, {cls.__name__: cls}, include_extras=True)
        except Exception as error:
            raise TypeError(
                f"cannot resolve the type of parameter '{field.name}' of {cls.__name__}, {field.type}: "
                f"{error}; import the names in it outside of `if TYPE_CHECKING`"
            ) from error
    return found


def unsuitable(annotation: Any) -> str:
    """Return why a component's parameter cannot have this type, or an empty string if it can."""
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return "" if annotation.kind in KINDS else "name a kind of component, such as harness.Loss"
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, list | set | Mapping):
        return (
            f"a component must be hashable: write tuple[...] or frozenset[...] instead of {origin.__name__}"
        )
    if origin is typing.Literal:
        return ""
    return next(filter(None, map(unsuitable, get_args(annotation))), "")


def describe(annotation: Any, constraints: Sequence[Any] = ()) -> str:
    """Return a type in words, e.g. "an integer greater than 0"."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return describe(args[0], (*_flat(args[1:]), *constraints))
    if origin in (typing.Union, types.UnionType):
        return either(describe(arg, constraints) for arg in args if arg is not types.NoneType)
    if origin is typing.Literal:
        return either(map(shown, args))
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)} items: {', then '.join(map(describe, args))}"
    if origin is not None and issubclass(origin, Sequence | frozenset):
        size = _size(constraints)
        return f"a list of {size + ' ' if size else ''}items, each {describe(args[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Component):
        subclass = "" if annotation in KINDS.values() else f" of the type {annotation.__name__}"
        return f'{article(annotation.kind)}{subclass} written {{ use = "..." }}'
    scalars = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}
    words = scalars.get(annotation) or f"a value of the type {getattr(annotation, '__name__', annotation)}"
    if size := _size(constraints):
        words += f" of {size} characters"
    return " ".join(filter(None, (words, _range(constraints))))


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, at.GroupedMetadata):
            yield from item
        else:
            yield item
            yield from getattr(item, "metadata", ())  # pydantic's Field(gt=0)


def _range(constraints: Sequence[Any]) -> str:
    words: tuple[tuple[type[Any], str, str], ...] = (
        (at.Gt, "gt", "greater than"),
        (at.Ge, "ge", "at least"),
        (at.Lt, "lt", "less than"),
        (at.Le, "le", "at most"),
        (at.MultipleOf, "multiple_of", "divisible by"),
    )
    found = [
        f"{text} {getattr(constraint, attribute)}"
        for marker, attribute, text in words
        for constraint in constraints
        if isinstance(constraint, marker)
    ]
    return " and ".join(found)


def _size(constraints: Sequence[Any]) -> str:
    least = max((c.min_length for c in constraints if isinstance(c, at.MinLen)), default=0)
    most = min((c.max_length for c in constraints if isinstance(c, at.MaxLen)), default=None)
    if most is None:
        return {0: "", 1: "one or more"}.get(least, f"{least} or more")
    return f"exactly {most}" if least == most else f"{least} to {most}" if least else f"at most {most}"


# -- the values of a table ----------------------------------------------------------------------------


def read(
    cls: type[Any], table: Mapping[str, Any], build: Build, *, owner: str, noun: str = "parameter"
) -> dict[str, Any]:
    """Return the arguments that a table gives for a dataclass, including defaults.

    Tables inside it that describe components are built. Raise ParameterErrors with every mistake; messages
    call the dataclass `owner` and its fields `noun`.
    """
    from pydantic import ValidationError

    values: dict[str, Any] = {}
    problems: list[tuple[Where, str]] = [
        ((key,), f"{noun} '{key}' of {owner} is unknown{choices(key, types_of(cls))}")
        for key in table
        if key not in types_of(cls)
    ]
    for field in fields(cls):
        name, whose = field.name, noun
        if not field.init:
            continue
        if name in table:
            value = table[name]
        elif field.default is not MISSING:
            # Defaults are checked too, so that `2`, `2.0` and a missing value give the same parameter.
            value, whose = field.default, f"the default of {noun}"
        elif field.default_factory is not MISSING:
            value, whose = field.default_factory(), f"the default of {noun}"
        else:
            kind = describe(types_of(cls)[name])
            problems.append(((name,), f"{owner} needs the {noun} '{name}', {kind}"))
            continue
        try:
            values[name] = frozen(_adapters(cls)[name].validate_python(value, context=build))
        except ValidationError as error:
            problems += _explained(error, name, types_of(cls)[name], value, f"{whose} '{{}}' of {owner}")
    if problems:
        raise ParameterErrors(problems)
    return values


def frozen(value: Any) -> Any:
    """Return the value with each list in it, at any depth, turned into a tuple."""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(frozen(item) for item in value)
    return value


@_once
def _adapters(cls: type[Any]) -> Mapping[str, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    adapters = {}
    for name, annotation in types_of(cls).items():
        try:
            adapters[name] = TypeAdapter(_strict(annotation))
        except Exception as error:
            raise HarnessError(
                f"parameter '{name}' of {cls.__name__} has a type that suites cannot express: {annotation}; "
                "use numbers, strings, true or false, paths, tuples of these, or components"
            ) from error
    return adapters


def _strict(annotation: Any) -> Any:
    """Return the annotation for pydantic: strict scalars, and components built by the catalog."""
    from pydantic import AllowInfNan, PlainValidator, Strict

    if annotation in (int, bool, str):
        return typing.Annotated[annotation, Strict()]
    if annotation is float:  # records are JSON, which has neither infinities nor NaN
        return typing.Annotated[float, Strict(), AllowInfNan(False)]
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return typing.Annotated[Any, PlainValidator(partial(_part, annotation))]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        subscripted: Any = typing.Annotated  # with a computed number of arguments
        return subscripted[(_strict(args[0]), *args[1:])]
    if origin is None or origin is typing.Literal or not args:
        return annotation
    inner = tuple(arg if arg is Ellipsis else _strict(arg) for arg in args)
    return reduce(or_, inner) if origin in (typing.Union, types.UnionType) else origin[inner]


class _PartErrors(ValueError):
    """A carrier of a nested component's ParameterErrors through pydantic, which collects only ValueErrors."""


def _part(expected: type[Component], value: Any, info: ValidationInfo) -> Component:
    from pydantic_core import PydanticCustomError

    part = value
    if isinstance(value, Mapping) and info.context is not None:
        try:
            part = info.context(expected.kind, value)
        except ParameterErrors as errors:
            raise _PartErrors(errors) from errors
    if not isinstance(part, expected):
        raise PydanticCustomError("part", "Input should be a component")
    return part


# Types of pydantic errors that `describe` explains in full; for the others, pydantic's message is used.
_DESCRIBED = re.compile(
    r"part|missing|literal_error|is_instance_of|none_required|sequence_str|multiple_of|too_(short|long)"
    r"|string_too_(short|long)|(greater|less)_than(_equal)?|int_from_float"
    r"|(int|float|bool|string|path|tuple|list|frozen_set|iterable)_type"
)


def _explained(
    error: ValidationError, name: str, annotation: Any, value: Any, label: str
) -> list[tuple[Where, str]]:
    """Return one problem for each place in the parameter `name` where pydantic found a mistake."""
    problems: dict[Where, str] = {}
    for detail in error.errors(include_url=False):
        where, kind, found = _locate((name,), annotation, value, detail["loc"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, _PartErrors):
            problems |= {(*where, *inner): message for inner, message in cause.args[0].problems}
            continue
        message = f"must be {describe(kind)}"
        if not _DESCRIBED.fullmatch(detail["type"]):
            pydantic_says = str(cause) if cause else detail["msg"].replace("Input should", "must")
            message = pydantic_says[:1].lower() + pydantic_says[1:]
        hint = nearest(found, _literals(kind))
        problems.setdefault(where, f"{label.format(spell(where))} {message}, got {brief(found)}{hint}")
    # If items of a list are wrong, report only these, even if too few valid items remain.
    inner_only = (w for w in problems if not any(w == other[: len(w)] != other for other in problems))
    return [(where, problems[where]) for where in inner_only]


def _locate(where: Where, annotation: Any, value: Any, loc: Where) -> tuple[Where, Any, Any]:
    """Follow pydantic's location through lists only; after them it names the members of unions."""
    for step in loc:
        bare = _bare(annotation)
        origin, items = get_origin(bare), get_args(bare)
        if not (isinstance(origin, type) and issubclass(origin, Sequence | frozenset)):
            break
        if not (isinstance(step, int) and isinstance(value, list | tuple) and step < len(value)):
            break
        annotation = items[step] if origin is tuple and Ellipsis not in items else items[0]
        value = value[step]
        where = (*where, step)
    return where, annotation, value


def _bare(annotation: Any) -> Any:
    """Return the annotation without its constraints and without `| None`."""
    members = [arg for arg in get_args(annotation) if arg is not types.NoneType]
    if get_origin(annotation) is typing.Annotated:
        return _bare(members[0])
    if get_origin(annotation) in (typing.Union, types.UnionType) and len(members) == 1:
        return _bare(members[0])
    return annotation


def _literals(annotation: Any) -> list[str]:
    if get_origin(annotation) is typing.Literal:
        return [arg for arg in get_args(annotation) if isinstance(arg, str)]
    return [literal for arg in get_args(annotation) for literal in _literals(arg)]


# -- words --------------------------------------------------------------------------------------------


def spell(where: Where) -> str:
    """Return a path as people write it: ``of[0].temperature``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return "".join(steps).removeprefix(".")


def shown(value: Any) -> str:
    """Return a value as a suite would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, Component):
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return shown({"use": value.name, **given})
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, frozenset | set):
        return shown(sorted(value, key=repr))
    return repr(str(value)) if isinstance(value, str | Path) else str(value)


def brief(value: Any) -> str:
    """Return a value as a suite would write it, shortened if it is long."""
    text = shown(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_typed(value: Any) -> str:
    """Return a parameter's value as one types it in a selector; for a component, its name."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_typed, value))}]"
    return str(value["use"] if isinstance(value, Mapping) and "use" in value else value)


_SETS = {  # the attributes of components that are sets of names
    "teacher": ("task_types", "gives"),
    "student": ("task_types", "learns_from"),
    "augmenter": ("task_types",),
    "loss": ("task_types", "needs"),
}


def check_answers(component: Component) -> None:
    """Raise HarnessError if a component is not what plans can work with."""
    what = f"{component.kind} '{component.name}'"
    if hash(component) != hash(component) or component != component:  # plans compare them
        raise HarnessError(f"{what} does not equal itself")
    for name in _SETS.get(component.kind, ()):
        found: Any = getattr(component, name)
        if not isinstance(found, Set) or not all(isinstance(each, str) for each in found):
            raise HarnessError(f"{what} has {name} {brief(found)}; expected a set of names")
    try:
        json.dumps(parameters_of(component))
    except (TypeError, ValueError) as error:
        raise HarnessError(f"{what} has a parameter that cannot be written as JSON: {error}") from None
