"""A bench to run single steps on, and components whose outputs a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import harness
from harness.api import Component, Context, Examples, Model, Parameters
from harness.catalog import Catalog
from harness.devices import Slot
from harness.plan.planner import Step
from harness.run.job import perform
from harness.storage.store import Artefact, Store
from harness.task_types.classification import Classification

Rows = Sequence[tuple[str | None, str | None]]
Outputs = Callable[[Sequence[str]], Any]


def table(rows: Rows) -> pa.Table:
    return pa.table(
        {
            "text": pa.array([text for text, _ in rows], pa.string()),
            "label": pa.array([label for _, label in rows], pa.string()),
        }
    )


@dataclass(frozen=True)
class Given(harness.Task):
    """These rows."""

    name = "given"

    splits: Mapping[str, pa.Table]

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        return self.splits


@dataclass(frozen=True)
class Scored(Given):
    """These rows, whose labels are numbers."""

    name = "scored"
    task_type = "regression"

    @classmethod
    def of(cls, *rows: tuple[str, Any]) -> Scored:
        """The same rows in every split."""
        part = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
        return cls({"train": part, "validation": part, "test": part})


@dataclass(frozen=True)
class Spans(Given):
    """These sentences, whose words have tags."""

    name = "spans"
    task_type = "tagging"

    @classmethod
    def of(cls, *rows: tuple[list[str], list[str]], **splits: Any) -> Spans:
        """The same rows in every split, but for splits given."""

        def part(given: Any) -> pa.Table:
            return pa.table({"tokens": [words for words, _ in given], "tags": [tags for _, tags in given]})

        return cls({split: part(splits.get(split, rows)) for split in ("train", "validation", "test")})


class Says(Model):
    """A model whose outputs are given."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.outputs(texts)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text("{}")

    def parameters(self) -> Parameters:
        return Parameters(7, 5, 2)


@dataclass(frozen=True)
class Speaker(harness.Teacher):
    """A teacher that says what a test wants it to say, and keeps what it was given."""

    name = "speaker"

    outputs: Outputs
    model: type[Says] = Says
    exports: ClassVar[bool] = True
    given: list[Any] = field(default_factory=list)

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        self.given.append((train, validation, context.seed))
        return self.model(self.outputs)

    def load(self, folder: Path, context: Context) -> Model:
        assert (folder / "model.json").is_file()
        return self.model(self.outputs)


@dataclass(frozen=True)
class Team(harness.Teacher):
    """Several teachers, and the models that they were joined from."""

    name = "team"

    of: tuple[harness.Teacher, ...]
    joins: list[Any] = field(default_factory=list)

    @property
    def members(self) -> tuple[harness.Teacher, ...]:
        return self.of

    def join(self, models: Sequence[Model]) -> Model:
        self.joins.append(tuple(models))
        return models[0]


@dataclass(frozen=True)
class Repeater(harness.Student):
    """A student that says what a test wants it to say, and keeps what it was given."""

    name = "repeater"

    outputs: Outputs
    given: list[Any] = field(default_factory=list)

    def fit(self, transfer: Examples, validation: Examples, loss: harness.Loss, context: Context) -> Model:
        self.given.append((transfer, validation, loss, context.seed))
        return Says(self.outputs)

    def load(self, folder: Path, context: Context) -> Model:
        return Says(self.outputs)


@dataclass(frozen=True)
class Makes(harness.Augmenter):
    """An augmenter that makes these texts."""

    name = "makes"

    new: Callable[[Sequence[str], np.random.Generator], Any]

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        return iter(self.new(texts, generator))


class Bench:
    """Runs steps in this process, on a store of their own."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.warnings: list[str] = []
        self.count = 0
        self.task_type: harness.TaskType = Classification()  # that of the last task

    def run(self, kind: str, needs: Mapping[str, Artefact] | None = None, **parts: Any) -> Artefact:
        """Do one step. Components among `parts` fill its roles, the others are settings.

        Its task type is that of its task, or else of the last task.
        """
        self.count += 1
        components = {role: part for role, part in parts.items() if isinstance(part, Component)}
        if isinstance(task := components.get("task"), harness.Task):
            self.task_type = Catalog({}).task_type_of(task)
        components = {"task_type": self.task_type, **components}
        settings = {name: part for name, part in parts.items() if name not in components}
        step = Step(
            kind=kind,
            key=f"{kind}{self.count}",
            label=kind,
            components=components,
            settings={"source": "local", "fingerprint": "1", "output": "logits", **settings},
            notes={"origin": "a test"},
            needs={role: artefact.key for role, artefact in (needs or {}).items()},
            work=kind,
            likes=(kind,),
        )
        return perform(step, self.store, Slot("cpu"), self._hear)

    def data(self, train: Rows, validation: Rows | None = None, test: Rows | None = None) -> Artefact:
        """A data artefact; validation and test are a copy of training, where they are not given."""
        rows = {"train": train, "validation": validation or train, "test": test or train}
        return self.run("data", task=Given({split: table(rows[split]) for split in rows}))

    def _hear(self, kind: str, details: dict[str, Any]) -> None:
        if kind == "warning":
            self.warnings.append(details["message"])
