"""Check fitted models: their predictions, saving, reading and exports."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harness.api import Loss, Model, Student, TaskType, Teacher
from harness.testing.rules import NOISE, Rules, listed
from harness.testing.shared import Shared
from harness.testing.tiny import Case, by_text, cases_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Named = tuple[str, Callable[[], None]]  # a check: its name, and what it does

SAVED = frozenset({".safetensors", ".json", ".arrow", ".txt"})  # what a model may be saved as
_EXPORT_NOISE = 1e-3  # as NOISE, for another runtime
_ALIKE = 0.98  # share of decisions that another runtime must keep: outputs may be as good as equal


class Fitted(ABC):
    """The models of one teacher or student on tiny examples, each fitted when a check first needs it."""

    def __init__(self, component: Teacher | Student, shared: Shared) -> None:
        self.component = component
        self.shared = shared
        self.must = Rules(component)

    @abstractmethod
    def fit(self, case: Case, loss: Loss | None) -> Model:
        """Return a new model; `loss` is what a student learns by, if not what it mostly learns by."""

    def key(self, case: Case, loss: Loss | None) -> str:
        """Return the name by which checks share a model."""
        return case.what

    def fresh(self, case: Case, loss: Loss | None = None) -> tuple[Model, NDArray[np.float32]]:
        """Return a new model, and its predictions on the validation texts."""
        with self.must.manage(f"it must fit the tiny examples of {case.what}, lazy and read-only"):
            model = self.fit(case, loss)
        return model, predict(self.must, case, model, case.validation.texts, f"texts of {case.what}")

    def first(self, case: Case, loss: Loss | None = None) -> tuple[Model, NDArray[np.float32]]:
        """Return the shared model, and its first predictions on the validation texts."""
        return self.shared.once(f"fit {self.key(case, loss)}", lambda: self.fresh(case, loss))

    def model(self, case: Case) -> Model:
        """Return the shared model."""
        return self.first(case)[0]

    def logits(self, case: Case) -> NDArray[np.float32]:
        """Return the shared model's predictions on the validation texts and odd ones."""
        what = "empty, unknown and very long texts among others"
        return self.shared.once(
            f"predict {self.key(case, None)}",
            lambda: predict(self.must, case, self.model(case), case.texts, what),
        )


def predict(must: Rules, case: Case, model: Model, texts: Sequence[str], what: str) -> NDArray[np.float32]:
    """Return a model's predictions, checked for what any of them must be."""
    with must.manage(f"predict must take {what}"):
        logits = model.predict(texts)
    shape: tuple[int, ...] = getattr(logits, "shape", ())
    width = len(case.train.classes) or (shape[-1] if shape else 0)  # without classes, the model has its own
    expected = (int(case.task_type.rows_before(texts)[-1]), width)
    must(f"predict must return the shape {expected}, got {shape} for {what}", shape == expected)
    kind = logits.dtype if isinstance(logits, np.ndarray) else type(logits).__name__
    must(f"predict must return a float32 array, got {kind}", kind == np.float32)
    must(f"predict must return finite numbers, for {what}", bool(np.isfinite(logits).all()))
    return logits


# -- the checks ----------------------------------------------------------------------------------------------


def model_checks(fitted: Fitted, types: Sequence[TaskType]) -> Iterator[Named]:
    """Yield the checks of fitting for each type of task, and of the models.

    What is slow to check is checked for one of the types whose outputs belong to texts in the same way.
    """
    marks: set[str] = set()
    for task_type in types:
        first, *others = cases_of(task_type)
        name = task_type.name

        def check(does: Callable[[Fitted, Case], None], case: Case = first) -> Callable[[], None]:
            return partial(does, fitted, case)

        yield f"fits {first.what}", check(check_fit)
        if type(task_type).check_model is not TaskType.check_model:
            yield f"keeps the rules of {name}", check(check_type)
        if task_type.marks not in marks:
            marks.add(task_type.marks)
            yield f"predicts texts in any order ({name})", check(check_order)
            yield f"predicts a text alone as among others ({name})", check(check_alone)
            yield f"same seed, same bits ({name})", check(check_seed)
        yield f"counts parameters ({name})", check(check_parameters)
        yield f"saves and loads ({name})", check(check_saved)
        if fitted.component.exports:
            yield f"exports ({name})", check(check_export)
        for other in others:
            yield f"fits {other.what}", check(check_fit, other)


def check_fit(fitted: Fitted, case: Case) -> None:
    """Fit lazy texts and read-only arrays; predict with the right shape, in finite numbers."""
    fitted.first(case)


def check_type(fitted: Fitted, case: Case) -> None:
    """Keep the rules that the type of task has for models."""
    usual, odd = list(case.validation.texts), case.texts[len(case.validation) :]
    for rule in case.task_type.check_model(fitted.model(case), usual, odd):
        fitted.must(rule, False)


def check_order(fitted: Fitted, case: Case) -> None:
    """Keep the order of texts, and give a text the same whatever texts come with it, from any sequence."""
    must, model, texts, logits = fitted.must, fitted.model(case), case.texts, fitted.logits(case)
    turned = predict(must, case, model, texts[::-1], "texts in another order")
    backwards = np.concatenate(by_text(turned, texts[::-1], case.task_type)[::-1])
    must("predict must keep the order of the texts", _close(backwards, logits, NOISE))
    fewer = predict(must, case, model, case.validation.texts, "a lazy sequence")
    must("predict must not depend on a text's company", _close(fewer, logits[: len(fewer)], NOISE))


def check_alone(fitted: Fitted, case: Case) -> None:
    """Give each text alone what it gets among others."""
    model, texts = fitted.model(case), case.texts
    for text, rows in zip(texts, by_text(fitted.logits(case), texts, case.task_type), strict=True):
        shown = repr(text[:20])
        alone = predict(fitted.must, case, model, [text], f"the single text {shown}")
        same = _close(alone, rows, NOISE)
        fitted.must(f"predict must return for {shown} alone what it returns for it among others", same)


def check_seed(fitted: Fitted, case: Case) -> None:
    """Predict the same, to the bit, when fitted again with the same seed."""
    equal = np.array_equal(fitted.first(case)[1], fitted.fresh(case)[1])
    fitted.must("the same seed must give the same predictions, to the bit", equal)


def check_parameters(fitted: Fitted, case: Case) -> None:
    """Count parameters, as whole numbers of which none is above the total."""
    counted = fitted.model(case).parameters()
    counts = (counted.total, counted.trainable, counted.embedding)
    whole = all(isinstance(count, int) and 0 <= count <= counted.total for count in counts)
    fitted.must(f"parameters must be whole numbers, none above the total, got {counted}", whole)


def check_saved(fitted: Fitted, case: Case) -> None:
    """Save a model in formats that run no code; load it from another folder; predict and count the same."""
    must, model = fitted.must, fitted.model(case)
    folder = fitted.shared.empty(f"saved {case.what}")
    with must.manage("its model must be savable"):
        model.save(folder)
    others = sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix not in SAVED)
    must(f"save must write {listed(SAVED)} only, got {', '.join(others)}", not others)
    moved = fitted.shared.empty(f"moved {case.what}")
    moved.rmdir()
    folder.rename(moved)  # as publishing an artefact does
    copy: Teacher | Student = pickle.loads(pickle.dumps(fitted.component))
    with must.manage("load must read what save wrote, from wherever it lies now"):
        loaded = copy.load(moved, fitted.shared.context())
    found = predict(must, case, loaded, case.texts, "the texts of the model that was saved")
    equal = np.allclose(found, fitted.logits(case), rtol=1e-6, atol=1e-6)
    must("a model must predict the same when it was saved and loaded", equal)
    counted, again = model.parameters(), loaded.parameters()
    must(f"a loaded model must count {counted}, got {again}", again == counted)


def check_export(fitted: Fitted, case: Case) -> None:
    """Export a graph that predicts and decides what the model does, with all weights in it."""
    from harness.exports.onnx import OnnxModel
    from harness.exports.weights import TORCH
    from harness.runtime.forms import FORMS, GRAPH

    must, model, texts = fitted.must, fitted.model(case), case.texts
    folder = fitted.shared.empty(f"exported {case.what}")
    with must.manage("its model must be exportable, as `exports` says"):
        model.export(folder)
        exported = OnnxModel(folder, task_type=case.task_type)
    counted = {*FORMS.values(), *TORCH}
    others = sorted(p.name for p in folder.iterdir() if p.name not in counted and p.suffix != ".json")
    must(f"export must keep all weights in {GRAPH}, whose size is counted, got {others}", not others)
    classes = case.validation.classes
    named = tuple(exported.classes) == classes
    must(f"its export must name the classes {classes}, got {exported.classes}", named)
    expected = fitted.logits(case)
    batch, single = exported.predict(texts), np.concatenate([exported.predict([text]) for text in texts])
    for what, found in (("a batch", batch), ("single texts", single)):
        same = found.shape == expected.shape and _close(found, expected, _EXPORT_NOISE)
        must(f"its export must predict what the model does, for {what}", same)
    decided = case.task_type.decide(model, texts, expected)
    alike = (exported.decided(texts) == decided).mean() > _ALIKE
    must("its export must decide on the classes that the model does", bool(alike))


def _close(a: NDArray[np.float32], b: NDArray[np.float32], noise: float) -> bool:
    return not b.size or bool(np.abs(a - b).max() <= noise * max(1.0, float(np.abs(b).max())))
