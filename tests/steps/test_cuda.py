"""Texts are padded to the shapes that graphs have; on a GPU graphs compute what their model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api import Unsupported
from harness.featurise.featuriser import Words
from harness.steps.cuda import STEP, GraphedModel, kernels_ms, padded
from harness.testing.tiny import CheckContext
from harness.training.model import TorchModel
from harness_students.modules import Convolutions

WORDS = Words(["sun", "rain", "wind"], 64)
TEXTS = ["sun", "rain wind", "sun " * 20, "snow " * 40]


@pytest.mark.parametrize(("count", "length"), [(0, 1), (1, 1), (16, 1), (17, 2), (33, 3)])
def test_texts_are_padded_to_a_graphs_shape(count: int, length: int) -> None:
    ids = padded(list(range(5, 5 + count)), 3)
    assert ids.shape == (1, length * STEP) and ids.dtype == np.int64
    assert ids[0, :count].tolist() == list(range(5, 5 + count)) and (ids[0, count:] == 3).all()


def model(module: nn.Module, folder: Path) -> TorchModel:
    context: Any = CheckContext(folder)
    context.device = "cuda:0"
    return TorchModel(module, WORDS, ["a", "b"], context)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use")
def test_graphs_compute_what_the_model_does(tmp_path: Path) -> None:
    plain = model(Convolutions(WORDS.size, 4, 5, (1, 2), 2, 0.0, 1.0), tmp_path)
    graphed = GraphedModel(plain, TEXTS)
    assert len(graphed._graphs) == 3
    for text in [*TEXTS, *TEXTS[::-1]]:
        np.testing.assert_allclose(graphed.predict([text]), plain.predict([text]), rtol=1e-4, atol=1e-5)
    assert kernels_ms(plain, TEXTS) > 0


class Counts(nn.Module):
    """Its work depends on more than shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS.size, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids[:, : int((ids != 0).sum())]).mean(1)  # type: ignore[no-any-return]


def test_what_cannot_be_captured_says_why(tmp_path: Path) -> None:
    """Without a GPU nothing can."""
    if torch.cuda.is_available():
        plain = model(Counts(), tmp_path)
    else:
        plain = TorchModel(Counts(), WORDS, ["a", "b"], CheckContext(tmp_path))
    with pytest.raises(Unsupported, match="cannot capture a CUDA graph: ") as caught:
        GraphedModel(plain, TEXTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["crf", "language"])
def test_what_graphs_are_not_for_is_refused_before_any_capture(kind: str, tmp_path: Path) -> None:
    if kind == "crf":
        from harness_teachers.sequences import SequenceModel

        refused: TorchModel = SequenceModel(nn.Linear(1, 1), WORDS, ["O", "B-a"], CheckContext(tmp_path))
    else:
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel

        from harness.featurise.featuriser import MaskedSubwords

        tokenizer = Tokenizer(WordLevel({"[PAD]": 0, "[MASK]": 1, "sun": 2}, "[PAD]"))
        reads = MaskedSubwords(tokenizer, 8, 0, 1)
        refused = TorchModel(nn.Linear(1, 1), reads, [], CheckContext(tmp_path))
    with pytest.raises(Unsupported, match="cannot use CUDA graphs"):
        GraphedModel(refused, TEXTS)
