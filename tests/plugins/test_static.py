"""Static students: their tables against scikit-learn's PCA and weights by hand, their means in NumPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from transformers import AutoModel, AutoTokenizer

from harness import HarnessError
from harness.api import Parameters
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLabels, FromLogits, tiny_examples
from harness_students.recurrent import TangBiLstm
from harness_students.static import Static
from harness_students.words import Mlp
from harness_teachers.pupil import Pupil
from harness_transformers.transformer import Transformer

FolderOf = Callable[[str], Path]
TEXTS = [*tiny_examples()[1].texts, *ODD_TEXTS]
SPECIAL = [0, 1, 2, 3]  # <pad>, <unk>, <s> and </s> in the tiny models


@pytest.fixture(params=["bert", "roberta"])
def pretrained(request: Any, folder_of: FolderOf) -> Transformer:
    return Transformer(model=str(folder_of(request.param)), longest=20, epochs=1, pooling="mean")


@pytest.fixture
def bert(folder_of: FolderOf) -> Transformer:
    return Transformer(model=str(folder_of("bert")), longest=20, epochs=1)


def fit(student: Any, context: CheckContext, loss: Any = None) -> Any:
    train, validation = tiny_examples()
    return student.fit(train, validation, loss or FromLogits(), context)


def vectors_of(folder: str, of: str) -> Any:
    """What transformers make of each piece between <s> and </s>, one at a time."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    if of == "embeddings":
        return model.get_input_embeddings().weight.numpy(force=True)
    rows = []
    for piece in range(len(tokenizer)):
        ids = torch.tensor([[tokenizer.cls_token_id, piece, tokenizer.sep_token_id]])
        with torch.no_grad():
            rows.append(model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0).numpy())
    return np.array(rows)


def shares(folder: str, size: int) -> Any:
    """How often each piece is seen in the training texts, once more than it is."""
    tokenizer, counts = AutoTokenizer.from_pretrained(folder), Counter[int]()
    for text in tiny_examples()[0].texts:
        counts.update(i for i in tokenizer(text, truncation=True, max_length=20)["input_ids"] if i > 3)
    return np.array([(counts[piece] + 1) / (sum(counts.values()) + size) for piece in range(4, 4 + size)])


def weights_of(weighting: str, folder: str, size: int) -> Any:
    if weighting == "uniform":
        return np.ones(size)
    if weighting == "zipf":
        return np.array([np.log(1 + rank) for rank in range(1, size + 1)])
    return np.array([0.01 / (0.01 + share) for share in shares(folder, size)])


@pytest.mark.parametrize(
    ("of", "weighting", "width"),
    [("encoder", "sif", 6), ("encoder", "zipf", 16), ("embeddings", "uniform", 3), ("embeddings", "sif", 0)],
)
def test_the_table_is_scikit_learns_pca_weighted(
    of: Any, weighting: Any, width: int, pretrained: Transformer, context: CheckContext
) -> None:
    student = Static(
        embeddings=pretrained, of=of, weighting=weighting, width=width, smoothing=0.01, min_examples=0
    )
    table = fit(student, context).module.embedding.weight.numpy(force=True)
    vectors = vectors_of(pretrained.model, of)[4:]
    if width:
        pca = PCA(width, svd_solver="full").fit(vectors)
        axes = pca.components_ * np.sign([max(axis, key=abs) for axis in pca.components_])[:, None]
        vectors = (vectors - pca.mean_) @ axes.T
    expected = vectors * weights_of(weighting, pretrained.model, len(vectors))[:, None]
    expected /= np.sqrt((shares(pretrained.model, len(vectors))[:, None] * expected**2).sum(0).mean())
    assert not table[SPECIAL].any()
    np.testing.assert_allclose(table[4:], expected, rtol=1e-3, atol=1e-4)


def test_logits_are_those_of_a_mean_without_special_tokens(bert: Transformer, context: CheckContext) -> None:
    model = fit(Static(embeddings=bert, width=5, hidden=4, min_examples=0, dropout=0.5), context)
    state = {name: value.numpy(force=True) for name, value in model.module.state_dict().items()}
    assert np.flatnonzero(state["kept"] == 0).tolist() == SPECIAL
    rows = []
    for ids in model.featuriser.encode(TEXTS):
        words = [state["embedding.weight"][i] for i in ids if i not in SPECIAL]
        mean = np.mean(words, axis=0) if words else np.zeros(5)
        hidden = np.maximum(state["hidden.weight"] @ mean + state["hidden.bias"], 0)
        rows.append(state["output.weight"] @ hidden + state["output.bias"])
    np.testing.assert_allclose(model.predict(TEXTS), rows, rtol=1e-4, atol=1e-5)
    ids = torch.tensor([[2, 4, 5, 3, 0, 0]])
    found = model.module.outputs(ids, {"hidden"})
    assert torch.equal(found["logits"], model.module(ids)) and found["hidden"].shape == (1, 4)


@pytest.mark.parametrize("freeze", [True, False])
def test_the_table_is_frozen_or_tuned(
    freeze: bool, bert: Transformer, context: CheckContext, tmp_path: Path
) -> None:
    student = Static(embeddings=bert, width=5, freeze=freeze, min_examples=200)
    start = fit(replace(student, freeze=True), context).module.embedding.weight
    model = fit(student, context)
    assert torch.equal(start, model.module.embedding.weight) == freeze
    size, rest = model.featuriser.size * 5, 3 * (5 + 1)
    assert model.parameters() == Parameters(size + rest, rest if freeze else size + rest, size)
    assert not model.module.embedding.weight[SPECIAL].any()  # what is not averaged does not move
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    loaded = student.load(folder, context)
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))
    assert loaded.parameters() == model.parameters()


@pytest.mark.parametrize("pooling", ["head", "mean"])
def test_it_is_made_from_the_fitted_teacher(
    pooling: Any, bert: Transformer, context: CheckContext, tmp_path: Path
) -> None:
    teacher = replace(bert, pooling=pooling).fit(*tiny_examples(), context)
    student = Static(width=0, weighting="uniform", min_examples=0)
    assert student.borrows and not Static(embeddings=bert).borrows
    model = fit(student, replace(context, teacher=teacher))
    encoder = teacher.module.encoder.base_model  # type: ignore[attr-defined]
    (folder := tmp_path / "encoder").mkdir()
    encoder.save_pretrained(folder)
    AutoTokenizer.from_pretrained(bert.model).save_pretrained(folder)
    expected = vectors_of(str(folder), "encoder")[4:]
    expected /= np.sqrt((shares(bert.model, len(expected))[:, None] * expected**2).sum(0).mean())
    table = model.module.embedding.weight.numpy(force=True)[4:]
    np.testing.assert_allclose(table, expected, rtol=1e-3, atol=1e-4)


def test_it_learns(bert: Transformer, context: CheckContext) -> None:
    _, validation = tiny_examples()
    student = Static(embeddings=bert, width=16, weighting="uniform", batch_size=8, learning_rate=0.02)
    student = replace(student, min_examples=3000)
    model = fit(student, context, FromLabels())
    assert validation.labels is not None
    assert (model.predict(validation.texts).argmax(1) == validation.labels).all()


def test_mistakes(bert: Transformer, context: CheckContext) -> None:
    with pytest.raises(HarnessError, match=r"expected a width of at most 16, .* 'static' takes, got 17"):
        fit(Static(embeddings=bert, width=17), context)
    teacher = Pupil(student=Mlp(min_examples=0)).fit(*tiny_examples(), context)
    with pytest.raises(HarnessError, match=r'without an encoder; set of = "embeddings"'):
        fit(Static(width=4), replace(context, teacher=teacher))
    model = fit(Static(width=4, of="embeddings", min_examples=0), replace(context, teacher=teacher))
    assert model.predict(TEXTS).shape == (len(TEXTS), 3)


def test_tang_s_bilstm_has_the_sizes_published() -> None:
    module = TangBiLstm().module(20_000, 2)
    gates = 2 * 4 * 150 * (300 + 150 + 2)  # torch's LSTM has two biases
    total = sum(p.numel() for p in module.parameters()) - 20_000 * 300
    assert total == gates + 300 * 200 + 200 + 200 * 2 + 2
    assert module.pooling == "last" and module.bidirectional
