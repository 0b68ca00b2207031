"""Each loss against its formula in NumPy, in double precision and written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import harness
from harness import catalog
from harness.api import parameters_of
from harness_losses.labels import CrossEntropy, HardCrossEntropy
from harness_losses.regression import MeanSquaredError, MeanSquaredErrorOfProbabilities, SquaredError
from harness_losses.soft import Decoupled, JensenShannon, SoftCrossEntropy, SoftTargets
from harness_losses.tensors import log_probabilities
from harness_losses.weighted import Weighted

Array = NDArray[np.float64]

ALL: list[harness.Loss] = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.1),
    HardCrossEntropy(),
    SoftTargets(),
    SoftTargets(temperature=0.5),
    SoftCrossEntropy(temperature=3.0),
    JensenShannon(temperature=2.0),
    Decoupled(),
    MeanSquaredError(),
    MeanSquaredError(center=True),
    MeanSquaredErrorOfProbabilities(),
    Weighted((SoftTargets(), CrossEntropy()), (0.7, 0.3)),
]
names = pytest.mark.parametrize("loss", ALL, ids=repr)


def logits(
    rows: int, classes: int, scale: float = 3.0, seed: int = 0
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Student's and teacher's logits and gold labels, a third of which are missing."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    labels[::3] = -1
    return (
        scale * generator.standard_normal((rows, classes)),
        scale * generator.standard_normal((rows, classes)),
        labels,
    )


def value(
    loss: harness.Loss, student: Any, teacher: Any, labels: Any = None, dtype: torch.dtype = torch.float32
) -> float:
    batch = harness.Batch(None if labels is None else torch.as_tensor(labels), len(student))
    out = loss(torch.as_tensor(student, dtype=dtype), torch.as_tensor(teacher, dtype=dtype), batch)
    assert out.shape == ()
    assert out.dtype in (torch.float32, torch.float64)
    return float(out)


def softmax(x: Array, temperature: float = 1.0) -> Array:
    e: Array = np.exp((x - x.max(-1, keepdims=True)) / temperature)
    return np.asarray(e / e.sum(-1, keepdims=True))


def kl(p: Array, q: Array) -> Array:
    return np.asarray((p * np.log(p / q)).sum(-1))


def reference(loss: harness.Loss, s: Array, t: Array, labels: NDArray[np.int64]) -> float:
    rows = np.arange(len(s))
    match loss:
        case CrossEntropy():
            given = labels >= 0
            logs = np.log(softmax(s))[given]
            gold = logs[np.arange(len(logs)), labels[given]]
            smooth = loss.label_smoothing
            return float(-((1 - smooth) * gold + smooth * logs.mean(-1)).mean())
        case HardCrossEntropy():
            return float(-np.log(softmax(s)[rows, t.argmax(-1)]).mean())
        case SoftTargets(temperature=tau):
            return float(tau**2 * kl(softmax(t, tau), softmax(s, tau)).mean())
        case SoftCrossEntropy(temperature=tau):
            return float(-(tau**2) * (softmax(t, tau) * np.log(softmax(s, tau))).sum(-1).mean())
        case JensenShannon(temperature=tau):
            p, q = softmax(t, tau), softmax(s, tau)
            return float(tau**2 * (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)).mean() / 2)
        case Decoupled(alpha=alpha, beta=beta, temperature=tau):
            p, q = softmax(t, tau), softmax(s, tau)
            target = np.where(labels >= 0, labels, t.argmax(-1))
            total = 0.0
            for row, c in enumerate(target):
                pt, qt = p[row, c], q[row, c]
                po, qo = np.delete(p[row], c) / (1 - pt), np.delete(q[row], c) / (1 - qt)
                binary = pt * np.log(pt / qt) + (1 - pt) * np.log((1 - pt) / (1 - qt))
                total += alpha * binary + beta * (po * np.log(po / qo)).sum()
            return float(tau**2 * total / len(s))
        case MeanSquaredError(center=True):
            s, t = s - s.mean(-1, keepdims=True), t - t.mean(-1, keepdims=True)
            return float(((s - t) ** 2).mean())
        case MeanSquaredError():
            return float(((s - t) ** 2).mean())
        case MeanSquaredErrorOfProbabilities():
            return float(((softmax(s) - softmax(t)) ** 2).mean())
        case Weighted(of=of, weights=weights):
            return sum(w * reference(each, s, t, labels) for w, each in zip(weights, of, strict=True))
    raise AssertionError(loss)


@names
@pytest.mark.parametrize("classes", [2, 6, 1000])
def test_value_is_the_formulas(loss: harness.Loss, classes: int) -> None:
    s, t, labels = logits(12, classes)
    expected = reference(loss, s, t, labels)
    assert value(loss, s, t, labels) == pytest.approx(expected, rel=2e-5)
    assert value(loss, s, t, labels, torch.float64) == pytest.approx(expected, rel=1e-10)


@names
@pytest.mark.parametrize("classes", [2, 5])
def test_gradient_is_the_derivative(loss: harness.Loss, classes: int) -> None:
    s, t, labels = logits(7, classes)
    student = torch.tensor(s, requires_grad=True)
    batch = harness.Batch(torch.tensor(labels), 7)
    torch.autograd.gradcheck(lambda x: loss(x, torch.tensor(t), batch), (student,))


@names
def test_bf16_logits_are_computed_in_float32(loss: harness.Loss) -> None:
    s, t, labels = logits(9, 4)
    student = torch.tensor(s, dtype=torch.bfloat16, requires_grad=True)
    teacher = torch.tensor(t, dtype=torch.bfloat16)
    out = loss(student, teacher, harness.Batch(torch.tensor(labels), 9))
    assert out.dtype == torch.float32
    expected = reference(loss, student.detach().double().numpy(), teacher.double().numpy(), labels)
    assert float(out.detach()) == pytest.approx(expected, rel=1e-5)
    out.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.dtype == torch.bfloat16


@names
@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
def test_value_and_gradient_stay_finite(loss: harness.Loss, classes: int, scale: float) -> None:
    s, t, labels = logits(8, classes)
    # Rows in which both are sure of the same class, of different ones, or of nothing.
    s, t = scale * np.sign(s), scale * np.sign(t)
    s[0] = t[0] = 0
    s[0, 1] = t[0, 1] = s[1, 0] = t[1, 1] = scale
    student = torch.tensor(s, dtype=torch.float32, requires_grad=True)
    out = loss(student, torch.tensor(t, dtype=torch.float32), harness.Batch(torch.tensor(labels), 8))
    out.backward()  # type: ignore[no-untyped-call]
    assert out.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert float(out.detach()) >= -1e-4  # rounding of 0 over 1,000 classes, times the squared temperature


DIVERGENCES = [loss for loss in ALL if not loss.needs & {"labels"} and not isinstance(loss, HardCrossEntropy)]


@pytest.mark.parametrize("loss", DIVERGENCES, ids=repr)
def test_gradient_is_zero_at_the_teachers_logits(loss: harness.Loss) -> None:
    _, t, _ = logits(10, 6)
    student = torch.tensor(t, requires_grad=True)
    loss(student, torch.tensor(t), harness.Batch(None, 10)).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    "loss", [loss for loss in DIVERGENCES if not isinstance(loss, SoftCrossEntropy)], ids=repr
)
def test_equal_logits_cost_nothing(loss: harness.Loss) -> None:
    _, t, _ = logits(10, 6)
    assert value(loss, t, t) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("loss", [SoftTargets(), JensenShannon(), SoftCrossEntropy(), Decoupled()], ids=repr)
def test_shift_of_a_row_changes_nothing(loss: harness.Loss) -> None:
    s, t, _ = logits(5, 4)
    assert value(loss, s + 1000, t - 500, dtype=torch.float64) == pytest.approx(
        reference(loss, s, t, np.full(5, -1))
    )


@pytest.mark.parametrize("loss", [SoftTargets(), JensenShannon(), SoftCrossEntropy(), Decoupled()], ids=repr)
@pytest.mark.parametrize("classes", [2, 4])
def test_black_box_probabilities_of_zero(loss: harness.Loss, classes: int) -> None:
    s, _, _ = logits(2, classes)
    sure = np.full((2, classes), -np.inf)
    sure[:, 0] = 0
    almost = np.where(np.isinf(sure), -2000.0, sure)
    student = torch.tensor(s, requires_grad=True)
    out = loss(student, torch.tensor(sure), harness.Batch(None, 2))
    out.backward()  # type: ignore[no-untyped-call]
    assert float(out.detach()) == pytest.approx(value(loss, s, almost, dtype=torch.float64))
    assert student.grad is not None
    assert student.grad.isfinite().all()


# -- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_batch_without_labels_is_zero_that_backpropagates(smoothing: float) -> None:
    student = torch.randn(3, 4, requires_grad=True)
    out = CrossEntropy(smoothing)(student, None, harness.Batch(torch.full((3,), -1), 3))
    out.backward()  # type: ignore[no-untyped-call]
    assert float(out.detach()) == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_missing_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="gold labels"):
        CrossEntropy()(torch.randn(2, 3), None, harness.Batch(None, 2))
    with pytest.raises(ValueError, match="teacher's logits"):
        SoftTargets()(torch.randn(2, 3), None, harness.Batch(None, 2))


# -- relations between losses -------------------------------------------------------------------------------


def test_soft_cross_entropy_is_kl_and_the_teachers_entropy() -> None:
    s, t, _ = logits(6, 5)
    p = softmax(t, 2.0)
    entropy = 4 * -(p * np.log(p)).sum(-1).mean()
    got = value(SoftCrossEntropy(2.0), s, t, dtype=torch.float64)
    assert got == pytest.approx(value(SoftTargets(2.0), s, t, dtype=torch.float64) + entropy)


def test_kl_at_high_temperature_is_the_centred_squared_error() -> None:
    """Hinton et al. (2015), section 2.1: T² KL tends to half of it."""
    s, t, _ = logits(6, 5, scale=1.0)
    limit = value(MeanSquaredError(center=True), s, t, dtype=torch.float64) / 2
    assert value(SoftTargets(1e4), s, t, dtype=torch.float64) == pytest.approx(limit, rel=1e-3)


def test_decoupled_adds_up_to_kl() -> None:
    """Zhao et al. (2022), equation 6, for one row."""
    s, t, _ = logits(1, 5)
    label = np.array([2])
    rest = 1 - softmax(t, 4.0)[0, 2]
    got = value(Decoupled(alpha=1, beta=rest, temperature=4.0), s, t, label, torch.float64)
    assert got == pytest.approx(value(SoftTargets(4.0), s, t, dtype=torch.float64))


def test_decoupled_without_labels_takes_the_teachers_class() -> None:
    s, t, _ = logits(6, 5)
    assert value(Decoupled(), s, t) == value(Decoupled(), s, t, t.argmax(-1))
    assert value(Decoupled(), s, t) == value(Decoupled(), s, t, np.full(6, -1))


def test_jensen_shannon_is_symmetric_and_bounded() -> None:
    s, t, _ = logits(50, 3, scale=100.0)
    forth, back = value(JensenShannon(), s, t), value(JensenShannon(), t, s)
    assert forth == pytest.approx(back)
    assert forth <= np.log(2) + 1e-6


# -- sums ---------------------------------------------------------------------------------------------------


def test_squared_error_of_the_rows_with_a_score() -> None:
    student = torch.tensor([[1.0], [2.0], [5.0]], requires_grad=True)
    labels = torch.tensor([2.0, float("nan"), 2.0])
    out = SquaredError()(student, None, harness.Batch(labels, 3))
    assert out.item() == pytest.approx((1 + 9) / 2)
    out.backward()
    assert student.grad is not None and student.grad[:, 0].tolist() == [-1, 0, 3]
    nothing = SquaredError()(student, None, harness.Batch(torch.full((3,), torch.nan), 3))
    student.grad = None
    nothing.backward()
    assert nothing.item() == 0 and not student.grad.any()
    with pytest.raises(ValueError, match="needs gold labels"):
        SquaredError()(student, None, harness.Batch(None, 3))


def test_mse_of_one_column_is_the_distance_of_scores() -> None:
    assert value(MeanSquaredError(), [[1.0], [2.0]], [[2.0], [4.0]]) == pytest.approx(2.5)


def test_which_tasks_losses_are_for() -> None:
    kinds = {type(loss).name: loss.task_types for loss in ALL if loss != MeanSquaredError(center=True)}
    assert {name for name, types in kinds.items() if "regression" in types} == {"mse"}
    rows = {"classification", "tagging", "language-modelling"}
    assert all(types >= rows for types in kinds.values())
    assert SquaredError().task_types == SquaredError().baseline_for == {"regression"}
    assert MeanSquaredError(center=True).task_types == CrossEntropy().baseline_for == rows
    assert Weighted((MeanSquaredError(), SquaredError())).task_types == {"regression"}
    assert Weighted((MeanSquaredError(), SoftTargets())).task_types == rows
    with pytest.raises(ValueError, match=r"cannot combine the losses 'kl', 'squared-error': no type of task"):
        Weighted((SoftTargets(), SquaredError())).check()


def test_weighted_is_the_average_without_weights_and_nests() -> None:
    s, t, labels = logits(6, 4)
    inner = Weighted((SoftTargets(), MeanSquaredError()))
    expected = (value(SoftTargets(), s, t) + value(MeanSquaredError(), s, t)) / 2
    assert value(inner, s, t) == pytest.approx(expected)
    outer = Weighted((inner, CrossEntropy()), (2.0, 0.5))
    assert value(outer, s, t, labels) == pytest.approx(
        2 * expected + 0.5 * value(CrossEntropy(), s, t, labels)
    )
    assert outer.needs == {"logits", "labels"}
    assert inner.needs == {"logits"}


def test_what_a_sum_is_made_of_is_told() -> None:
    s, t, labels = logits(6, 4)
    both = Weighted(
        (SoftTargets(), SoftTargets(1.0), MeanSquaredError(), CrossEntropy()), (2.0, 1.0, 0.0, 0.5)
    )
    batch = harness.Batch(torch.as_tensor(labels), 6)
    both(torch.as_tensor(s), torch.as_tensor(t), batch)
    expected = {
        "kl": value(SoftTargets(), s, t),
        "kl-2": value(SoftTargets(1.0), s, t),
        "cross-entropy": value(CrossEntropy(), s, t, labels),
    }
    assert {name: float(part) for name, part in batch.parts.items()} == pytest.approx(expected)


def test_member_of_weight_zero_is_not_asked() -> None:
    s, t, _ = logits(6, 4)
    t[0, 0] = -np.inf  # the squared error overflows
    assert np.isfinite(value(Weighted((SoftTargets(), MeanSquaredError()), (1.0, 0.0)), s, t))


@pytest.mark.parametrize(
    ("of", "weights", "message"),
    [
        ((), (), "at least one"),
        ((SoftTargets(),), (1.0, 2.0), "1 losses but 2 weights"),
        ((SoftTargets(), CrossEntropy()), (1.0, -1.0), "at least 0"),
        ((SoftTargets(), CrossEntropy()), (1.0, float("nan")), "finite"),
        ((SoftTargets(), CrossEntropy()), (0.0, 0.0), "all weights of weighted are 0"),
    ],
)
def test_weighted_checks(of: Any, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Weighted(of, weights).check()


# -- as suites see them -------------------------------------------------------------------------------------


@names
def test_a_suite_can_write_it(loss: harness.Loss) -> None:
    loss.check()
    found = catalog.load()
    assert found.build("loss", {"use": loss.name, **parameters_of(loss)}) == loss
    assert found.entry_of(loss).package == "distil-harness"


@pytest.mark.parametrize(
    "table",
    [
        {"use": "kl", "temperature": 0},
        {"use": "kl", "temperature": float("inf")},
        {"use": "cross-entropy", "label_smoothing": 1.0},
        {"use": "weighted", "of": []},
        {"use": "weighted", "of": [{"use": "kl"}], "weights": [1, 2]},
    ],
)
def test_parameters_out_of_range_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(harness.HarnessError):
        catalog.load().build("loss", table)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_gradient_of_kl_by_hand_is_that_of_autograd(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(7, 4, dtype=dtype, requires_grad=True), 3 * torch.randn(7, 4)
    teacher[0, 1] = -torch.inf
    weights = torch.rand(7)
    batch = harness.Batch(None, 7, weights=weights)
    (found,) = torch.autograd.grad(SoftTargets(2.0)(student, teacher.double(), batch), student)
    wide = student.detach().double().requires_grad_()
    p, q = log_probabilities(teacher.double(), 2.0), (wide / 2).log_softmax(-1)
    plain = ((p.exp() * (p - q)).sum(-1) * weights).mean() * 4
    (expected,) = torch.autograd.grad(plain, wide)
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float64 else 0.02
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance / 10)
