"""What cells and rows are named by: ``student=mlp,cnn,loss=kl``, for ``--only``, ``compare`` and ``export``.

A name is a component's, or its label in the plan and in tables, such as ``mlp(width=8)``, where namesakes
differ; ``student.width=8`` asks for the value of one parameter. Names of one kind add up, kinds narrow down.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any

from harness.api import HarnessError
from harness.wording import nearest


def pairs(expression: str, kinds: Sequence[str], told: str) -> Iterator[tuple[str, str]]:
    """The kind (or "kind.parameter") and the name of each piece of a selector.

    Raises HarnessError, with `told` for its beginning, where a piece has no kind or an unknown one.
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
                f"{told} must be <kind>=<name> or <kind>.<parameter>=<value>, with commas between; "
                f"a kind is one of: {', '.join(kinds)}{nearest(plain, kinds)}"
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


PARTS = ("teacher", "student", "augmenter", "loss")  # of a record, beside its task


def identity(component: Mapping[str, Any] | None) -> list[Any] | None:
    """What tells a component of a record from all others."""
    if component is None:
        return None
    package = (component.get("plugin") or "").partition(" ")[0]  # of any version: the component has its own
    return [component["name"], component["params"], package, component.get("version")]


def configuration(described: Mapping[str, Any]) -> str:
    """What tells a record's row of a table from all others, which is all but the seed, as one string."""
    parts = [identity(described.get(kind)) for kind in ("task", *PARTS)]
    return json.dumps([named(described), parts], sort_keys=True, default=str)


def contains(new: Any, old: Any) -> bool:
    """Whether parameters are others with, at most, some more: those that a component has gained since."""
    if isinstance(new, dict) and isinstance(old, dict):
        return all(name in new and contains(new[name], value) for name, value in old.items())
    if isinstance(new, list | tuple) and isinstance(old, list | tuple):
        return len(new) == len(old) and all(map(contains, new, old))
    return bool(new == old)


def named(described: Mapping[str, Any]) -> str:
    """The data, the role and the components' names."""
    task = described["task"]
    names = [(described.get(kind) or {}).get("name") for kind in PARTS]
    return json.dumps([task["name"], task.get("source"), task.get("fingerprint"), described["role"], *names])


def labeller(records: Sequence[Mapping[str, Any]]) -> Callable[[str, Any], str]:
    """A function from (kind, component) to its name and those parameters in which its namesakes differ."""
    namesakes: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for fields in records:
        for kind in ("task", *PARTS):
            if component := fields.get(kind):
                namesakes[kind, component["name"]].setdefault(
                    _canonical(identity(component)), _traits(component)
                )

    @cache
    def differing(kind: str, name: str) -> set[str]:
        return _differing(list(namesakes[kind, name].values()))

    @cache
    def shown(kind: str, name: str, identity: str) -> str:
        every = list(namesakes[kind, name].values())
        return _call(name, namesakes[kind, name][identity], every, differing(kind, name))

    return lambda kind, component: shown(kind, component["name"], _canonical(identity(component)))


def _traits(component: Mapping[str, Any]) -> dict[str, Any]:
    """What may tell two components of one name apart: mostly parameters."""
    where = {key: component[key] for key in ("version", "plugin") if component.get(key) is not None}
    return {**where, **component["params"]}


def _differing(namesakes: Sequence[Mapping[str, Any]]) -> set[str]:
    """The parameters that not all have, or not with the same value."""
    keys = {key for one in namesakes for key in one}
    return {
        key for key in keys if any(key not in one or one[key] != namesakes[0].get(key) for one in namesakes)
    }


def _call(
    name: str, params: Mapping[str, Any], namesakes: Sequence[Mapping[str, Any]], differing: Container[str]
) -> str:
    """A name, and those parameters in which something of that name differs, each as short as that allows."""
    inside = [
        f"{key}={_shown(value, [other[key] for other in namesakes if key in other])}"
        for key, value in params.items()
        if key != "use" and key in differing
    ]
    return f"{name}({', '.join(inside)})" if inside else name


def _shown(value: Any, others: Sequence[Any]) -> str:
    """A parameter's value; of components in it, what tells them from those of their name in `others`."""
    if isinstance(value, Mapping):
        name = str(value.get("use", ""))
        namesakes = [part for part in _parts(others) if part.get("use", "") == name]
        return _call(name, value, namesakes, _differing(namesakes)) or "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_counted([_shown(item, others) for item in value], value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _counted(shown: Sequence[str], values: Sequence[Any]) -> Iterator[str]:
    """The same, where equal components follow each other as one and their number: "3 × minilm"."""
    for (text, part), run in groupby(zip(shown, (isinstance(v, Mapping) for v in values), strict=True)):
        count = len(list(run))
        yield from [f"{count} × {text}"] if part and count > 1 else [text] * count


def _parts(values: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """The components that stand in some parameters' values."""
    for value in values:
        if isinstance(value, Mapping):
            yield value
        elif isinstance(value, list | tuple):
            yield from _parts(value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
