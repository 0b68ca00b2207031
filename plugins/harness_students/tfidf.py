"""TF-IDF with a linear classifier: the models that every distilled one should beat."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import harness
from harness import Gt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.featurise.featuriser import Featuriser

    Arrays = dict[str, NDArray[Any]]

_NEVER = -1e4  # the logit of classes that training lacks
_FEWEST = 100  # a vocabulary that still describes most texts


@dataclass(frozen=True, kw_only=True)
class _Tfidf(harness.Student):
    """A linear classifier on the TF-IDF of words and n-grams.

    It learns from gold labels only. It has its own loss, whichever loss on labels a suite sets.
    """

    version: ClassVar[int] = 3
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels"})
    exports: ClassVar[bool] = True
    STRENGTHS: ClassVar[tuple[float, ...]]

    ngrams: Annotated[int, Gt(0)] = 2  # longest word n-gram
    vocabulary: Annotated[int, Gt(0)] | None = None  # number of most frequent n-grams to keep; None: all
    sublinear: bool = True  # weigh an n-gram that occurs c times with 1 + log c, not c
    # C, the inverse of the L2 penalty; None: the value with the best accuracy on the validation set
    strength: Annotated[float, Gt(0)] | None = None
    longest: Annotated[int, Gt(0)] = 512  # maximum number of words read from a text

    @abstractmethod
    def classifier(self, strength: float, seed: int, before: Any) -> Any:
        """Return an untrained classifier of scikit-learn; `before` is the last fitted one, or None."""

    def within(self, parameters: int, classes: int) -> harness.Student | None:
        """Return a student with fewer n-grams, or None. See :class:`harness.Student`."""
        most = (parameters - classes) // (classes + 1) - 2
        if self.vocabulary is not None and most >= self.vocabulary:
            return self
        return replace(self, vocabulary=most) if most >= _FEWEST else None

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """Fit the model on the rows with a gold label. See :class:`harness.Student`."""
        import numpy as np

        from harness_students.phrases import Phrases

        if loss.needs != {"labels"}:
            raise harness.HarnessError(f"student '{self.name}' cannot use loss '{loss.name}'")
        assert transfer.labels is not None
        known = [row for row, label in enumerate(transfer.labels) if label >= 0]
        texts, labels = [transfer.texts[row] for row in known], transfer.labels[known]
        featuriser = Phrases.fit(texts, self.vocabulary, self.ngrams, self.longest)
        if featuriser.size <= 2:
            raise harness.HarnessError(f"cannot fit student '{self.name}': there are no words to learn from")
        if len(set(labels.tolist())) < 2:
            raise harness.HarnessError(
                f"cannot fit student '{self.name}': all texts have the same label; give texts with others"
            )
        counts = _counts(featuriser, texts)
        idf = np.log((1 + len(texts)) / (1 + np.bincount(counts.indices, minlength=featuriser.size))) + 1
        idf[:2] = 0
        weights = _weighted(counts, idf, self.sublinear)
        held_out = _weighted(_counts(featuriser, validation.texts), idf, self.sublinear)

        def accuracy(logits: NDArray[np.float64]) -> float:
            assert validation.labels is not None
            return float((logits.argmax(1) == validation.labels).mean()) if len(validation.texts) else 0.0

        best, fitted = -1.0, None
        worse, before = 0, None
        for strength in self.STRENGTHS if self.strength is None else (self.strength,):
            before = self.classifier(strength, context.seed, before).fit(weights, labels)
            coefficients, bias = _all_classes(before, len(transfer.classes))
            score = accuracy(held_out @ coefficients.T + bias)
            worse = worse + 1 if score < best else 0
            if score > best:
                best, fitted = score, (coefficients, bias)
            if worse == 2:  # stronger weights would only fit the training texts better
                break
        assert fitted is not None
        coefficients, bias = fitted
        factor = self.calibrated(held_out @ coefficients.T + bias, validation)
        table, bias = np.ascontiguousarray(factor * coefficients.T), factor * bias
        scale = np.maximum(np.abs(table).max(0), 1e-12) / 127
        rounded = np.rint(table / scale)
        if accuracy(held_out @ (rounded * scale) + bias) >= best:
            table = rounded.astype(np.int8)
        else:
            table, scale = table.astype(np.float32), np.ones_like(scale)
        arrays = {
            "table": table,
            "scale": scale.astype(np.float32),
            "bias": bias.astype(np.float32),
            "idf": idf.astype(np.float32),
            "sublinear": np.array([self.sublinear], dtype=np.float32),
        }
        return TfidfModel(featuriser, transfer.classes, arrays)

    def calibrated(self, logits: NDArray[np.float64], validation: harness.Examples) -> float:
        """Return the factor of the logits, (N, C), that makes them logarithms of probabilities."""
        return 1.0

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Student`."""
        return TfidfModel.load(folder)


@dataclass(frozen=True, kw_only=True)
class TfidfLogreg(_Tfidf):
    """Logistic regression on the TF-IDF of words and n-grams, by scikit-learn.

    It learns from gold labels only. It has its own cross-entropy, whichever loss on labels a suite sets.
    """

    name = "tfidf-logreg"
    speed: ClassVar[harness.Speed] = harness.Speed(train=5_000, label=60_000)
    STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)

    def classifier(self, strength: float, seed: int, before: Any) -> Any:
        """See :class:`_Tfidf`: it starts from the weights for the last, stronger penalty."""
        from sklearn.linear_model import LogisticRegression

        if before is None:
            return LogisticRegression(C=strength, max_iter=1000, warm_start=True)
        return before.set_params(C=strength)


@dataclass(frozen=True, kw_only=True)
class TfidfSvm(_Tfidf):
    """Linear support-vector machine on the TF-IDF of words and n-grams, one class against the others.

    It is that of LIBLINEAR, by scikit-learn, with the squared hinge loss, and learns from gold labels only. A
    factor that is fitted on the validation set makes its margins logits (Platt, 1999).
    """

    name = "tfidf-svm"
    speed: ClassVar[harness.Speed] = harness.Speed(train=8_000, label=60_000)
    STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)

    def classifier(self, strength: float, seed: int, before: Any) -> Any:
        """See :class:`_Tfidf`."""
        from sklearn.svm import LinearSVC

        return LinearSVC(C=strength, random_state=seed)

    def calibrated(self, logits: NDArray[np.float64], validation: harness.Examples) -> float:
        """See :class:`_Tfidf`; the factor has the largest likelihood on the validation set."""
        import numpy as np
        from scipy.optimize import minimize_scalar
        from scipy.special import log_softmax

        labels = validation.labels
        if labels is None or not len(labels):
            return 1.0
        rows = np.arange(len(labels))

        def surprise(power: float) -> float:
            return -float(log_softmax(np.exp(power) * logits, axis=1)[rows, labels].mean())

        return float(np.exp(minimize_scalar(surprise, bounds=(-3, 4), method="bounded").x))


class TfidfModel(harness.Model):
    """A fitted linear model, saved as a vocabulary and arrays, without pickle.

    The arrays are those of :class:`harness.runtime.linear.LinearModel`.
    """

    def __init__(self, featuriser: Featuriser, classes: Sequence[str], arrays: Arrays) -> None:
        from harness.runtime.linear import LinearModel

        self.featuriser, self.classes, self.arrays = featuriser, tuple(classes), arrays
        self.runs = LinearModel.of(featuriser, classes, arrays)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.Model`."""
        return self.runs.predict(texts)

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "model.safetensors")
        self.featuriser.save(folder)
        (folder / "model.json").write_text(json.dumps(self.classes, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TfidfModel:
        """Load a model that :meth:`save` wrote."""
        from safetensors.numpy import load_file

        from harness_students.phrases import Phrases

        classes = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return cls(Phrases.load(folder), classes, load_file(folder / "model.safetensors"))

    def export(self, folder: Path) -> None:
        """Write the model as ONNX and for NumPy."""
        from importlib import import_module

        # Imported by name, so that a change to the export does not cause models to be trained again.
        export = import_module("harness.exports.linear").export
        export(self.arrays, self.featuriser, self.classes, folder)

    def parameters(self) -> harness.Parameters:
        """Count the parameters. IDF weights belong to the total but are not trainable."""
        trained = self.arrays["table"].size + self.arrays["bias"].size
        return harness.Parameters(total=trained + self.arrays["idf"].size, trainable=trained, embedding=0)


def _counts(featuriser: Featuriser, texts: Sequence[str]) -> Any:
    """Return how often each id occurs in each text, (N, V), sparse."""
    import numpy as np
    from scipy.sparse import csr_matrix

    tokens = featuriser.tokens(texts)
    found = csr_matrix(
        (np.ones(len(tokens.ids)), np.array(tokens.ids), np.array(tokens.offsets)),
        (len(texts), featuriser.size),
    )
    found.sum_duplicates()
    return found


def _weighted(counts: Any, idf: NDArray[np.float64], sublinear: bool) -> Any:
    """Return the TF-IDF, (N, V), sparse, with rows of norm 1."""
    import numpy as np

    weights = counts.copy()
    if sublinear:
        weights.data = 1 + np.log(weights.data)
    weights.data *= idf[weights.indices]
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(1)).ravel())
    weights.data /= np.repeat(np.where(norms > 0, norms, 1), np.diff(weights.indptr))
    return weights


def _all_classes(fitted: Any, classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights (C, V) and biases (C,) of a fitted classifier."""
    import numpy as np

    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2 and len(coefficients) == 1:  # scikit-learn keeps one row for two classes
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    every = np.zeros((classes, coefficients.shape[1]))
    bias = np.full(classes, _NEVER)
    every[fitted.classes_], bias[fitted.classes_] = coefficients, intercept
    return every, bias
