"""Masked language models: how they are trained, what they tell, and what they hold of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from components import Told
from masked_models import SPECIAL, TEXTS, WORDS, SmallBert, featuriser, small_bert
from torch import Tensor
from watching import score

from harness.api import Batch, Examples, HarnessError, Unsupported
from harness.featurise.tokens import MaskedTokens
from harness.task_types import masked_lm
from harness.testing.tiny import CheckContext
from harness.training.inference import hidden_tokens
from harness.training.language_model import LanguageModel
from harness.training.loop import train
from harness.training.model import TorchStudent
from harness.training.settings import Training
from harness_losses import CrossEntropy, HiddenCosine, Triple, Weighted

RAW = Examples(TEXTS * 8, ())
SIZE = len(SPECIAL) + len(WORDS)
BRIEF = Training(epochs=2, batch_size=8, learning_rate=1e-2)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def context(tmp_path: Path) -> Told:
    return Told(tmp_path)


def tokens_of(examples: Examples = RAW) -> MaskedTokens:
    found = featuriser().tokens(examples.texts)
    assert isinstance(found, MaskedTokens)
    return found


def model(context: CheckContext, seed: int = 0, **options: Any) -> LanguageModel:
    return LanguageModel(small_bert(seed, **options), featuriser(), (), context)


# -- training ------------------------------------------------------------------------------------------------


def test_rows_are_hidden_tokens_and_the_teacher_sees_the_same(context: Told) -> None:
    tokens = tokens_of()
    teacher, student = small_bert(0), small_bert(1)
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(module: SmallBert) -> list[Tensor]:
        given: list[Tensor] = []
        plain = module.outputs

        def outputs(ids: Tensor, names: Any) -> dict[str, Any]:
            given.append(ids.clone())
            return plain(ids, names)

        module.outputs = outputs  # type: ignore[method-assign]
        return given

    own, theirs = watch(student), watch(teacher)

    class Spy(Triple):
        def __call__(self, logits: Tensor, taught: Tensor | None, batch: Batch) -> Tensor:
            assert taught is not None and batch.labels is not None and batch.mask is not None
            assert logits.shape == taught.shape == (batch.size, SIZE)
            assert batch.labels.shape == (batch.size,)
            assert batch.student["layers"][-1].shape == (*batch.mask.shape, 16)
            assert not taught.requires_grad and not teacher.training
            with torch.no_grad():
                expected = teacher(theirs[-1])[theirs[-1] >= SIZE]
            torch.testing.assert_close(taught, expected)
            seen.append((logits, taught))
            return super().__call__(logits, taught, batch)

    train(student, tokens, RAW, Spy(), BRIEF, context, None, (teacher, tokens))
    assert len(own) == len(theirs) and all(map(torch.equal, own, theirs))
    assert len({tuple(ids.flatten().tolist()) for ids in own[1:]}) == len(own) - 1  # anew each time
    assert len(seen) >= 10


def test_it_learns_and_distils(context: Told) -> None:
    tokens = tokens_of()
    settings = Training(epochs=60, batch_size=16, learning_rate=1e-2)
    teacher, alone, taught = small_bert(0), small_bert(1, layers=1), small_bert(1, layers=1)
    before = score(teacher, tokens, RAW, context)
    assert before == pytest.approx(-np.log(SIZE), abs=0.5)
    train(teacher, tokens, RAW, CrossEntropy(), settings, context, (tokens, RAW))
    assert score(teacher, tokens, RAW, context) > before + 1.5
    brief = Training(epochs=10, batch_size=16, learning_rate=1e-2, epsilon=1e-6)
    for module, loss in ((alone, CrossEntropy()), (taught, Triple())):
        train(module, tokens, RAW, loss, brief, context, None, (teacher, tokens))
    context.precision = "fp32"
    assert score(taught, tokens, RAW, context) > before + 0.5


def test_parts_are_told_each_fiftieth_of_the_steps(context: Told) -> None:
    tokens = tokens_of()
    settings = Training(epochs=10, batch_size=4, learning_rate=1e-12)  # the models stay as they are
    teacher, student = small_bert(0, dropout=0.0), small_bert(1, dropout=0.0)
    loss = Triple(kl=1.0, mlm=3.0, cosine=0.5, mse=0.25)
    train(student, tokens, RAW, loss, settings, context, (tokens, RAW), (teacher, tokens))
    steps = 120
    inner = [(done, found) for done, found in context.measured if "epoch" not in found]
    assert len(inner) >= 45 and all(done % (steps // 50) == 0 for done, _ in inner)
    for done, found in context.measured:
        assert found["examples"] == pytest.approx(10 * len(RAW) * done / steps, abs=4)
        if "loss" in found:
            parts = [found[f"loss_{name}"] for name in ("kl", "mlm", "cosine", "mse")]
            assert found["loss"] == pytest.approx(np.dot(parts, [1.0, 3.0, 0.5, 0.25]), rel=1e-5)
    ends = [found for _, found in context.measured if "epoch" in found]
    assert [found["epoch"] for found in ends] == list(range(1, 11))
    nll = -score(student, tokens, RAW, context)
    assert ends[-1]["validation_perplexity"] == pytest.approx(np.exp(nll))


def test_texts_without_a_token_to_hide(context: Told) -> None:
    some = Examples(["", "fog", "", "", "", "", "", "", "the sun"], ())
    module = small_bert(0)
    train(module, tokens_of(some), some, CrossEntropy(), Training(epochs=3, batch_size=2), context)
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())
    none = Examples(["", "fog"], ())
    with pytest.raises(HarnessError, match="no text has a token that can be hidden"):
        train(module, tokens_of(none), none, CrossEntropy(), BRIEF, context)


def test_the_fixed_tokens_of_2000_texts_are_scored(context: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_lm, "_WATCHED", 3)
    tokens, module = tokens_of(), small_bert(0)
    rows = np.array([0, 23, 47])
    expected = hidden_tokens(module, tokens, context, rows).log_likelihood.mean()
    assert score(module, tokens, RAW, context) == pytest.approx(expected)
    assert module.training


class Narrow(TorchStudent):
    """One that would narrow any module's embeddings."""

    name = "narrow"

    def narrowed(self, module: Any, *tables: Any) -> Any:
        raise AssertionError("a language model needs every embedding")


def test_a_student_asks_its_teacher_in_step_and_keeps_all_embeddings(context: Told) -> None:
    student, validation = model(context, 1), Examples(TEXTS, ())
    context.teacher = model(context)
    learner = Narrow(epochs=1, batch_size=16)
    learner.learn(student, RAW, validation, Triple())
    assert "loss_kl" in context.measured[-1][1] or "loss_kl" in context.measured[-2][1]
    other = model(context)
    other.featuriser = featuriser(longest=4)
    context.teacher = other
    with pytest.raises(HarnessError, match="its tokens differ from its teacher's"):
        learner.learn(student, RAW, validation, Triple())


def test_without_a_teacher_inner_states_are_nobodys(context: Told) -> None:
    with pytest.raises(HarnessError, match="needs hidden, but there is no teacher"):
        train(small_bert(0), tokens_of(), RAW, HiddenCosine(), BRIEF, context)


def test_hidden_states_of_hidden_tokens_are_compared_row_by_row(context: Told) -> None:
    tokens, loss = tokens_of(), Weighted((HiddenCosine(), CrossEntropy()))
    train(small_bert(1, width=8), tokens, RAW, loss, BRIEF, context, None, (small_bert(0), tokens))
    assert {"loss_hidden-cosine", "loss_cross-entropy"} <= set(context.measured[0][1])


# -- models --------------------------------------------------------------------------------------------------


def test_logits_of_each_mask_in_order(context: Told) -> None:
    texts = ["no", "the [MASK] is [MASK]", "[MASK]", "a " * 20 + "[MASK]", "so much [MASK] today"]
    found = (lm := model(context)).predict(texts)
    assert found.shape == (5, SIZE) and found.dtype == np.float32
    ids = torch.tensor([[2, 5, 4, 10, 4, 3]])
    with torch.no_grad():
        expected = lm.module(ids)[0, [2, 4]].numpy()
    np.testing.assert_allclose(found[:2], expected, atol=1e-5)
    assert not found[3].any()  # cut off
    assert found[4].any() and found[2].any()
    assert lm.predict(["no", ""]).shape == (0, SIZE) and lm.predict([]).shape == (0, SIZE)


def test_what_is_made_of_hidden_tokens(context: Told) -> None:
    lm = model(context)
    found = lm.masked(TEXTS)
    assert found.rows.tolist() == [0, 1, 2, 3, 5]
    tokens = tokens_of(Examples(TEXTS, ()))
    for row, gold, predicted, likelihood in zip(*found, strict=True):
        ids = tokens.fixed(np.array([row])).ids
        with torch.no_grad():
            logits = lm.module(torch.from_numpy(ids))[0][torch.from_numpy(ids[0] >= SIZE)][0]
        assert gold == tokens.batch(np.array([row]))[ids >= SIZE][0]
        assert predicted == int(logits.argmax())
        assert likelihood == pytest.approx(float(logits.log_softmax(0)[gold]), abs=1e-5)
    again = lm.masked(TEXTS)
    assert all(map(np.array_equal, found, again))
    assert len(lm.masked([""]).rows) == 0


def test_vectors_of_words(context: Told) -> None:
    lm = model(context)
    table = lm.module.encoder.get_input_embeddings().weight.detach().numpy()  # type: ignore[operator,union-attr]
    words = ["sun", "unknown", "fog", "the sun"]
    found = lm.vectors(words, "embeddings")
    np.testing.assert_allclose(found[0], table[6], atol=1e-6)
    np.testing.assert_allclose(found[1], (table[24] + table[25]) / 2, atol=1e-6)  # of its two pieces
    np.testing.assert_allclose(found[2], table[[2, 1, 3]].mean(0), atol=1e-6)  # there is nothing else
    hidden = lm.vectors(words, "hidden")
    with torch.no_grad():
        states = lm.module.outputs(torch.tensor([[2, 24, 25, 3]]), {"layers"})["layers"][-1]  # type: ignore[operator]
    np.testing.assert_allclose(hidden[1], states[0, 1:3].mean(0).numpy(), atol=1e-5)
    assert lm.vectors([], "hidden").shape[0] == 0


def test_it_has_no_hidden_state_of_a_text(context: Told) -> None:
    with pytest.raises(Unsupported, match="has no hidden states"):
        model(context).hidden(["sun"])


def test_saved_and_loaded(context: Told, tmp_path: Path) -> None:
    lm = model(context)
    (folder := tmp_path / "model").mkdir()
    lm.save(folder)
    loaded = LanguageModel.load(folder, context, lambda size, classes: small_bert(9))
    assert isinstance(loaded, LanguageModel)
    assert np.array_equal(loaded.predict(["the [MASK]"]), lm.predict(["the [MASK]"]))
    assert all(map(np.array_equal, loaded.masked(TEXTS), lm.masked(TEXTS)))
    weights = {id(p): p.numel() for p in lm.module.parameters()}
    assert lm.parameters().total == sum(weights.values())  # the tied table counts once
