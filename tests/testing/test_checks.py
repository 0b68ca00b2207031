"""Each conformance check passes a sound component, and fails one that breaks its rule and no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sound import (
    SOUND,
    Letters,
    LetterStudent,
    LetterTeacher,
    Shout,
    Sky,
    Squares,
    broken_by,
    fits,
    solve,
    variant,
)
from torch import Tensor
from torch.nn.functional import cross_entropy

import harness
from harness.api import Component, Context, Examples
from harness.catalog import Catalog, Entry
from harness.task_types.classification import Classification
from harness.testing.checks import check_basics, check_component, check_imports, check_student, check_task
from harness.testing.tiny import FromLogits, as_in_a_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("component", [*SOUND, FromLogits()], ids=lambda c: type(c).__name__)
def test_sound_components_pass(component: Component) -> None:
    check_component(component)


def test_something_else_is_no_component() -> None:
    assert "is not a component" in broken_by(object())  # type: ignore[arg-type]


def test_importing_the_checks_needs_neither_pytest_nor_torch() -> None:
    code = "import sys, harness.testing; sys.exit(bool({'torch', 'pytest', '_pytest'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what all kinds share -------------------------------------------------------------------------------


class Undecorated(Shout):
    """No dataclass of its own."""


@dataclass(frozen=True)
class Undocumented(Shout):
    name = "undocumented"


@dataclass(frozen=True)
class Camel(Shout):
    """Its name is not kebab-case."""

    name = "CamelCase"


@dataclass(frozen=True)
class Normalises(Shout):
    """Changes what it is given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "marks", tuple(sorted(self.marks)))


@dataclass(frozen=True, init=False)
class OwnInit(Shout):
    """Works in its constructor."""

    def __init__(self, marks: tuple[str, ...] = ("!",)) -> None:
        object.__setattr__(self, "marks", marks)
        object.__setattr__(self, "ready", True)


@dataclass(frozen=True)
class KeepsMore(Shout):
    """Stores what is no parameter."""

    def __new__(cls, *args: Any, **kwargs: Any) -> KeepsMore:
        made = super().__new__(cls)
        vars(made)["cache"] = {}
        return made


@dataclass(frozen=True)
class Hidden(Shout):
    """Has a parameter that its repr hides."""

    secret: int = field(default=3, repr=False)


@dataclass(frozen=True)
class Addressed(Shout):
    """Has a parameter whose repr is its address."""

    @dataclass(frozen=True, repr=False)
    class Inner:
        """Equal to its like, but shown by address."""

    inner: Any = Inner()


@dataclass(frozen=True)
class Forgetful(Shout):
    """Loses a parameter when pickled."""

    def __reduce__(self) -> Any:
        return Forgetful, ()


@dataclass(frozen=True)
class Strict(Shout):
    """Takes fewer parameters than its constructor."""

    marks: Annotated[tuple[str, ...], harness.MinLen(1)] = ("!",)


@dataclass(frozen=True)
class Unsure(Shout):
    """Its check refuses it."""

    def check(self) -> None:
        raise ValueError("marks are too loud")


@pytest.mark.parametrize(
    ("component", "rule"),
    [
        (Undecorated(), "must be decorated with @dataclass(frozen=True)"),
        (Undocumented(), "needs a docstring"),
        (Camel(), "kebab-case"),
        (Normalises(), "__init__ must only store"),
        (OwnInit(), "__init__ must only store"),
        (KeepsMore(), "__init__ must store its parameters, and no more"),
        (Shout(["!"]), "all of its values must be hashable"),  # type: ignore[arg-type]
        (Shout((lambda: None,)), "it must be picklable"),  # type: ignore[arg-type]
        (Hidden(), "repr must show all parameters, and lacks secret=3"),
        (Addressed(), "it must be the same when pickled and read back"),
        (Forgetful(("?", "!")), "it must be the same when pickled and read back"),
        (Unsure(), "check must accept it, but: ValueError: marks are too loud"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Component) else "",
)
def test_basics(component: Component, rule: str) -> None:
    assert rule in broken_by(component)
    with pytest.raises(AssertionError):
        check_basics(component)


def listed(*classes: type[Component]) -> Catalog:
    return Catalog(
        {(c.kind, c.name): Entry(c.kind, c.name, c, "mine", "mine", "1.0", __file__, 1) for c in classes}
    )


def test_a_catalog_must_know_the_component() -> None:
    check_basics(Shout(("?",)), listed(Shout))
    assert "is not registered by any plugin" in broken_by(Shout(), catalog=listed(Squares))


def test_a_suite_must_be_able_to_give_the_parameters() -> None:
    check_basics(Strict(("?",)), listed(Strict))
    found = broken_by(Strict(()), catalog=listed(Strict))
    assert "a suite must be able to give all of its parameters, but: " in found
    mine = listed(Shout).get("augmenter", "shout")
    other = replace(mine, component=Strict)
    confused = Catalog({("augmenter", "other"): mine, ("augmenter", "shout"): other})
    assert "built from its parameters it must be the same, got Strict" in broken_by(Shout(), catalog=confused)


# -- imports --------------------------------------------------------------------------------------------


def test_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, line in {"light": "import json", "heavy": "import torch", "wrong": "import nowhere"}.items():
        (tmp_path / f"imported_{name}.py").write_text(line)
    (tmp_path / "torch.py").touch()  # the real one takes seconds

    def of(name: str) -> Component:
        cls = type("Made", (Shout,), {"__module__": f"imported_{name}"})
        return cls()  # type: ignore[no-any-return]

    check_imports(of("light"))
    with pytest.raises(AssertionError, match=r"imported_heavy, imported_light must .* torch was imported"):
        check_imports(of("light"), of("heavy"))
    with pytest.raises(AssertionError, match="No module named 'nowhere'"):
        check_imports(of("wrong"))


# -- tasks ----------------------------------------------------------------------------------------------


def reads(change: Callable[[dict[str, pa.Table]], Any]) -> Callable[..., Any]:
    def read(self: Sky, source: harness.Source) -> Any:
        tables = dict(Sky.read(self, source))
        change(tables)
        return tables

    return read


def table(texts: list[Any], labels: list[Any], **types: pa.DataType) -> pa.Table:
    return pa.table({"text": texts, "label": labels})


@pytest.mark.parametrize(
    ("read", "rule"),
    [
        (reads(lambda t: t.pop("test")), "read must return a table 'test'"),
        (reads(lambda t: t.update(test=t["test"].drop(["label"]))), "'test' must have the column 'label'"),
        (reads(lambda t: t.update(unlabelled=pa.table({"x": ["a"]}))), "'unlabelled' must have the column"),
        (
            reads(lambda t: t.update(train=table(["a", "b"], [0, 1]))),
            "'label' of table 'train' must contain str",
        ),
        (reads(lambda t: t.update(test=t["test"].slice(0, 0))), "table 'test' must have rows"),
        (reads(lambda t: t.update(train=t["train"].slice(0, 2))), "at least two classes"),
        (reads(lambda t: t.update(test=table(["a"], ["icy"]))), "only labels of 'train', got also ['icy']"),
    ],
)
def test_tables(read: Any, rule: str) -> None:
    assert rule in broken_by(variant(Sky, "BrokenSky", read=read))


def test_tasks_are_the_same_every_time() -> None:
    numbers = iter(range(1000))

    def resolve(self: Sky, source: str) -> harness.Source:
        return harness.Source("sample", str(next(numbers)), "made up")

    def read(self: Sky, source: harness.Source) -> Any:
        return {**Sky.read(self, source), "test": table([f"sun {next(numbers)}"], ["dry"])}

    assert "resolve must return the same Source" in broken_by(variant(Sky, "Fickle", resolve=resolve))
    assert "read must return the same tables" in broken_by(variant(Sky, "Shifting", read=read))
    none = variant(Sky, "Sourceless", resolve=lambda self, source: None)
    assert "resolve must return a Source" in broken_by(none)


def test_a_task_that_is_absent_here_is_no_broken_one() -> None:
    def resolve(self: Sky, source: str) -> harness.Source:
        raise harness.Unavailable(f"no {source}")

    with pytest.raises(harness.Unavailable, match="no local"):
        check_task(variant(Sky, "Absent", resolve=resolve), "local")


# -- teachers and students --------------------------------------------------------------------------------


def test_students_say_what_they_learn_from_and_can() -> None:
    none = variant(LetterStudent, "Unteachable", learns_from=frozenset())
    assert "learns_from must be some of attention, hidden, labels, layers, logits, relations" in broken_by(
        none
    )
    other = variant(LetterStudent, "Telepath", learns_from=frozenset({"thoughts"}))
    assert "learns_from must be some of" in broken_by(other)

    def labels_only(transfer: Examples, context: Context) -> None:
        if transfer.logits is not None:
            raise ValueError("labels only")

    def logits_only(transfer: Examples, context: Context) -> None:
        if transfer.logits is None:
            raise ValueError("logits only")

    for change in (labels_only, logits_only):
        assert "only" in broken_by(variant(LetterStudent, change.__name__, fit=fits(change)))
    modest = variant(LetterStudent, "Modest", fit=fits(labels_only), learns_from=frozenset({"labels"}))
    check_component(modest)


def test_teachers_say_what_they_give_and_start_from() -> None:
    assert "gives must be some of" in broken_by(variant(LetterTeacher, "Odd", gives=frozenset({"wisdom"})))
    for speed in (harness.Speed(0, 1), (3, 4), None):
        assert "speed must be a Speed" in broken_by(variant(LetterTeacher, "Hasty", speed=speed))
        assert "speed must be a Speed" in broken_by(variant(LetterStudent, "Hasty", speed=speed))
    for counted in (harness.Operations(-1.0), (3, 4, 0), None):
        odd = variant(LetterTeacher, "Odd", operations=lambda self, words, counted=counted: counted)
        assert "operations must return Operations" in broken_by(odd)
    nothing = variant(LetterTeacher, "Baseless", base=lambda self: None)
    assert "base must return a string" in broken_by(nothing)
    numbers = iter("123456789")
    moving = variant(LetterTeacher, "Moving", base=lambda self: next(numbers))
    assert "base must return the same string" in broken_by(moving)


def test_students_that_borrow_are_lent_a_fitted_teacher() -> None:
    seen: list[Any] = []

    def keep(transfer: Examples, context: Context) -> None:
        seen.append((len(transfer.classes), context.teacher))

    heir = variant(LetterStudent, "Heir", fit=fits(keep), borrows=True)
    assert "it borrows parts of a teacher: give the checks a `teacher`" in broken_by(heir)
    check_student(heir, LetterTeacher())
    assert {classes for classes, _ in seen} == {2, 3}
    assert all(isinstance(teacher, Letters) for _, teacher in seen)
    assert all(teacher.predict(["a"]).shape == (1, classes) for classes, teacher in seen)


def test_students_of_inner_states_are_given_them() -> None:
    seen: list[Any] = []

    def fit(
        self: Any, transfer: Examples, validation: Examples, loss: harness.Loss, context: Context
    ) -> harness.Model:
        seen.append((loss.needs, transfer.hidden is not None, context.teacher is not None))
        return Letters(solve(transfer, context))

    learns = frozenset({"labels", "logits", "hidden", "layers"})
    deep = variant(LetterStudent, "Deep", fit=fit, learns_from=learns, aligned=lambda self, teacher: True)
    check_student(deep)
    assert {needs for needs, *_ in seen} == {frozenset({n}) for n in ("labels", "logits", "hidden")}
    assert all(hidden == ("hidden" in needs) for needs, hidden, _ in seen)
    assert not any(teacher for *_, teacher in seen)
    seen.clear()
    check_student(deep, variant(LetterTeacher, "Open", gives=learns - {"labels"}))
    assert (frozenset({"layers"}), False, True) in seen


def test_a_teacher_that_is_absent_here_is_no_broken_one() -> None:
    def gone(train: Examples, context: Context) -> None:
        raise harness.Unavailable("no network")

    with pytest.raises(harness.Unavailable):
        check_component(variant(LetterTeacher, "Gone", fit=fits(gone)))


# -- augmenters -----------------------------------------------------------------------------------------


def makes(new: Callable[[Any, np.random.Generator], Any]) -> Any:
    return variant(Shout, "Whisper", __call__=lambda self, texts, generator: iter(new(texts, generator)))


def in_capitals(texts: Any, generator: Any) -> Any:
    for row in range(len(texts)):
        texts[row] = texts[row].upper()
    return enumerate(list(texts))


def unseeded(texts: Any, generator: Any) -> Any:
    return [(row, f"{text} {np.random.random()}") for row, text in enumerate(texts)]


def shows_type(texts: Any, generator: Any) -> Any:
    return [(0, type(texts).__name__)] if len(texts) else []


@pytest.mark.parametrize(
    ("new", "rule"),
    [
        (lambda texts, g: [(len(texts), "x")], "rows must be those of"),
        (lambda texts, g: [(-1, "x")], "rows must be those of"),
        (lambda texts, g: [(0.0, "x")], "rows must be those of"),
        (lambda texts, g: [(0, " ")] if texts else [], "strings that are not empty"),
        (lambda texts, g: [(0, b"x")] if texts else [], "strings that are not empty"),
        (unseeded, "the same texts and generator"),
        (in_capitals, "must not change the texts"),
        (lambda texts, g: enumerate(texts.copy()), "it must take a lazy sequence"),
        (shows_type, "a lazy sequence must give what a list does"),
        (lambda texts, g: [(1, texts[0] + texts[1])] if len(texts) else [], "it must take a single text"),
        (lambda texts, g: [(0, texts[0])], "it must take an empty list"),
        (lambda texts, g: 1 / 0, "it must take a list of texts, but: ZeroDivisionError"),
    ],
)
def test_augmenters(new: Any, rule: str) -> None:
    assert rule in broken_by(makes(new))


def draws(new: Callable[[Any, Any, Context], Any]) -> Any:
    def draw(self: Any, train: Examples, unlabelled: Sequence[str], context: Context) -> Any:
        return iter(new(train, unlabelled, context))

    return variant(Shout, "Whisper", draw=draw)


def test_an_augmenter_may_bring_texts() -> None:
    check_component(draws(lambda train, pool, context: [(-1, pool[0]), (0, f"{context.seed}")]))


@pytest.mark.parametrize(
    ("new", "rule"),
    [
        (lambda train, pool, context: [(len(train), "x")], "rows must be those of the training texts, or -1"),
        (lambda train, pool, context: [(-2, "x")], "rows must be those of the training texts, or -1"),
        (lambda train, pool, context: [(-1, "")], "strings that are not empty"),
        (lambda train, pool, context: [(0, f"{np.random.random()}")], "the same texts and seed must draw"),
        (
            lambda train, pool, context: pool.text,
            "it must draw from unlabelled texts beside",
        ),
    ],
)
def test_drawing(new: Any, rule: str) -> None:
    assert rule in broken_by(draws(new))


# -- losses ---------------------------------------------------------------------------------------------


def gives(value: Callable[[Tensor, Tensor, harness.Batch], Any], needs: tuple[str, ...] = ("logits",)) -> Any:
    return variant(
        Squares,
        "Wrong",
        __call__=lambda self, student, teacher, batch: value(student, teacher, batch),
        needs=property(lambda self: frozenset(needs)),
    )


def naive(student: Tensor, teacher: Tensor, batch: harness.Batch) -> Tensor:
    return -(teacher.softmax(-1) * student.softmax(-1).log()).sum(-1).mean()


def rooted(student: Tensor, teacher: Tensor, batch: harness.Batch) -> Tensor:
    return ((student - teacher) * 0).sum().sqrt() + (student - teacher).square().mean()


def standardised(student: Tensor, teacher: Tensor, batch: harness.Batch) -> Tensor:
    return ((student - teacher) / (student - teacher).std(0)).square().mean()


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (
            gives(lambda s, t, b: (s - t).square().mean(1)),
            "a scalar tensor, got torch.Size([8])",
        ),
        (gives(lambda s, t, b: 0.5), "a scalar tensor, got 0.5"),
        (gives(naive), "it must be finite, got"),
        (gives(rooted), "its gradient must be finite"),
        (gives(standardised), "for a batch of 1"),
        (gives(lambda s, t, b: (s.detach() - t).square().mean()), "its gradient must reach the student"),
        (gives(lambda s, t, b: t.clone().requires_grad_().mean()), "its gradient must reach the student"),
        (gives(lambda s, t, b: (s * 0).sum()), "its gradient must not be zero"),
        (
            gives(lambda s, t, b: torch.rand(()) * s.square().mean()),
            "the same batch must give the same value",
        ),
        (gives(lambda s, t, b: (s - t.mul_(2)).square().mean()), "must not change the tensors"),
        (
            gives(lambda s, t, b: cross_entropy(s, b.labels)),
            "and ask for nothing but its needs",
        ),
        (gives(lambda s, t, b: (s - t).square().mean(), ("labels",)), "and ask for nothing but its needs"),
        (gives(lambda s, t, b: s.mean(), ("magic",)), "needs must be some of"),
        (
            gives(lambda s, t, b: (s.mean() - b.teacher["hidden"].mean()) ** 2, ("layers",)),
            "and ask for nothing but its needs",
        ),
        (
            gives(lambda s, t, b: b.student["hidden"].detach().square().mean(), ("hidden",)),
            "its gradient must reach the student's logits or inner states",
        ),
        (
            gives(lambda s, t, b: s.mean() + b.teacher["attention"][0].log_().mean(), ("attention",)),
            "it must be finite",
        ),
        (
            gives(lambda s, t, b: (s * b.teacher["layers"][4].mul_(2).mean()).mean(), ("layers",)),
            "must not change the tensors",
        ),
        (gives(lambda s, t, b: s.mean(), ()), "needs must be some of"),
        (
            gives(lambda s, t, b: cross_entropy(s, b.labels, ignore_index=-1), ("labels",)),
            "for a batch without gold labels",
        ),
        (
            gives(lambda s, t, b: cross_entropy(s, b.labels), ("labels",)),
            "it must take a batch of 8",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:std")
def test_losses(loss: Any, rule: str) -> None:
    assert rule in broken_by(loss)


def test_the_tiny_examples_are_as_in_a_run() -> None:
    train, validation = map(as_in_a_run, Classification().tiny_of(2))
    assert train.labels is not None and train.logits is not None and validation.labels is not None
    assert not isinstance(train.texts, list) and list(train.texts[:2]) == [train.texts[0], train.texts[1]]
    assert not train.labels.flags.writeable and not train.logits.flags.writeable
    assert train.logits.shape == (len(train), 2) == (20, 2)
    assert set(train.labels) == {-1, 0, 1} and set(validation.labels) == {0, 1}
    assert not set(train.texts) & set(validation.texts)
