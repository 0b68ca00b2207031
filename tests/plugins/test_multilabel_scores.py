"""Several labels for each text: scores against scikit-learn, thresholds against a search, losses by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics
from torch import Tensor
from torch.nn import functional

from harness.api import Batch, Examples, HarnessError
from harness_multilabel.losses import BinaryCrossEntropy, BinarySoftTargets
from harness_multilabel.outputs import sigmoid
from harness_multilabel.scores import ON_RESAMPLES, Decisions, average_precision, multilabel
from harness_multilabel.task_type import MultiLabel
from harness_multilabel.thresholds import GRID, per_label, shared

CLASSES = ("calm", "rain", "sun", "wind")
AVERAGES = ("micro", "macro", "samples")


def drawn(seed: int, texts: int = 60) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_]]:
    """Gold labels, scores with ties and decisions: some texts have no label, and one label has no text."""
    draw = np.random.default_rng(seed)
    gold = draw.random((texts, 4)) < (0.5, 0.2, 0.3, 0.0)
    gold[:3] = False
    scores = np.round(np.clip(0.4 * gold + draw.random(gold.shape) * 0.6, 0, 1), 1)
    return gold, scores, scores >= 0.5


def by_sklearn(gold: Any, scores: Any, decided: Any, weights: Any = None) -> dict[str, float]:
    """The same metrics. Scikit-learn has one value for 0/0; ours is 0, but 1 for texts without any label."""
    given = {"sample_weight": weights}
    zero = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    found = {
        f"{name}_{average}": function(gold, decided, average=average, zero_division=0, **given)
        for name, function in zero.items()
        for average in ("micro", "macro")
    }
    empty = ~(gold.any(axis=1) | decided.any(axis=1))
    shares = np.ones(len(gold)) if weights is None else weights
    for name, function in zero.items():
        scored = function(gold, decided, average="samples", zero_division=0, **given)
        found[f"{name}_samples"] = scored + shares[empty].sum() / shares.sum()
    has = gold.any(axis=0)
    found["map"] = metrics.average_precision_score(gold[:, has], scores[:, has], average="macro", **given)
    found["subset_accuracy"] = metrics.accuracy_score(gold, decided, **given)
    found["hamming_loss"] = metrics.hamming_loss(gold, decided, **given)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    gold, scores, decided = drawn(seed)
    assert not gold[:, 3].any() and (~gold.any(axis=1) & ~decided.any(axis=1)).any()
    found = multilabel(gold.astype(np.float32), scores, decided, CLASSES)
    expected = by_sklearn(gold, scores, decided)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["labels_per_text"] == pytest.approx(decided.sum() / len(gold))
    each = metrics.precision_recall_fscore_support(gold, decided, zero_division=0)
    for number, name in enumerate(CLASSES):
        values = [part[number] for part in each]
        assert list(found["per_class"][name].values()) == pytest.approx(values)


def test_texts_without_gold_labels_do_not_count() -> None:
    gold, scores, decided = drawn(5)
    partly = gold.astype(np.float32)
    partly[::3] = np.nan
    known = np.isfinite(partly).all(axis=1)
    found = multilabel(partly, scores, decided, CLASSES)
    assert found == multilabel(gold[known].astype(np.float32), scores[known], decided[known], CLASSES)
    scores[0] = np.inf  # a text without gold labels
    assert multilabel(partly, scores, decided, CLASSES) == found
    with pytest.raises(HarnessError, match="cannot score: no text has gold labels"):
        multilabel(np.full_like(partly, np.nan), scores, decided, CLASSES)
    scores[1] = np.nan
    with pytest.raises(HarnessError, match="the model's outputs are NaN or infinite"):
        multilabel(partly, scores, decided, CLASSES)


def test_average_precision_counts_equal_scores_together() -> None:
    right = np.array([True, False, True, False, False, True])
    for scores in ([0.5] * 6, [0.9, 0.9, 0.1, 0.1, 0.1, 0.1], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]):
        ours = average_precision(right, np.array(scores))
        assert ours == pytest.approx(metrics.average_precision_score(right, scores))


@pytest.mark.parametrize("seed", range(3))
def test_resamples_are_texts_with_weights(seed: int) -> None:
    """All ones give the plain metrics, and any weights those of scikit-learn."""
    gold, scores, decided = drawn(seed)
    other = drawn(seed + 100)[2]
    draw = np.random.default_rng(seed)
    weights = np.stack([np.ones(60), draw.integers(0, 4, 60)], axis=1).astype(np.float32)
    given = Decisions(np.stack([decided, other]), gold)
    assert set(ON_RESAMPLES) == {name for name in by_sklearn(gold, scores, decided) if name != "map"}
    for name, function in ON_RESAMPLES.items():
        found = function(given, weights)
        assert found.shape == (2, 2)
        for model, guesses in enumerate((decided, other)):
            plain = multilabel(gold.astype(np.float32), scores, guesses, CLASSES)[name]
            weighted = by_sklearn(gold, scores, guesses, weights[:, 1])[name]
            assert found[model] == pytest.approx([plain, weighted], rel=1e-5), name


def test_predictions_keep_what_the_resampled_metrics_need() -> None:
    gold, scores, decided = drawn(7)
    partly = gold.astype(np.float32)
    partly[10:20] = np.nan
    kind = MultiLabel()
    examples = Examples([f"text {n}" for n in range(60)], CLASSES, partly, task_type=kind)
    answers = {"logits": np.zeros((60, 4), np.float32), "decided": decided.astype(np.uint8)}
    one = kind.prediction(answers, examples)
    assert one is not None and kind.prediction(answers, Examples(["a"], CLASSES, task_type=kind)) is None
    stacked, count = kind.stack([one, one])
    assert count == 50
    known = np.isfinite(partly).all(axis=1)
    found = kind.on_resamples(one)["f1_macro"](stacked, np.ones((count, 1), np.float32))
    assert found[:, 0] == pytest.approx([multilabel(partly, scores, decided, CLASSES)["f1_macro"]] * 2)
    hits = kind.hits("subset_accuracy", stacked)
    assert hits is not None and hits[0].tolist() == (gold == decided).all(axis=1)[known].tolist()
    assert kind.hits("f1_macro", stacked) is None
    assert kind.agreement(answers, {**answers, "decided": answers["decided"][::-1]}) == pytest.approx(
        np.mean([(a == b).all() for a, b in zip(decided, decided[::-1], strict=True)])
    )


# -- thresholds ----------------------------------------------------------------------------------------------


def f1_at(gold: NDArray[Any], scores: NDArray[Any], cut: Any) -> float:
    found = metrics.f1_score(gold, scores >= cut, average="macro", zero_division=0)
    return float(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_shared_threshold_is_the_best_of_the_grid(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold = draw.random((40, 3)) < (0.5, 0.2, 0.1)
    scores = sigmoid(draw.normal(size=gold.shape) + 2 * gold)
    searched = [f1_at(gold, scores, cut) for cut in GRID]
    found = shared(scores, gold)
    assert found == GRID[int(np.argmax(searched))]
    assert f1_at(gold, scores, found) == max(searched) > min(searched)


def test_thresholds_for_each_label_are_reproducible_and_differ() -> None:
    gold, scores, _ = drawn(1, 200)
    scores = scores * (0.9, 0.5, 0.7, 0.8) + 0.01
    found = per_label(scores, gold)
    assert found.tolist() == per_label(scores, gold).tolist() != per_label(scores, gold, seed=1).tolist()
    assert len(set(found)) == 4 and found[3] == shared(scores, gold)  # no text has the last label
    assert f1_at(gold, scores, found) >= f1_at(gold, scores, shared(scores, gold))


def test_labels_that_scores_part_are_parted() -> None:
    draw = np.random.default_rng(0)
    gold = draw.random((50, 3)) < 0.3
    logits = np.where(gold, 1, -1) * draw.uniform(0.5, 2, gold.shape) + (-3, 0, 3)
    found = per_label(sigmoid(logits), gold)
    assert f1_at(gold, sigmoid(logits), found) == 1
    assert found[0] < found[1] < found[2]
    # The same for the scores of a model that gives a rare label next to no probability.
    kind = MultiLabel()
    low = (logits - 9).astype(np.float32)
    examples = Examples(["a"] * 50, CLASSES[:3], gold.astype(np.float32), task_type=kind)
    tuned = kind.tuned({"logits": low}, examples)
    assert min(tuned.chosen) < 1e-4
    assert (tuned.settle({"logits": low})["decided"] == gold).all()


def test_equal_scores_are_on_one_side() -> None:
    """Of ten equal scores four are right: the best threshold gives all ten the label, and no other text."""
    gold = np.array([[n < 4] for n in range(30)])
    scores = np.where(np.arange(30) < 10, 0.6, np.linspace(0.01, 0.1, 30))[:, None]
    (found,) = per_label(scores, gold)
    assert 0.1 < found < 0.6
    # Were the first four apart from the rest of the ten, a threshold of 0.6 would look perfect.
    (worse,) = per_label(scores[::-1], gold[::-1])
    assert worse == pytest.approx(found, abs=1e-6)


def test_three_rules() -> None:
    gold, scores, _ = drawn(2, 80)
    logits = np.log(np.clip(scores, 0.01, 0.99) / (1 - np.clip(scores, 0.01, 0.99))).astype(np.float32)
    partly = gold.astype(np.float32)
    partly[:10] = np.nan
    found = {}
    for rule in ("per-label", "shared", "fixed"):
        kind = MultiLabel(thresholds=rule, threshold=0.3)  # type: ignore[arg-type]
        examples = Examples(["a"] * 80, CLASSES, partly, task_type=kind)
        assert kind.settle({"logits": logits})["decided"].tolist() == (scores >= 0.3).tolist()  # before
        found[rule] = kind.tuned({"logits": logits}, examples).chosen
        unknown = Examples(["a"] * 80, CLASSES, np.full_like(partly, np.nan), task_type=kind)
        assert kind.tuned({"logits": logits}, unknown).chosen == (0.3,) * 4
    known = sigmoid(logits)[10:], gold[10:]
    assert found["fixed"] == (0.3,) * 4
    assert found["shared"] == pytest.approx((shared(*known),) * 4, rel=1e-5)
    assert found["per-label"] == pytest.approx(per_label(*known), rel=1e-5)
    assert len(set(found["per-label"])) == 4


# -- losses --------------------------------------------------------------------------------------------------


def batch(weights: Tensor | None = None) -> tuple[Tensor, Tensor, Batch]:
    """Logits of a student and of a teacher, and a batch whose second text has no gold labels."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (2 * torch.randn(5, 3, generator=generator) for _ in range(2))
    labels = torch.randint(0, 2, (5, 3), generator=generator).float()
    labels[1] = torch.nan
    return student.requires_grad_(), teacher, Batch(labels, 5, weights=weights)


WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 1.5, 0.0])
KNOWN = torch.tensor([0, 2, 3, 4])


def plain_bce(student: Tensor, labels: Tensor, **options: Any) -> Tensor:
    return functional.binary_cross_entropy_with_logits(student, labels, reduction="none", **options).mean(1)


def bernoulli_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """By torch's own distributions, mean over labels."""
    p, q = (torch.distributions.Bernoulli(logits=each) for each in (teacher, student))
    return torch.distributions.kl_divergence(p, q).mean(1)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_binary_cross_entropy(weights: Tensor | None) -> None:
    student, _, given = batch(weights)
    assert given.labels is not None
    labels = given.labels[KNOWN]
    shares = torch.ones(4) if weights is None else weights[KNOWN]

    def mean(rows: Tensor) -> float:
        return float((rows * shares).sum().detach() / 4)

    plain = BinaryCrossEntropy()(student, None, given)
    assert plain.item() == pytest.approx(mean(plain_bce(student[KNOWN], labels)))
    torch.testing.assert_close(MultiLabel().gold_loss(student, given), plain)
    weighted = BinaryCrossEntropy(positive_weight=3.0)(student, None, given)
    expected = plain_bce(student[KNOWN], labels, pos_weight=torch.tensor(3.0))
    assert weighted.item() == pytest.approx(mean(expected))
    smooth = BinaryCrossEntropy(label_smoothing=0.2)(student, None, given)
    assert smooth.item() == pytest.approx(mean(plain_bce(student[KNOWN], 0.8 * labels + 0.1)))
    plain.backward()
    assert student.grad is not None and not student.grad[1].any() and student.grad[0].all()


def test_a_batch_without_gold_labels_teaches_nothing() -> None:
    student, _, given = batch()
    assert given.labels is not None
    value = BinaryCrossEntropy()(student, None, Batch(torch.full_like(given.labels, torch.nan), 5))
    value.backward()
    assert value.item() == 0 and student.grad is not None and not student.grad.any()
    with pytest.raises(ValueError, match="needs gold labels, but the batch has none"):
        BinaryCrossEntropy()(student, None, Batch(None, 5))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_binary_kl(temperature: float, weights: Tensor | None) -> None:
    student, teacher, given = batch(weights)
    loss = BinarySoftTargets(temperature=temperature)
    assert loss.needs == {"logits"} and BinarySoftTargets(gold=0.5).needs == {"logits", "labels"}
    rows = bernoulli_kl(student / temperature, teacher / temperature)
    shares = torch.ones(5) if weights is None else weights
    expected = temperature**2 * (rows * shares).sum() / 5
    torch.testing.assert_close(loss(student, teacher, given), expected)
    mixed = BinarySoftTargets(temperature=temperature, gold=0.25)(student, teacher, given)
    own = BinaryCrossEntropy()(student, None, given)
    torch.testing.assert_close(mixed, 0.75 * expected + 0.25 * own)
    torch.testing.assert_close(loss(teacher, teacher, given), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_gradients_are_those_of_differences() -> None:
    student, teacher, given = batch(WEIGHTS)
    double = student.detach().double().requires_grad_()
    for loss in (BinarySoftTargets(temperature=2.0, gold=0.3), BinaryCrossEntropy(2.0, 0.1)):
        step = 1e-3
        value = loss(student, teacher, given)
        (gradient,) = torch.autograd.grad(value, student)
        for row, column in ((0, 0), (1, 2), (3, 1)):
            ends = []
            for sign in (1, -1):
                moved = double.detach().clone()
                moved[row, column] += sign * step
                ends.append(float(loss(moved, teacher.double(), given)))
            assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient[row, column]), abs=2e-4)


def test_extreme_logits_have_finite_losses() -> None:
    extreme = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    given = Batch(torch.tensor([[1.0, 0.0, 1.0]]), 1)
    for value in (
        BinarySoftTargets(gold=0.5)(extreme, -extreme.detach(), given),
        BinaryCrossEntropy()(extreme, None, given),
    ):
        (gradient,) = torch.autograd.grad(value, extreme)
        assert value.isfinite() and gradient.isfinite().all() and gradient.any()
