"""Name cells and rows by selectors such as ``student=mlp,cnn,loss=kl``, and label components.

``--only``, ``compare`` and ``export`` take selectors. A name is that of a component, or its label in plans
and tables, such as ``mlp(width=8)`` if several components have the same name. ``student.width=8`` selects by
the value of one parameter. More names of a kind select more; more kinds select less.

``--tracker`` and ``--executor`` take a component with parameters, such as ``mlflow:experiment=mine``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import Component, HarnessError, parameters_of
from harness.wording import nearest

if TYPE_CHECKING:
    from harness.catalog import Catalog


def pairs(expression: str, kinds: Sequence[str], told: str) -> Iterator[tuple[str, str]]:
    """Yield the kind (or "kind.parameter") and the name of each piece of a selector.

    Raise HarnessError if a piece has no kind or an unknown one; its message begins with `told`.
    """
    kind = ""
    for piece in map(str.strip, _pieces(expression)):
        # "mlp(width=8)" has an equals sign too, but no kind before it.
        left, equals, right = piece.partition("=")
        if equals and "(" not in left:
            kind, piece = left.strip(), right.strip()
        plain = (kind or piece).partition(".")[0]
        if not kind or plain not in kinds:
            raise HarnessError(
                f"{told} must be <kind>=<name> or <kind>.<parameter>=<value>, separated by commas; "
                f"allowed kinds: {', '.join(kinds)}{nearest(plain, kinds)}"
            )
        yield kind, piece


def _pieces(expression: str) -> list[str]:
    """Split at commas outside parentheses and brackets."""
    pieces, depth = [""], 0
    for char in expression:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces


PARTS = ("teacher", "student", "augmenter", "loss")  # the components of a record, besides its task


def identity(component: Mapping[str, Any] | None) -> list[Any] | None:
    """Return the values that distinguish a component of a record from all others."""
    if component is None:
        return None
    package = (component.get("plugin") or "").partition(" ")[0]  # without its version
    return [component["name"], component["params"], package, component.get("version")]


def configuration(described: Mapping[str, Any]) -> str:
    """Return, as one string, what distinguishes a record's row from all others: everything but the seed."""
    parts = [identity(described.get(kind)) for kind in ("task", *PARTS)]
    return json.dumps([named(described), parts], sort_keys=True, default=str)


def contains(new: Any, old: Any) -> bool:
    """Return whether `new` equals `old`, apart from parameters that a component has gained since."""
    if isinstance(new, dict) and isinstance(old, dict):
        return all(name in new and contains(new[name], value) for name, value in old.items())
    if isinstance(new, list | tuple) and isinstance(old, list | tuple):
        return len(new) == len(old) and all(map(contains, new, old))
    return bool(new == old)


def named(described: Mapping[str, Any]) -> str:
    """Return the data, the role and the components' names, as one string."""
    task = described["task"]
    names = [(described.get(kind) or {}).get("name") for kind in PARTS]
    return json.dumps([task["name"], task.get("source"), task.get("fingerprint"), described["role"], *names])


def labeller(records: Sequence[Mapping[str, Any]]) -> Callable[[str, Any], str]:
    """Return a function from (kind, component) to a label.

    A label is the component's name and the parameters in which components of that name differ.
    """
    namesakes: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    seen: set[tuple[str, int]] = set()  # records of one run share the descriptions of components
    for fields in records:
        for kind in ("task", *PARTS):
            if (component := fields.get(kind)) and (kind, id(component)) not in seen:
                seen.add((kind, id(component)))
                namesakes[kind, component["name"]].setdefault(
                    _canonical(identity(component)), _traits(component)
                )

    @cache
    def differing(kind: str, name: str) -> set[str]:
        return _differing(list(namesakes[kind, name].values()))

    @cache
    def others(kind: str, name: str, key: str) -> list[Any]:
        values = (one[key] for one in namesakes[kind, name].values() if key in one)
        return list({_canonical(value): value for value in values}.values())

    @cache
    def shown(kind: str, name: str, identity: str) -> str:
        params = namesakes[kind, name][identity]
        return _call(name, params, partial(others, kind, name), differing(kind, name))

    return lambda kind, component: shown(kind, component["name"], _canonical(identity(component)))


def component_labeller(components: Iterable[Component]) -> Callable[[Component], str]:
    """Return a function from any of these components to its label; the same object is described only once."""
    every = {id(component): component for component in components}
    described = {key: {"name": one.name, "params": parameters_of(one)} for key, one in every.items()}
    label = labeller([{one.kind: described[key]} for key, one in every.items()])
    known = {key: label(one.kind, described[key]) for key, one in every.items()}
    return lambda component: known[id(component)]


def _traits(component: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may distinguish two components of the same name: mostly parameters."""
    where = {key: component[key] for key in ("version", "plugin") if component.get(key) is not None}
    return {**where, **component["params"]}


def _differing(namesakes: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the parameters that are missing in some components, or differ between them."""
    keys = {key for one in namesakes for key in one}
    return {
        key for key in keys if any(key not in one or one[key] != namesakes[0].get(key) for one in namesakes)
    }


def _call(
    name: str, params: Mapping[str, Any], others: Callable[[str], Sequence[Any]], differing: Container[str]
) -> str:
    """Return a name with the parameters in which components of that name differ, as short as possible.

    `others` returns the values that a parameter has in these components, each at least once.
    """
    inside = [
        f"{key}={_shown(value, others(key) if isinstance(value, Mapping | list | tuple) else ())}"
        for key, value in params.items()
        if key != "use" and key in differing
    ]
    return f"{name}({', '.join(inside)})" if inside else name


def _shown(value: Any, others: Sequence[Any]) -> str:
    """Return a parameter's value; for a component in it, what distinguishes it from its like in `others`."""
    if isinstance(value, Mapping):
        name = str(value.get("use", ""))
        namesakes = [part for part in _parts(others) if part.get("use", "") == name]

        def inner(key: str) -> list[Any]:
            return [part[key] for part in namesakes if key in part]

        return _call(name, value, inner, _differing(namesakes)) or "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_counted([_shown(item, others) for item in value], value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _counted(shown: Sequence[str], values: Sequence[Any]) -> Iterator[str]:
    """Yield the texts, with equal components in a row as one text and their number: "3 × minilm"."""
    for (text, part), run in groupby(zip(shown, (isinstance(v, Mapping) for v in values), strict=True)):
        count = len(list(run))
        yield from [f"{count} × {text}"] if part and count > 1 else [text] * count


def _parts(values: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the components among the values of some parameters."""
    for value in values:
        if isinstance(value, Mapping):
            yield value
        elif isinstance(value, list | tuple):
            yield from _parts(value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def component_of(kind: str, text: str, catalog: Catalog) -> Component:
    """Return the component that ``--tracker`` or ``--executor`` names, e.g. "mlflow:experiment=mine,uri=…".

    Raise HarnessError with every mistake, each beginning with the option's name, which is that of the kind.
    """
    from harness.parameters import types_of

    name, _, rest = text.partition(":")
    table: dict[str, Any] = {"use": name}
    for item in re.split(r",(?=\s*\w+\s*=)", rest) if rest else ():
        key, equals, value = item.partition("=")
        if not equals:
            raise HarnessError(f"--{kind} must be NAME or NAME:PARAMETER=VALUE,…, got {text!r}")
        table[key.strip()] = value.strip()
    try:
        types = types_of(catalog.get(kind, name).component)
        table |= {k: _value(v) for k, v in table.items() if k in types and types[k] not in (str, Path)}
        return catalog.build(kind, table)
    except HarnessError as error:
        raise HarnessError("\n".join(f"--{kind}: {line}" for line in str(error).splitlines())) from None


def _value(text: str) -> Any:
    """Return a text as a TOML value, or unchanged if it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
