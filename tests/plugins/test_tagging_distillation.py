"""Teachers and students of other tokens and other architectures, through the steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_taggers import SIZES

import harness
from harness.api import Component
from harness.devices import Slot
from harness.plan.planner import Step
from harness.run.job import perform
from harness.steps import targets
from harness.storage.store import Artefact, Store
from harness.task_types.tagging import Tagging
from harness_losses.soft import SoftTargets
from harness_students.taggers import BiLstmTagger
from harness_students.transformer import TransformerStudent
from harness_teachers.bilstm_crf import BiLstmCrf
from harness_transformers.transformer import Transformer

SENTENCES = [
    ("she said Ann Sun is here today", "O O B-per I-per O O O"),
    ("no rain in May Rain 's wind", "O O O B-loc I-loc O O"),
    ("Ann 's sun , so much", "B-per O O O O O"),
    ("like snow in may", "O O O O"),
]
SMALL = SIZES | {"epochs": 80, "batch_size": 2, "dropout": 0.0, "word_dropout": 0.0}
TUNED: dict[str, Any] = {"epochs": 60, "batch_size": 2, "learning_rate": 1e-2}


class Given(harness.Task):
    """The sentences."""

    name = "given"
    task_type = "tagging"

    def read(self, source: harness.Source) -> Any:
        """The same table for all splits."""
        import pyarrow as pa

        rows = pa.table(
            {"tokens": [a.split() for a, _ in SENTENCES], "tags": [b.split() for _, b in SENTENCES]}
        )
        return dict.fromkeys(("train", "validation", "test"), rows)


@dataclass(frozen=True)
class Nothing(harness.Augmenter):
    """No texts beside the training texts."""

    name = "nothing"
    task_types = frozenset({"tagging"})

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield none."""
        return iter(())


class Line:
    """Does steps one after another."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.count = 0

    def __call__(self, kind: str, needs: dict[str, Artefact] | None = None, **parts: Component) -> Artefact:
        self.count += 1
        step = Step(
            kind=kind,
            key=f"{kind}{self.count}",
            label=kind,
            components={**parts, "task_type": Tagging()},
            settings={"source": "local", "fingerprint": "1", "output": "logits"},
            notes={"origin": "a test"},
            needs={role: artefact.key for role, artefact in (needs or {}).items()},
            work=kind,
            likes=(kind,),
        )
        return perform(step, self.store, Slot("cpu"), lambda kind, details: None)


@pytest.mark.parametrize("way", ["lstm to transformer", "transformer to lstm"])
def test_teachers_teach_students_of_other_tokens(
    way: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    line, task, loss = Line(tmp_path / "store"), Given(), SoftTargets(temperature=2.0)
    bert = Transformer(model=str(folder_of("bert")), longest=32, **TUNED)
    teacher: harness.Teacher = BiLstmCrf(**SMALL)
    student: harness.Student = TransformerStudent(start=bert, layers=1, **TUNED)
    if way == "transformer to lstm":
        teacher, student = bert, BiLstmTagger(**SMALL)
    source = line("data", task=task)
    taught = line("teacher", {"data": source}, teacher=teacher)
    transfer = line("transfer", {"data": source}, augmenter=Nothing())
    labelled = line("targets", {"model": taught, "transfer": transfer}, teacher=teacher)
    needs = {"data": source, "transfer": transfer, "targets": labelled}
    learned = line("student", needs, student=student, loss=loss)
    own = line("evaluation", {"data": source, "model": taught}, task=task, teacher=teacher)
    scored = {"data": source, "model": learned, "teacher": own}
    found = line("evaluation", scored, task=task, student=student)
    assert own.result["test"]["f1"] > 0.7 and found.result["test"]["f1"] > 0.6
    assert found.result["test"]["agreement"] > 0.85
    words = sum(len(text.split()) for text, _ in SENTENCES)
    assert targets.load(labelled, "logits").shape == (words, 5)
