"""A student that is spaCy's text classifier."""

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
    """spaCy's text classifiers (https://spacy.io/api/architectures#textcat), trained by any loss.

    ``ensemble`` (TextCatEnsemble.v2) joins the two others: ``bow`` (TextCatBOW.v3) is linear in hashed
    n-grams of words; ``cnn`` (TextCatReduce.v1) averages convolutions over hashed words, prefixes, suffixes
    and shapes. spaCy itself would train `ensemble` and `cnn` by `cross-entropy`, and `bow` by
    `mse-probabilities`, on gold labels. Here every loss is exact: it is computed on the logits before
    spaCy's softmax, and its gradient goes through spaCy's own layers and optimiser.

    The model that is fitted turns into an ordinary pipeline: see :meth:`TextcatModel.pipeline`.
    """

    name = "spacy-textcat"

    epochs: Annotated[int, Gt(0)] = 10
    batch_size: Annotated[int, Gt(0)] = 32  # that batches grow to
    first_batch: Annotated[int, Gt(0)] = 8  # texts in the first batch; each is 1 % larger than the last
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of Adam, constant
    weight_decay: Annotated[float, Ge(0)] = 0.01  # decoupled
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    patience: Annotated[int, Ge(0)] = 0  # validations without a better score before stopping; 0: never
    keep_best: bool = True  # end with the weights of the epoch that scored best on validation
    min_examples: Annotated[int, Ge(0)] = 0  # train on at least so many in all: a small set gets more epochs
    class_weights: ClassWeights = "uniform"  # "balanced": every class counts alike; "square-root": half-way

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """See :class:`harness.Student`; convolutions are what takes time."""
        bow = self.architecture == "bow"
        return harness.Speed(train=8_000 if bow else 1_500, label=3_000 if bow else 2_500)

    def check(self) -> None:
        """Batches do not shrink."""
        if self.first_batch > self.batch_size:
            raise ValueError(f"first_batch is {self.first_batch}, more than batch_size, {self.batch_size}")

    def base(self) -> str:
        """The release of spaCy, whose tokenisers and layers these are."""
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
