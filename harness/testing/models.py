"""Check fitted models: their predictions, saving, reading and exports."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.api import Component, Examples, Model, Student, Teacher
from harness.testing.rules import NOISE, Rules, listed, widths_of
from harness.testing.tiny import HIDDEN, TAGS, CheckContext, by_text, odd_texts, rows_of, tiny_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fit = Callable[[Examples, Examples, CheckContext], Model]

SAVED = frozenset({".safetensors", ".json", ".arrow", ".txt"})  # what a model may be saved as
_EXPORT_NOISE = 1e-3  # as NOISE, for another runtime
_ALIKE = 0.98  # share of decisions that another runtime must keep: outputs may be as good as equal


def check_fits(component: Teacher | Student, fit: Fit, device: str = "cpu") -> None:
    """That it fits all that it is for, twice the same, and that its models keep every rule of models."""
    must = Rules(component)
    with TemporaryDirectory() as name:
        root = Path(name)
        for number, classes in enumerate(widths_of(component)):
            model, logits = fit_one(component, fit, root, classes, device)
            if classes == HIDDEN:
                check_masked(must, model)
            if number == 0 or classes in (TAGS, HIDDEN):
                _check_predictions(must, model, classes)
                equal = np.array_equal(fit_one(component, fit, root, classes, device)[1], logits)
                must("the same seed must give the same predictions, to the bit", equal)
            _check_saved(component, model, root / str(classes), classes, device)
            if component.exports:
                _check_export(must, model, root / str(classes), classes)
        if "classification" in component.task_types:
            fit_one(component, fit, root, 2, device)


def fit_one(
    component: Component, fit: Fit, root: Path, classes: int, device: str = "cpu"
) -> tuple[Model, NDArray[np.float32]]:
    """A model of that many classes, and its predictions on the validation texts."""
    must = Rules(component)
    train, validation = tiny_examples(classes)
    (scratch := root / "scratch").mkdir(exist_ok=True)
    kinds = {1: "texts with scores", TAGS: "tagged words", HIDDEN: "texts to tell hidden tokens of"}
    what = kinds.get(classes, f"texts of {classes} classes")
    with must.manage(f"it must fit {what}, lazy and read-only"):
        model = fit(train, validation, CheckContext(scratch, device=device))
    return model, _predict(must, model, validation.texts, what, classes)


def _predict(must: Rules, model: Model, texts: Sequence[str], what: str, classes: int) -> NDArray[np.float32]:
    with must.manage(f"predict must take {what}"):
        logits = model.predict(texts)
    shape: tuple[int, ...] = getattr(logits, "shape", ())
    width = shape[-1] if classes == HIDDEN and shape else classes  # of as many tokens as it knows
    due = sum(rows_of(texts, classes)), width
    must(f"predict must give the shape {due}, got {shape} for {what}", shape == due)
    kind = logits.dtype if isinstance(logits, np.ndarray) else type(logits).__name__
    must(f"predict must give a float32 array, got {kind}", kind == np.float32)
    must(f"predict must give finite numbers, for {what}", bool(np.isfinite(logits).all()))
    return logits


def _check_predictions(must: Rules, model: Model, classes: int) -> None:
    lazy = tiny_examples(classes)[1].texts
    texts = [*lazy, *odd_texts(classes)]
    logits = _predict(must, model, texts, "empty, unknown and very long texts among others", classes)
    turned = _predict(must, model, texts[::-1], "texts in another order", classes)
    backwards = np.concatenate(by_text(turned, texts[::-1], classes)[::-1])
    must("predict must keep the order of the texts", _close(backwards, logits, NOISE))
    fewer = _predict(must, model, lazy, "a lazy sequence", classes)
    must("predict must not depend on a text's company", _close(fewer, logits[: len(fewer)], NOISE))
    for text, rows in zip(texts, by_text(logits, texts, classes), strict=True):
        alone = _predict(must, model, [text], f"the single text {text[:20]!r}", classes)
        must(
            f"predict must give {text[:20]!r} alone what it gives it among others",
            _close(alone, rows, NOISE),
        )


def _check_saved(component: Teacher | Student, model: Model, root: Path, classes: int, device: str) -> None:
    must = Rules(component)
    counted = model.parameters()
    counts = (counted.total, counted.trainable, counted.embedding)
    whole = all(isinstance(count, int) and 0 <= count <= counted.total for count in counts)
    must(f"parameters must be whole numbers, none above the total, got {counted}", whole)
    folder, moved = root / "saved", root / "moved"
    folder.mkdir(parents=True)
    with must.manage("its model must be savable"):
        model.save(folder)
    others = sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix not in SAVED)
    must(f"save must write {listed(SAVED)} only, got {', '.join(others)}", not others)
    folder.rename(moved)  # as publishing an artefact does
    texts = [*tiny_examples(classes)[1].texts, *odd_texts(classes)]
    copy: Teacher | Student = pickle.loads(pickle.dumps(component))
    with must.manage("load must read what save wrote, from wherever it lies now"):
        loaded = copy.load(moved, CheckContext(root.parent / "scratch", device=device))
    found = _predict(must, loaded, texts, "the texts of the model that was saved", classes)
    equal = np.allclose(found, model.predict(texts), rtol=1e-6, atol=1e-6)
    must("a model must predict the same when it was saved and loaded", equal)
    must(f"a loaded model must count {counted}, got {loaded.parameters()}", loaded.parameters() == counted)


def _check_export(must: Rules, model: Model, root: Path, classes: int) -> None:
    from harness.exports.onnx import OnnxModel
    from harness.runtime.forms import FORMS, GRAPH

    (folder := root / "exported").mkdir()
    with must.manage("its model must be exportable, as `exports` says"):
        model.export(folder)
        exported = OnnxModel(folder)
    counted = set(FORMS.values())
    others = sorted(p.name for p in folder.iterdir() if p.name not in counted and p.suffix != ".json")
    must(f"export must keep all weights in {GRAPH}, whose size is counted, got {others}", not others)
    lazy, names = tiny_examples(classes)[1].texts, tiny_examples(classes)[1].classes
    named = tuple(exported.classes) == names
    must(f"its export must name the classes {names}, got {exported.classes}", named)
    texts = [*lazy, *odd_texts(classes)]
    expected = model.predict(texts)
    batch, single = exported.predict(texts), np.concatenate([exported.predict([text]) for text in texts])
    for what, found in (("a batch", batch), ("single texts", single)):
        same = found.shape == expected.shape and _close(found, expected, _EXPORT_NOISE)
        must(f"its export must predict what the model does, for {what}", same)
    alike = (exported.decided(texts) == model.decide(texts, expected)).mean() > _ALIKE
    must("its export must decide on the classes that the model does", bool(alike))


def _close(a: NDArray[np.float32], b: NDArray[np.float32], noise: float) -> bool:
    return not b.size or bool(np.abs(a - b).max() <= noise * max(1.0, float(np.abs(b).max())))


def check_masked(must: Rules, model: Model) -> None:
    """That a language model tells hidden tokens, the same ones every time, and has vectors of words."""
    lazy = tiny_examples(HIDDEN)[1].texts
    texts = [*lazy, *odd_texts(HIDDEN)]
    with must.manage("masked must take empty, unknown and very long texts"):
        found = model.masked(texts)
    counts = {len(part) for part in found}
    must(f"masked must give as many of each, got {sorted(counts)}", len(counts) == 1)
    rows = set(found.rows.tolist())
    must("masked must hide a token at least of each usual text", set(range(len(lazy))) <= rows)
    must(f"rows of masked must be below {len(texts)}", all(0 <= row < len(texts) for row in rows))
    sound = np.isfinite(found.log_likelihood).all() and (found.log_likelihood <= NOISE).all()
    must("log-likelihoods must be finite, and none above 0", bool(sound))
    again = model.masked(texts)
    same = np.array_equal(np.stack(found), np.stack(again))
    must("masked must hide the same tokens every time, and give the same of them", same)
    fewer, first = model.masked(lazy), found.rows < len(lazy)
    same = np.array_equal(fewer.rows, found.rows[first]) and np.array_equal(fewer.gold, found.gold[first])
    must("which tokens masked hides must not depend on a text's company", same)
    close = np.allclose(fewer.log_likelihood, found.log_likelihood[first], rtol=NOISE, atol=10 * NOISE)
    must("what masked gives must not depend on a text's company", close)
    words = ["sun", "rain", "zxqvk", "a b"]
    kinds: tuple[Literal["embeddings", "hidden"], ...] = ("embeddings", "hidden")
    for of in kinds:
        with must.manage(f"vectors must take words, of '{of}'"):
            vectors, turned = model.vectors(words, of), model.vectors(words[::-1], of)[::-1]
        shape = vectors.shape
        must(
            f"vectors must have a row for each word, got {shape}", len(shape) == 2 and shape[0] == len(words)
        )
        must(f"vectors of '{of}' must be finite", bool(np.isfinite(vectors).all()))
        must("vectors must keep the order of the words", np.allclose(vectors, turned, rtol=1e-4, atol=1e-4))
