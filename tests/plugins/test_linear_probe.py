"""The linear probe: a regression on the states of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import HarnessError
from harness.testing.tiny import CheckContext, tiny_examples
from harness.training.model import TorchModel
from harness_transformers.probe import LinearProbe
from harness_transformers.transformer import Transformer


@pytest.fixture
def encoder(folder_of: Callable[[str], Path]) -> Transformer:
    return Transformer(model=str(folder_of("bert")), longest=20, pooling="mean")


def test_it_is_a_regression_on_standardised_states(encoder: Transformer, context: CheckContext) -> None:
    from sklearn.linear_model import LogisticRegression

    train, validation = tiny_examples()
    model = LinearProbe(encoder=encoder, strengths=(0.1,)).fit(train, validation, context)
    assert isinstance(model, TorchModel)
    assert train.labels is not None
    known = train.labels >= 0
    states, asked = model.hidden(train.texts)[known], model.hidden(validation.texts)
    mean, spread = states.mean(0), states.std(0) + 1e-6
    plain = LogisticRegression(C=0.1, max_iter=1000).fit((states - mean) / spread, train.labels[known])
    expected = plain.predict_log_proba((asked - mean) / spread)
    found = torch.log_softmax(torch.from_numpy(model.predict(validation.texts)), 1).numpy()
    np.testing.assert_allclose(found[:, plain.classes_], expected, atol=0.05)


def test_the_encoder_stays_as_it_was(encoder: Transformer, context: CheckContext, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    train, validation = tiny_examples()
    probe = LinearProbe(encoder=encoder)
    model = probe.fit(train, validation, context)
    assert isinstance(model, TorchModel)
    given = load_file(Path(encoder.model) / "model.safetensors")
    table = next(value for name, value in given.items() if name.endswith("word_embeddings.weight"))
    np.testing.assert_array_equal(model.module.encoder.get_input_embeddings().weight.detach(), table)  # type: ignore[operator,union-attr]
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    loaded = probe.load(folder, context)
    np.testing.assert_allclose(loaded.predict(train.texts), model.predict(train.texts), atol=1e-5)


def test_one_label_is_too_few(encoder: Transformer, context: CheckContext) -> None:
    train, validation = tiny_examples()
    same = replace(train, labels=np.zeros(len(train), dtype=np.int64))
    with pytest.raises(HarnessError, match="all texts have the same label"):
        LinearProbe(encoder=encoder).fit(same, validation, context)
