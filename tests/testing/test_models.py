"""The checks of fitted models: each fails a model that breaks its rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sound import (
    Bag,
    BagModel,
    BagStudent,
    Letters,
    LetterStudent,
    LetterTeacher,
    broken_by,
    fits,
    solve,
    variant,
)

import harness
from harness.api import Context, Examples, Parameters
from harness.training.model import TorchModel

pytestmark = pytest.mark.usefixtures("one_thread")


# -- predictions ----------------------------------------------------------------------------------------


def predicts(change: Callable[[NDArray[np.float32], list[str]], Any]) -> Any:
    """A model whose logits are changed."""

    def predict(self: Letters, texts: Sequence[str]) -> Any:
        return change(Letters.predict(self, texts), list(texts))

    return type("Changed", (Letters,), {"predict": predict})


def noise(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    return logits + np.float32(1e-6) * np.random.default_rng().random(logits.shape, dtype=np.float32)


def refuse(text: str) -> Callable[[NDArray[np.float32], list[str]], NDArray[np.float32]]:
    def change(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
        if text in texts:
            raise ValueError("no such text please")
        return logits

    return change


def alone(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    return logits + 1 if len(texts) == 1 else logits


def nan_if_empty(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    logits[[not text for text in texts]] = np.nan
    return logits


def by_length(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    return logits[np.argsort([-len(text) for text in texts], kind="stable")]


def binary(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    return logits[:, :1] if logits.shape[1] == 2 else logits


def centred(logits: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    return logits - logits.mean(axis=0) if len(texts) > 1 else logits


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda logits, texts: logits[:, 0], "predict must return the shape (12, 3), got (12,)"),
        (binary, "predict must return the shape (8, 2), got (8, 1)"),
        (lambda logits, texts: logits.astype(np.float64), "a float32 array, got float64"),
        (lambda logits, texts: torch.from_numpy(logits), "predict must return"),
        (lambda logits, texts: logits * np.float32("inf"), "finite numbers"),
        (nan_if_empty, "finite numbers, for empty"),
        (refuse(""), "predict must take empty"),
        (refuse("zxqvk"), "predict must take empty, unknown"),
        (by_length, "must keep the order"),
        (centred, "company"),
        (alone, "alone what it returns for it among others"),
        (noise, "the same seed must give the same predictions, to the bit"),
    ],
)
def test_predictions(change: Any, rule: str) -> None:
    model = predicts(change)
    assert rule in broken_by(variant(LetterStudent, "BrokenStudent", model=model))
    assert rule in broken_by(variant(LetterTeacher, "BrokenTeacher", model=model))


def test_a_lazy_sequence_may_come_where_a_list_may() -> None:
    def predict(self: Letters, texts: Any) -> Any:
        return Letters.predict(self, texts.copy())

    student = variant(LetterStudent, "Listed", model=type("Listing", (Letters,), {"predict": predict}))
    assert "predict must take" in broken_by(student)
    greedy = variant(LetterStudent, "Greedy", fit=fits(lambda transfer, context: transfer.texts.sort()))
    assert "it must fit the tiny examples of classification, lazy" in broken_by(greedy)


# -- fitting --------------------------------------------------------------------------------------------


def in_place(transfer: Examples, context: Context) -> None:
    if transfer.labels is not None:
        transfer.labels[0] = 0


def test_fitting() -> None:
    assert "read-only" in broken_by(variant(LetterStudent, "InPlace", fit=fits(in_place)))
    over = fits(lambda transfer, context: context.progress(3, 2))
    assert "progress must be between" in broken_by(variant(LetterStudent, "Over", fit=over))

    def seedless(transfer: Examples, context: Context) -> Letters:
        weights = solve(transfer, context)
        return Letters(weights + np.random.default_rng().random(weights.shape, dtype=np.float32))

    assert "the same seed" in broken_by(variant(LetterStudent, "Seedless", fit=fits(seedless)))

    def two_fail(transfer: Examples, context: Context) -> None:
        if len(transfer.classes) == 2:
            raise ValueError("a special case")

    three = variant(LetterStudent, "ThreePlus", fit=fits(two_fail))
    assert "it must fit the tiny examples of classification with 2 classes" in broken_by(three)


# -- saving and exports ---------------------------------------------------------------------------------


def saves(change: Callable[[Letters, Path], Any]) -> Any:
    def save(self: Letters, folder: Path) -> None:
        Letters.save(self, folder)
        change(self, folder)

    return type("Saving", (Letters,), {"save": save})


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda model, folder: (folder / "model.pkl").write_bytes(b""), "got model.pkl"),
        (lambda model, folder: torch.save({}, folder / "weights.pt"), "got weights.pt"),
        (lambda model, folder: (folder / "weights.json").unlink(), "load must read what save wrote"),
        (lambda model, folder: (folder / "weights.json").write_text("[[1]]"), "predict must take the texts"),
        (lambda model, folder: Letters(model.weights * 1.01).save(folder), "the same when it was saved and"),
        (lambda model, folder: 1 / 0, "its model must be savable"),
    ],
)
def test_saving(change: Any, rule: str) -> None:
    assert rule in broken_by(variant(LetterStudent, "Saver", model=saves(change)))
    assert rule in broken_by(variant(LetterTeacher, "Archivist", model=saves(change)))


def test_a_saved_model_may_be_moved() -> None:
    def save(self: Letters, folder: Path) -> None:
        Letters.save(self, folder)
        (folder / "where.json").write_text(json.dumps(str(folder)))

    def load(self: LetterStudent, folder: Path, context: Context) -> harness.Model:
        return LetterStudent.load(self, Path(json.loads((folder / "where.json").read_text())), context)

    student = variant(LetterStudent, "Rooted", model=type("Root", (Letters,), {"save": save}), load=load)
    assert "from wherever it lies now" in broken_by(student)


@pytest.mark.parametrize("wrong", [Parameters(5, 6, 0), Parameters(5, 5, 6), Parameters(5, -1, 0)])
def test_parameters_are_parts_of_their_total(wrong: Parameters) -> None:
    model = type("Miscounts", (Letters,), {"parameters": lambda self: wrong})
    assert "parameters must be whole numbers" in broken_by(variant(LetterStudent, "Miscount", model=model))


def test_a_loaded_model_counts_the_same() -> None:
    class Counts(Letters):
        def parameters(self) -> Parameters:
            total = self.weights.size + (0 if self.weights.flags.owndata else 1)
            return Parameters(total, 0, 0)

    def load(self: LetterStudent, folder: Path, context: Context) -> harness.Model:
        loaded = LetterStudent.load(self, folder, context)
        assert isinstance(loaded, Letters)
        return Counts(loaded.weights[:])

    student = variant(LetterStudent, "Recounts", model=Counts, load=load)
    assert "a loaded model must count" in broken_by(student)


def exports(change: Callable[[TorchModel, Path], Any]) -> Any:
    def export(self: TorchModel, folder: Path) -> None:
        TorchModel.export(self, folder)
        change(self, folder)

    return variant(BagStudent, "Exporter", model=type("Exporting", (BagModel,), {"export": export}))


def shift(model: TorchModel, folder: Path) -> None:
    from harness.exports.onnx import export_module

    assert isinstance(model.module, Bag)
    with torch.no_grad():
        model.module.table.weight *= 2
        export_module(model.module, model.featuriser, model.classes, folder)
        model.module.table.weight /= 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda model, folder: (folder / "model.onnx").unlink(), "must be exportable"),
        (lambda model, folder: (folder / "model.onnx.data").write_bytes(b"1"), "whose size is counted"),
        (
            lambda model, folder: (folder / "labels.json").write_text('["a", "b", "c"]'),
            "must name the classes",
        ),
        (shift, "its export must predict what the model does, for a batch"),
    ],
)
def test_exports(change: Any, rule: str) -> None:
    assert rule in broken_by(exports(change))


def test_a_student_that_says_it_exports_does() -> None:
    assert "as `exports` says" in broken_by(variant(LetterStudent, "Boaster", exports=True))
