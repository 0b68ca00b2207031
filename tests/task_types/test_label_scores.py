"""Scores of classes, against scikit-learn's and by hand."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from harness.api import HarnessError
from harness.task_types.classification import Classification
from harness.task_types.label_scores import classification


def random_case(seed: int) -> tuple[Any, Any, list[str]]:
    """Labels and logits with, now and then, classes that never occur in gold, in predictions or in both."""
    rng = np.random.default_rng(seed)
    count, rows = int(rng.integers(1, 8)), int(rng.integers(1, 120))
    gold_classes = rng.choice(count, size=rng.integers(1, count + 1), replace=False)
    labels = rng.choice(gold_classes, size=rows)
    logits = rng.normal(size=(rows, count)).astype(np.float32) * rng.uniform(0.1, 4)
    logits[:, rng.random(count) < 0.3] -= 6  # hardly ever predicted
    return labels, logits, [f"class-{c}" for c in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_equals_scikit_learn(seed: int) -> None:
    from sklearn import metrics as sk

    labels, logits, classes = random_case(seed)
    predicted = logits.argmax(axis=1)
    ours = classification(labels, logits, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-12)
        for average in ("macro", "micro"):
            p, r, f, _ = sk.precision_recall_fscore_support(
                labels, predicted, average=average, zero_division=0
            )
            assert ours[f"precision_{average}"] == pytest.approx(p, abs=1e-12)
            assert ours[f"recall_{average}"] == pytest.approx(r, abs=1e-12)
            assert ours[f"f1_{average}"] == pytest.approx(f, abs=1e-12)
            # The very call that users compare with: the default set of labels, nothing else set.
            assert ours[f"f1_{average}"] == pytest.approx(
                sk.f1_score(labels, predicted, average=average), abs=1e-12
            )
        assert ours["matthews"] == pytest.approx(sk.matthews_corrcoef(labels, predicted), abs=1e-12)
        every = list(range(len(classes)))
        p, r, f, s = sk.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
        for c, name in enumerate(classes):
            got = ours["per_class"][name]
            assert [got["precision"], got["recall"], got["f1"]] == pytest.approx(
                [p[c], r[c], f[c]], abs=1e-12
            )
            assert got["support"] == s[c]
        assert ours["confusion"] == sk.confusion_matrix(labels, predicted, labels=every).tolist()
        if len(classes) > 1:
            e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
            probabilities = e / e.sum(axis=1, keepdims=True)
            assert ours["nll"] == pytest.approx(sk.log_loss(labels, probabilities, labels=every), abs=1e-9)


def test_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0]])
    with np.errstate(divide="ignore"):
        ours = classification(labels, np.log(probabilities), ["a", "b", "never"])
    assert ours["accuracy"] == 0.75
    assert ours["f1_macro"] == pytest.approx((2 / 3 + 0.8) / 2)  # "never" occurs nowhere: not averaged over
    assert ours["per_class"]["b"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": 0.8,
        "support": 2,
    }
    assert ours["per_class"]["never"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert ours["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert ours["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    # 0.9, 0.6, 0.8 and 0.7 fall into four bins: |1-0.9|, |0-0.6|, |1-0.8|, |1-0.7|, each a quarter
    assert ours["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)


@pytest.mark.parametrize("seed", range(20))
def test_calibration_error_equals_its_definition(seed: int) -> None:
    labels, logits, classes = random_case(seed)
    e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = e / e.sum(axis=1, keepdims=True)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert classification(labels, logits, classes)["ece"] == pytest.approx(expected, abs=1e-9)


def test_json_and_bounds() -> None:
    for seed in range(20):
        ours = classification(*random_case(seed))
        assert json.loads(json.dumps(ours, allow_nan=False)) == ours
        assert all(
            -(name == "matthews") <= value <= 1
            for name, value in ours.items()
            if isinstance(value, float) and name != "nll"
        )


def test_a_gold_class_of_probability_zero_stays_finite() -> None:
    ours = classification(np.array([1, 0]), np.array([[0.0, -np.inf], [0.0, -np.inf]]), ["a", "b"])
    assert math.isfinite(ours["nll"]) and ours["nll"] > 100
    assert ours["accuracy"] == 0.5


def test_rows_without_a_gold_label_are_left_out() -> None:
    labels, logits = np.array([0, -1, 1]), np.eye(3, 2)
    assert classification(labels, logits, ["a", "b"]) == classification(
        labels[[0, 2]], logits[[0, 2]], ["a", "b"]
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_distribution(bad: float) -> None:
    logits = np.zeros((3, 2))
    logits[1, 0] = bad
    with pytest.raises(HarnessError, match="NaN or infinite"):
        classification(np.array([0, 1, 0]), logits, ["a", "b"])
    with pytest.raises(HarnessError, match="NaN or infinite"):
        classification(np.array([0]), np.full((1, 2), -np.inf), ["a", "b"])


def test_nothing_to_score() -> None:
    for labels in (np.array([], dtype=np.int64), np.array([-1])):
        with pytest.raises(HarnessError, match="gold label"):
            classification(labels, np.zeros((len(labels), 2)), ["a", "b"])


def test_shapes_and_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        classification(np.array([0, 1]), np.zeros((2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="shape"):
        classification(np.array([0]), np.zeros((2, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="expected labels below 2, got 0 to 2"):
        classification(np.array([0, 2]), np.zeros((2, 2)), ["a", "b"])


def test_agreement() -> None:
    a = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [0.0, 0.1]])
    agreement = Classification().agreement
    assert agreement({"logits": a}, {"logits": a * 7}) == 1.0
    other = np.array([[1.0, 0.0], [1.0, 0.0], [3.0, 2.0], [0.0, 0.1]])
    assert agreement({"logits": a}, {"logits": other}) == 0.75
    with pytest.raises(ValueError, match="shapes"):
        agreement({"logits": a}, {"logits": a[:2]})
    with pytest.raises(ValueError, match="shapes"):
        agreement({"logits": a[:0]}, {"logits": a[:0]})


def test_f1_of_the_positive_class() -> None:
    labels, guessed = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 1])
    logits = np.eye(2)[guessed]
    found = classification(labels, logits, ["no", "yes"], "yes")
    assert found["f1"] == found["per_class"]["yes"]["f1"] == pytest.approx(2 / 3)
    assert classification(labels, logits, ["no", "yes"], "no")["f1"] == pytest.approx(0.5)
    assert "f1" not in classification(labels, logits, ["no", "yes"])
    with pytest.raises(
        HarnessError, match=r"positive class must be one of two classes, got 'maybe'; .* no, yes"
    ):
        classification(labels, logits, ["no", "yes"], "maybe")
    with pytest.raises(HarnessError, match="the positive class must be one of two classes, got 'a'"):
        classification(np.array([0]), np.zeros((1, 3)), ["a", "b", "c"], "a")


def test_importing_costs_no_scikit_learn() -> None:
    modules = ", ".join(f"harness.task_types.{name}_scores" for name in ("label", "number", "token"))
    code = f"import sys, {modules}; sys.exit('sklearn' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
