"""spaCy's text classifiers as a student."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import ClassWeights, training_of
from harness_spacy.model import SETTINGS, WEIGHTS, Architecture, TextcatModel, put


@dataclass(frozen=True, kw_only=True)
class SpacyTextcat(Architecture, harness.Student):
    """A spaCy text classifier (https://spacy.io/api/architectures#textcat), trained with any loss.

    ``bow`` (TextCatBOW.v3) is a linear model of hashed word n-grams. ``cnn`` (TextCatReduce.v1) averages
    convolutions over hashed words, prefixes, suffixes and shapes. ``ensemble`` (TextCatEnsemble.v2) combines
    both. spaCy itself trains `ensemble` and `cnn` with `cross-entropy`, and `bow` with `mse-probabilities`,
    on gold labels. Here every loss is computed on the logits before spaCy's softmax, without approximation;
    its gradient goes through spaCy's own layers and optimiser.

    :meth:`harness_spacy.model.TextcatModel.pipeline` converts a fitted model to an ordinary spaCy pipeline.
    """

    name = "spacy-textcat"

    epochs: Annotated[int, Gt(0)] = 10
    batch_size: Annotated[int, Gt(0)] = 32  # largest batch; batches grow up to this size
    first_batch: Annotated[int, Gt(0)] = 8  # texts in the first batch; each batch is 1 % larger than the last
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of Adam; constant
    weight_decay: Annotated[float, Ge(0)] = 0.01  # decoupled
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    patience: Annotated[int, Ge(0)] = 0  # stop after this many validations without a better score; 0: never
    keep_best: bool = True  # keep the weights of the epoch with the best validation score
    min_examples: Annotated[int, Ge(0)] = 0  # minimum to train on in total: a small set gets more epochs
    class_weights: ClassWeights = "uniform"  # "balanced": all classes count equally; "square-root": half-way

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the expected speed; the convolutions take most of the time."""
        bow = self.architecture == "bow"
        return harness.Speed(train=8_000 if bow else 1_500, label=3_000 if bow else 2_500)

    def check(self) -> None:
        """Raise ValueError if the first batch is larger than the largest one."""
        if self.first_batch > self.batch_size:
            raise ValueError(
                f"expected a first_batch of at most batch_size, {self.batch_size}, got {self.first_batch}"
            )

    def base(self) -> str:
        """Return the release of spaCy, whose tokenisers and layers are used. Raise Unavailable without it."""
        try:
            return f"spacy {metadata.version('spacy')}"
        except metadata.PackageNotFoundError:
            raise harness.Unavailable(
                "student 'spacy-textcat' needs spaCy: pip install 'distil-harness[spacy]'"
            ) from None

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """See :class:`harness.Student`."""
        self.base()
        from spacy.util import fix_random_seed

        from harness_spacy.training import train

        fix_random_seed(context.seed)
        model = TextcatModel(self, transfer.classes)
        settings = training_of(self)
        train(model, settings, self.first_batch, self.dropout, transfer, validation, loss, context)
        return model

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Student`."""
        from safetensors.numpy import load_file

        self.base()
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        model = TextcatModel(self, settings["classes"])
        put(model.network, load_file(folder / WEIGHTS))
        return model
