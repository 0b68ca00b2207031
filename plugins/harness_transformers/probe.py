"""A linear classifier on the states of a frozen encoder: a teacher in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Gt, MinLen
from harness_transformers.pretrained import Pooling
from harness_transformers.transformer import FineTuned, MiniLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ITERATIONS = 300
_NEVER = -1e4  # the logit of classes that training lacks


@dataclass(frozen=True, kw_only=True)
class LinearProbe(harness.Teacher):
    """A pretrained encoder that is not trained, and a linear layer on its states (Alain & Bengio, 2017).

    The layer is a logistic regression on standardised states. On few texts it can be better than
    fine-tuning, and it takes a fraction of the time.
    """

    name = "linear-probe"
    spreads: ClassVar[bool] = True
    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = FineTuned.gives

    encoder: FineTuned = field(default_factory=MiniLM)  # only its `longest` and `pooling` matter
    # Candidates for C, the inverse of the L2 penalty; the best on the validation set is taken.
    strengths: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (0.003, 0.01, 0.03, 0.1, 0.3)

    @property
    def pooling(self) -> Pooling:
        """Return how states become the state of a text; the head of the encoder is not used."""
        return "cls" if self.encoder.pooling == "cls" else "mean"

    def base(self) -> str:
        """Return the base of the encoder."""
        return self.encoder.base()

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the speed of the encoder, which reads each text once."""
        return harness.Speed(self.encoder.speed.label, self.encoder.speed.label)

    def operations(self, words: float) -> harness.Operations:
        """See :class:`harness.Teacher`: training is one forward pass."""
        label = self.encoder.operations(words).label
        return harness.Operations(train=label, label=label)

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        import torch

        from harness_transformers.finetuning import TransformerModel, classifier, pretrained

        assert train.labels is not None
        torch.manual_seed(context.seed)
        encoder, featuriser = pretrained(self.encoder, context, len(train.classes), self.pooling)
        module = classifier(encoder, self.pooling, featuriser, len(train.classes), 0.0)
        model = TransformerModel(module, featuriser, train.classes, context)
        output = module.output
        module.output = torch.nn.Identity()  # type: ignore[assignment]
        states, held_out = model.predict(train.texts), model.predict(validation.texts)  # (N, W), (M, W)
        known = train.labels >= 0
        mean, spread = states[known].mean(0), states[known].std(0) + 1e-6
        weight, bias = _regression(
            (states[known] - mean) / spread,
            train.labels[known],
            (held_out - mean) / spread,
            validation.labels,
            self.strengths,
            len(train.classes),
        )
        weight = weight / spread
        module.output = output
        with torch.no_grad():
            assert isinstance(output, torch.nn.Linear)
            output.weight.copy_(torch.from_numpy(weight))
            output.bias.copy_(torch.from_numpy(bias - weight @ mean))
        return model

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.finetuning import load

        return load(replace(self.encoder, pooling=self.pooling), folder, context)


def _regression(
    states: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: NDArray[np.float32],
    gold: NDArray[np.int64] | None,
    strengths: tuple[float, ...],
    classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights (C, W) and biases (C,) of the regression that is best on the validation set."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    if len(set(labels.tolist())) < 2:
        raise harness.HarnessError(
            "cannot fit teacher 'linear-probe': all texts have the same label; give texts with others"
        )
    best, chosen, worse = -1.0, None, 0
    regression = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3, warm_start=True)
    for strength in sorted(strengths):
        regression.set_params(C=strength).fit(states, labels)
        score = float((regression.predict(held_out) == gold).mean()) if len(held_out) else 0.0
        worse = worse + 1 if score < best else 0
        if score > best:
            best, chosen = score, (regression.coef_.copy(), regression.intercept_.copy())
        if worse == 2:
            break
    assert chosen is not None
    weight, bias = chosen
    if len(weight) == 1:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    every = np.zeros((classes, weight.shape[1]))
    shift = np.full(classes, _NEVER)
    every[regression.classes_], shift[regression.classes_] = weight, bias
    return every, shift
