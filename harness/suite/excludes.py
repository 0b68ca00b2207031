"""Read the tables ``[[exclude]]`` of a suite, and match the cells that they leave out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.api import KINDS, Augmenter, Component, HarnessError, Loss, Student, Task, Teacher
from harness.parameters import Where, brief, types_of
from harness.wording import article, choices

if TYPE_CHECKING:
    from harness.catalog import Catalog


class Configuration(Protocol):
    """The parts of a cell that an exclude is compared with."""

    @property
    def task(self) -> Task | None: ...  # noqa: D102
    @property
    def teacher(self) -> Teacher | None: ...  # noqa: D102
    @property
    def student(self) -> Student | None: ...  # noqa: D102
    @property
    def augmenter(self) -> Augmenter | None: ...  # noqa: D102
    @property
    def loss(self) -> Loss | None: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Exclude:
    """A rule that leaves out cells: those that have, for each kind given, one of its components."""

    task: frozenset[Task] | None = None
    teacher: frozenset[Teacher] | None = None
    student: frozenset[Student] | None = None
    augmenter: frozenset[Augmenter] | None = None
    loss: frozenset[Loss] | None = None
    seed: frozenset[int] | None = None


class Excluded:
    """Whether cells are left out by any of many excludes, in a time that hardly depends on their number.

    Each exclude is a bit. For each component, and each seed, a number has the bits of the excludes that do
    not spare it; a cell is left out if the numbers of all its parts have a bit in common.
    """

    def __init__(self, excludes: Sequence[Exclude]) -> None:
        self._any = bool(excludes)
        self._others: dict[str, int] = {}  # by kind: the excludes that say nothing about it
        self._named: dict[tuple[str, Any], int] = {}  # by kind and component: the excludes that name it
        self._known: dict[tuple[str, int], tuple[Any, int]] = {}  # by kind and object, with the object
        for each in fields(Exclude):
            named: dict[Any, list[int]] = {None: []}
            for place, exclude in enumerate(excludes):
                given = getattr(exclude, each.name)
                for value in (None,) if given is None else given:
                    named.setdefault(value, []).append(place)
            self._others[each.name] = _bits(named.pop(None))
            self._named |= {(each.name, value): _bits(places) for value, places in named.items()}

    def __call__(self, cell: Configuration) -> bool:
        """Return whether the cell is left out."""
        left = self._any and self._of("seed", cell.seed)
        for kind in KINDS if left else ():
            left &= self._of(kind, getattr(cell, kind))
        return bool(left)

    def _of(self, kind: str, value: Any) -> int:
        """Return the bits of a part, found by object: comparing components takes long."""
        memo = kind, id(value)
        if memo not in self._known:
            self._known[memo] = value, self._others[kind] | self._named.get((kind, value), 0)
        return self._known[memo][1]


def _bits(places: Iterable[int]) -> int:
    """Return the number that has ones at some places."""
    marks = bytearray()
    for place in places:
        marks.extend(bytes(max(0, place // 8 + 1 - len(marks))))
        marks[place // 8] |= 1 << place % 8
    return int.from_bytes(marks, "little")


def agrees(pattern: Any, value: Any) -> bool:
    """Return whether a component, or a parameter's value, matches a table in a suite.

    A parameter that is not in the table may have any value. If the table has no `use`, so may the name.
    """
    if isinstance(value, Component):
        known = types_of(type(value))
        return isinstance(pattern, Mapping) and all(
            wanted == value.name if key == "use" else key in known and agrees(wanted, getattr(value, key))
            for key, wanted in pattern.items()
        )
    if isinstance(value, tuple | frozenset):
        if not isinstance(pattern, list) or len(pattern) != len(value):
            return False
        if isinstance(value, tuple):
            return all(map(agrees, pattern, value))
        return all(any(agrees(wanted, item) for item in value) for wanted in pattern)
    if isinstance(value, Path):
        return isinstance(pattern, str) and Path(pattern) == value
    return bool(pattern == value) and isinstance(pattern, bool) == isinstance(value, bool)


@dataclass(frozen=True)
class ExcludeReader:
    """A reader of the tables ``[[exclude]]``, for a suite whose other tables have been read.

    A table that excludes nothing is a mistake, unless what it names may be in a table that could not be read.
    """

    catalog: Catalog
    found: Mapping[str, Sequence[Component]]  # the suite's components, by kind
    seeds: tuple[int, ...]
    unsound: Collection[str]  # the kinds (or "seed") of which some in the suite could not be read
    problem: Callable[[Where, str], None]  # is called for each mistake

    def read(self, here: Where, table: Mapping[str, Any]) -> Exclude:
        """Return the exclude for the table at the path `here` of the suite; report its mistakes."""
        keys = (*KINDS, "seed")
        matched: dict[str, frozenset[Any]] = {}
        if not table:
            self.problem(
                here, f"an exclude without a key would exclude everything (allowed: {', '.join(keys)})"
            )
        for key, value in table.items():
            where = (*here, key)
            if key not in keys:
                self.problem(where, f"unknown key '{key}'{choices(key, keys)}")
            elif key == "seed":
                matched[key] = frozenset(self._seeds(where, value))
            else:
                matched[key] = frozenset(self._matching(where, key, value))
        losses = matched.get("loss")
        if losses and "teacher" in matched and all(loss.needs <= {"labels"} for loss in losses):
            names = ", ".join(sorted({f"'{loss.name}'" for loss in losses}))
            self.problem(here, f"excludes nothing: loss {names} is never combined with a teacher")
        return Exclude(**matched)

    def _seeds(self, where: Where, value: Any) -> list[int]:
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(type(seed) is int for seed in listed):
            self.problem(where, f"`seed` must be an integer or a list of integers, got {brief(value)}")
            return []
        for seed in listed:
            if seed not in self.seeds and "seed" not in self.unsound:
                allowed = ", ".join(map(str, self.seeds))
                self.problem(where, f"excludes nothing: the suite has no seed {seed} (allowed: {allowed})")
        return listed

    def _matching(self, where: Where, kind: str, value: Any) -> list[Component]:
        """Return the suite's components that match a name, a table, or a list of these."""
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(item, str | dict) for item in listed):
            allowed = f"the name of {article(kind)}, a table with `use` and parameters, or a list of these"
            self.problem(where, f"`{kind}` must be {allowed}, got {brief(value)}")
            return []
        there, found = self.found[kind], []
        for index, item in enumerate(listed):
            place = (*where, index) if isinstance(value, list) else where
            pattern = {"use": item} if isinstance(item, str) else item
            if not pattern:
                self.problem(place, f"a table without a key would exclude every {kind}")
            elif self._known(place, kind, pattern):
                matching = [component for component in there if agrees(pattern, component)]
                if not matching and kind not in self.unsound:
                    names = ", ".join(dict.fromkeys(component.name for component in there)) or "none"
                    self.problem(
                        place, f"excludes nothing: the suite has no {kind} {brief(item)} (allowed: {names})"
                    )
                found += matching
        return found

    def _known(self, where: Where, kind: str, pattern: Mapping[str, Any]) -> bool:
        """Return whether the catalog has the component that a pattern names, with these parameters."""
        if "use" not in pattern:
            return True
        try:
            component = self.catalog.get(kind, str(pattern["use"])).component
        except HarnessError as error:
            self.problem(where, str(error))
            return False
        unknown = [key for key in pattern if key != "use" and key not in types_of(component)]
        for key in unknown:
            hint = choices(key, types_of(component))
            self.problem((*where, key), f"parameter '{key}' of {kind} '{component.name}' is unknown{hint}")
        return not unknown
