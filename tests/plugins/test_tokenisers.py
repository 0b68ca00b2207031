"""Students whose tokenizer is that of a transformer train on ids that were made before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.api import TaskType
from harness.featurise.featuriser import Featuriser, MaskedSubwords, Subwords, WordSubwords
from harness.featurise.stored import Stored, write
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness_students.recurrent import BiGru
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_transformers.transformer import Transformer

FolderOf = Callable[[str], Path]
SHORT: dict[str, Any] = {"epochs": 1, "min_examples": 0}


@pytest.fixture
def bert(folder_of: FolderOf) -> Transformer:
    return Transformer(model=str(folder_of("bert")), longest=20, epochs=1)


class Watched(Stored):
    """Stored ids that are all asked for by the featuriser that made them."""

    asked = 0

    def find(self, featuriser: Featuriser, texts: Any) -> Any:
        self.asked += 1
        found = super().find(featuriser, texts)
        assert found is not None
        return found


def reads_given(student: Any, lender: Any, task_type: TaskType, context: CheckContext, folder: Path) -> Any:
    """Fit a student on ids that were made before; return the featuriser of its model."""
    transfer, validation = tiny_examples(task_type)
    tokeniser = student.tokeniser(lender)
    texts = {"transfer": transfer.texts, "validation": validation.texts}
    write(folder, tokeniser.fit(transfer), texts)
    context.tokens = Watched(folder, tokeniser.load(folder), transfer, texts)
    model = student.fit(transfer, validation, FromLabels(task_type), context)
    assert context.tokens.asked >= 2
    return model.featuriser


@pytest.mark.parametrize("longest", [9, 64])
@pytest.mark.parametrize("kind", [Static, BiGru])
def test_borrowed_tokenizers(
    kind: Any, longest: int, bert: Transformer, context: CheckContext, tmp_path: Path
) -> None:
    student = kind(embeddings=bert, longest=longest, **({"width": 4} if kind is Static else {}), **SHORT)
    found = reads_given(student, None, Classification(), context, tmp_path)
    assert type(found) is Subwords and found.longest == min(longest, 20)


@pytest.mark.parametrize(
    ("task_type", "featuriser"),
    [(Classification(), Subwords), (Tagging(), WordSubwords), (MaskedLanguageModelling(), MaskedSubwords)],
)
@pytest.mark.parametrize("lent", [False, True])
def test_transformers_of_each_type_of_task(
    lent: bool,
    task_type: TaskType,
    featuriser: Any,
    folder_of: FolderOf,
    context: CheckContext,
    tmp_path: Path,
) -> None:
    kind = "masked-bert" if featuriser is MaskedSubwords else "bert"
    bert = Transformer(model=str(folder_of(kind)), longest=16, epochs=1)
    student = TransformerStudent(start="teacher" if lent else bert, layers=1, epochs=1)
    if lent:
        context.teacher = bert.fit(*tiny_examples(task_type), context)
    found = reads_given(student, bert, task_type, context, tmp_path)
    assert type(found) is featuriser and found.longest == 16
