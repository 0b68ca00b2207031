"""A small vocabulary, texts of it, and what a model predicts for them: to compare exported forms with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.featurise.featuriser import Words

WORDS = Words(["sun", "rain", "wind", "snow", "the", "is", "here", "!", ","], longest=64)
CLASSES = ["naïve", "b", "c"]
TEXTS = [
    *("sun", "", "the rain , the wind is here !", "sun " * 40, "words unknown here", "snow sun", "the", "! !")
]


def logits_of(module: nn.Module, texts: Sequence[str] = TEXTS) -> NDArray[np.float32]:
    """Return the logits (N, C) of a module for texts, each by itself and therefore without padding."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module(torch.tensor(WORDS.encode([text]))) for text in texts]).numpy()


def check_predictions(model: Any, right: NDArray[np.float32], rtol: float = 1e-5) -> None:
    """Check a form's logits for TEXTS, in any order and one by one, and its labels."""
    np.testing.assert_allclose(model.predict(TEXTS), right, rtol=rtol, atol=1e-5)
    np.testing.assert_allclose(model.predict(TEXTS[::-1]), right[::-1], rtol=rtol, atol=1e-5)
    for text, row in zip(TEXTS, right, strict=True):
        np.testing.assert_allclose(model.predict([text]), row[None], rtol=rtol, atol=1e-5)
        assert model.label(text) == CLASSES[row.argmax()]
    assert model.predict(TEXTS).dtype == model.predict(TEXTS[:1]).dtype == np.float32
    assert model.predict([]).shape == (0, len(CLASSES))
