"""Train a tagger on the tag sequences of texts, and predict sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from harness import Context, Examples
from harness.featurise.featuriser import WordTokens
from harness.training.inference import predict
from harness.training.loop import train
from harness.training.model import TorchModel
from harness_teachers.crf import SequenceLikelihood, padded
from harness_teachers.taggers import CrfTagger

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.training.settings import Training
    from harness_teachers.word_features import WordFeatures

_AT_ONCE = 1024  # texts per batch of Viterbi decoding


def fit(
    build: Callable[[int, int], nn.Module],
    featuriser: WordFeatures,
    settings: Training,
    examples: Examples,
    validation: Examples,
    context: Context,
) -> SequenceModel:
    """Train on the likelihood of each text's gold tags.

    `build` returns a new module for a number of ids and a number of classes.
    """
    torch.manual_seed(context.seed)
    module = build(featuriser.size, len(examples.classes))
    assert isinstance(module, CrfTagger)
    model = SequenceModel(module, featuriser, examples.classes, context)
    tokens = featuriser.tokens(examples.texts, context.scratch)
    watched = featuriser.tokens(validation.texts), validation
    loss = SequenceLikelihood(module.crf)
    train(module, tokens, examples, loss, settings, context, watched)
    return model


class SequenceModel(TorchModel):
    """A tagger that predicts the best sequence, whose tags may differ from each word's most probable tag."""

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the tags of the best sequences, and of the largest logit for words that were not read."""
        assert isinstance(self.module, CrfTagger)
        tokens = self.featuriser.tokens(texts)
        assert isinstance(tokens, WordTokens)
        tags = super().decide(texts, logits)
        emissions = predict(self.module, tokens, self.context, output="emissions")
        device = self.context.device
        for start in range(0, len(texts), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(texts)))
            at, counts = tokens.targets(rows), torch.from_numpy(tokens.reached[rows]).to(device)
            with torch.inference_mode():
                table = padded(torch.from_numpy(emissions[at]).to(device), counts)
                best = self.module.crf.best(table, counts).cpu()
            inside = torch.arange(best.shape[1]) < counts.cpu().unsqueeze(1)
            tags[at] = best[inside].numpy()
        return tags

    def export(self, folder: Path) -> None:
        """Write a graph that returns emissions, and the scores of the CRF. See :class:`harness.Model`."""
        assert isinstance(self.module, CrfTagger)
        crf = self.module.crf
        # Imported by name, as in harness.training.model: code for exports must not change models' keys.
        import_module("harness.exports.onnx").export_module(
            _Emissions(self.module).eval(), self.featuriser, self.classes, folder
        )
        scores = (each.detach().cpu().numpy() for each in (crf.transitions, crf.start, crf.end))
        import_module("harness.runtime.chain").Chain(*scores).write(folder)


class _Emissions(nn.Module):
    """The part of a tagger below its CRF: ids (B, L) → emissions (B, L, C)."""

    def __init__(self, tagger: CrfTagger) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, ids: Tensor) -> Tensor:
        """Return the emissions (B, L, C) of ids (B, L)."""
        return self.tagger.outputs(ids, {"emissions"})["emissions"]
