"""TF-IDF with logistic regression: the baseline that every distilled model should beat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import harness
from harness import Gt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TfidfLogreg(harness.Student):
    """TF-IDF of word n-grams with multinomial logistic regression, by scikit-learn.

    It learns from gold labels only. It has its own cross-entropy, whichever loss on labels a suite sets.
    """

    name = "tfidf-logreg"
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels"})
    speed: ClassVar[harness.Speed] = harness.Speed(train=15_000, label=80_000)

    ngrams: Annotated[int, Gt(0)] = 1  # longest word n-gram
    vocabulary: Annotated[int, Gt(0)] | None = None  # number of most frequent n-grams to keep; None: all
    strength: Annotated[float, Gt(0)] = 1.0  # C of the regression: the inverse of its L2 penalty

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """Fit the model on the rows with a gold label. See :class:`harness.Student`."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if loss.needs != {"labels"}:
            raise harness.HarnessError(f"student 'tfidf-logreg' cannot use loss '{loss.name}'")
        assert transfer.labels is not None
        known = [row for row, label in enumerate(transfer.labels) if label >= 0]
        vectorizer = TfidfVectorizer(ngram_range=(1, self.ngrams), max_features=self.vocabulary)
        try:
            features = vectorizer.fit_transform(transfer.texts[row] for row in known)
        except ValueError as error:
            raise harness.HarnessError(
                f"cannot fit student 'tfidf-logreg': there are no words to learn from: {error}"
            ) from None
        regression = LogisticRegression(C=self.strength, max_iter=1000, random_state=context.seed)
        regression.fit(features, transfer.labels[known])
        return TfidfModel.of(vectorizer, regression, self.ngrams, transfer.classes)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Student`."""
        return TfidfModel.load(folder)


class TfidfModel(harness.Model):
    """A fitted pipeline, saved as a vocabulary and three arrays, without pickle."""

    def __init__(self, settings: dict[str, Any], arrays: dict[str, NDArray[np.float64]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.settings = settings
        self.arrays = arrays
        vocabulary = {term: column for column, term in enumerate(settings["vocabulary"])}
        self.vectorizer = TfidfVectorizer(ngram_range=(1, settings["ngrams"]), vocabulary=vocabulary)
        self.vectorizer.idf_ = arrays["idf"]

    @classmethod
    def of(cls, vectorizer: Any, regression: Any, ngrams: int, classes: tuple[str, ...]) -> TfidfModel:
        """Build a model from a fitted pipeline. Classes that training lacks get a very small logit."""
        import numpy as np

        coefficients, intercept = regression.coef_, regression.intercept_
        if (
            len(regression.classes_) == 2 and len(coefficients) == 1
        ):  # scikit-learn keeps one row for two classes
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercept = np.concatenate([-intercept / 2, intercept / 2])
        coef = np.zeros((len(classes), coefficients.shape[1]))
        bias = np.full(len(classes), -1e4)
        coef[regression.classes_], bias[regression.classes_] = coefficients, intercept
        terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
        arrays = {"idf": np.asarray(vectorizer.idf_), "coef": coef, "intercept": bias}
        return cls({"ngrams": ngrams, "vocabulary": terms}, arrays)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.Model`."""
        import numpy as np

        features = self.vectorizer.transform(texts)
        logits = features @ self.arrays["coef"].T + self.arrays["intercept"]
        return np.asarray(logits, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "model.safetensors")
        (folder / "model.json").write_text(json.dumps(self.settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TfidfModel:
        """Load a model that :meth:`save` wrote."""
        from safetensors.numpy import load_file

        settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return cls(settings, load_file(folder / "model.safetensors"))

    def parameters(self) -> harness.Parameters:
        """Count the parameters. IDF weights belong to the total but are not trainable."""
        trained = self.arrays["coef"].size + self.arrays["intercept"].size
        return harness.Parameters(total=trained + self.arrays["idf"].size, trainable=trained, embedding=0)
