"""Training a tagger on whole texts' tags, and deciding them as a whole."""

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

_AT_ONCE = 1024  # texts that are decided together


def fit(
    build: Callable[[int, int], nn.Module],
    featuriser: WordFeatures,
    settings: Training,
    examples: Examples,
    validation: Examples,
    context: Context,
) -> SequenceModel:
    """Train on the likelihood of each text's gold tags. `build` makes a module for some ids and classes."""
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
    """A tagger whose tags are those of the best sequence, which need not be each word's most probable."""

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """See :class:`harness.Model`; words that were not read have the tag of the largest logit."""
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
        """See :class:`harness.Model`: the graph gives emissions, and the CRF's scores stand beside it."""
        assert isinstance(self.module, CrfTagger)
        crf = self.module.crf
        # By name, as in harness.training.model: how it is exported changes no model.
        import_module("harness.exports.onnx").export_module(
            _Emissions(self.module).eval(), self.featuriser, self.classes, folder
        )
        scores = (each.detach().cpu().numpy() for each in (crf.transitions, crf.start, crf.end))
        import_module("harness.runtime.chain").Chain(*scores).write(folder)


class _Emissions(nn.Module):
    """What a tagger's CRF is given: ids (B, L) to scores (B, L, C)."""

    def __init__(self, tagger: CrfTagger) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, L, C)."""
        return self.tagger.outputs(ids, {"emissions"})["emissions"]
