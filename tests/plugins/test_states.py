"""Losses on inner states against their formulas in NumPy, text by text, unpadded; and weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import harness
from harness import catalog
from harness_losses.attention import Attention, Relations
from harness_losses.labels import CrossEntropy, HardCrossEntropy
from harness_losses.layers import pairs
from harness_losses.regression import MeanSquaredError, MeanSquaredErrorOfProbabilities, SquaredError
from harness_losses.soft import Decoupled, JensenShannon, SoftCrossEntropy, SoftTargets
from harness_losses.states import HiddenCosine, HiddenMse
from harness_losses.weighted import Weighted

Array = NDArray[np.float64]
LENGTHS = [5, 1, 3]
OURS, THEIRS = 2, 4  # layers
HEADS, WIDTH = 2, 8

ON_LAYERS: list[harness.Loss] = [
    HiddenCosine(of="layers"),
    HiddenCosine(of="layers", map="final"),
    HiddenCosine(of="layers", map="last", embeddings=False),
    HiddenCosine(of="layers", map=(3, -1)),
    HiddenMse(of="layers"),
    HiddenMse(of="layers", map=(1, 4), tokens="first", normalise=True, embeddings=False),
    Attention(),
    Attention(map="last"),
    Attention(form="kl"),
    Relations(heads=2),
    Relations(heads=4),
]
ALL: list[harness.Loss] = [HiddenCosine(), HiddenMse(), HiddenMse(normalise=True), *ON_LAYERS]
names = pytest.mark.parametrize("loss", ALL, ids=repr)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def states(layers: int, heads: int, seed: int, padding: int = 0) -> dict[str, Any]:
    """A model's inner states of texts of LENGTHS, in float64; noise stands in the padding."""
    generator = np.random.default_rng(seed)
    draw = generator.standard_normal
    length = max(LENGTHS)
    blocks = [draw((3, length, WIDTH)) for _ in range(layers + 4)]
    scores = [3 * draw((3, heads, length, length)) for _ in range(layers)]
    noise = np.random.default_rng(seed + 100 + padding)

    def padded(block: Array) -> Tensor:
        wide = noise.standard_normal((3, length + padding, WIDTH))
        for row, count in enumerate(LENGTHS):
            wide[row, :count] = block[row, :count]
        return torch.tensor(wide)

    def attention(score: Array) -> Tensor:
        wide = np.abs(noise.standard_normal((3, heads, length + padding, length + padding)))
        for row, count in enumerate(LENGTHS):
            wide[row, :, :count] = 0
            wide[row, :, :count, :count] = softmax(score[row, :, :count, :count])
        return torch.tensor(wide)

    return {
        "hidden": torch.tensor(draw((3, WIDTH))),
        "layers": tuple(map(padded, blocks[: layers + 1])),
        "attention": tuple(map(attention, scores)),
        "relations": tuple(map(padded, blocks[layers + 1 :])),
    }


def batch_of(padding: int = 0, heads: tuple[int, int] = (HEADS, HEADS), weights: Any = None) -> harness.Batch:
    mask = torch.arange(max(LENGTHS) + padding)[None] < torch.tensor(LENGTHS)[:, None]
    given = None if weights is None else torch.tensor(weights)
    ours, theirs = states(OURS, heads[0], 0, padding), states(THEIRS, heads[1], 1, padding)
    return harness.Batch(None, 3, ours, theirs, mask, given)


def value(loss: harness.Loss, batch: harness.Batch) -> float:
    out = loss(torch.zeros(3, 2), None, batch)
    assert out.shape == ()
    return float(out)


def cosine(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1))


def distances(loss: HiddenCosine | HiddenMse, a: Array, b: Array) -> Array:
    if isinstance(loss, HiddenCosine):
        return 1 - cosine(a, b)
    if loss.normalise:
        a = a / np.linalg.norm(a, axis=-1, keepdims=True)
        b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.asarray(((a - b) ** 2).mean(-1))


# For 2 of the student's layers and 4 of the teacher's, written out by hand.
PAIRS: dict[Any, list[tuple[int, int]]] = {
    "uniform": [(1, 2), (2, 4)],
    "last": [(1, 3), (2, 4)],
    "final": [(2, 4)],
    (3, -1): [(1, 3)],
    (1, 4): [(1, 1), (2, 4)],
}


def reference(loss: harness.Loss, ours: dict[str, Any], theirs: dict[str, Any], row: int) -> float:
    """The value of one text."""
    n = LENGTHS[row]

    def of(name: str, own: int, other: int) -> tuple[Array, Array]:
        return ours[name][own][row, :n].numpy(), theirs[name][other][row, :n].numpy()

    match loss:
        case HiddenCosine(of="hidden") | HiddenMse(of="hidden"):
            return float(distances(loss, ours["hidden"][row].numpy(), theirs["hidden"][row].numpy()))
        case HiddenCosine() | HiddenMse():
            compared = list(PAIRS[loss.map])
            if loss.embeddings and loss.map != "final":
                compared.append((0, 0))
            last = 1 if loss.tokens == "first" else n
            found = [distances(loss, *(each[:last] for each in of("layers", m, t))) for m, t in compared]
            return float(np.mean([each.mean() for each in found]))
        case Attention():
            total = []
            for m, t in PAIRS["final" if loss.form == "kl" else loss.map]:
                q = ours["attention"][m - 1][row, :, :n, :n].numpy()
                p = theirs["attention"][t - 1][row, :, :n, :n].numpy()
                if len(p) != len(q):
                    p, q = p.mean(0, keepdims=True), q.mean(0, keepdims=True)
                if loss.form == "kl":
                    total.append((p * np.log(p / q)).sum(-1).mean())
                else:
                    total.append(((p - q) ** 2).mean())
            return float(np.mean(total))
        case Relations(heads=heads):
            sums = 0.0
            for which in range(3):
                a, b = of("relations", which, which)
                for head in range(heads):
                    part = WIDTH // heads
                    x, y = (each[:, head * part : (head + 1) * part] for each in (a, b))
                    q, p = (softmax(each @ each.T / np.sqrt(part)) for each in (x, y))
                    sums += (p * np.log(p / q)).sum(-1).mean() / heads
            return sums
    raise AssertionError(loss)


@names
def test_value_is_the_formulas(loss: harness.Loss) -> None:
    batch = batch_of()
    ours, theirs = dict(batch.student), dict(batch.teacher)
    expected = [reference(loss, ours, theirs, row) for row in range(3)]
    assert value(loss, batch) == pytest.approx(np.mean(expected), rel=1e-9)
    weighted = value(loss, batch_of(weights=[0.5, 2.0, 0.25]))
    assert weighted == pytest.approx(np.dot(expected, [0.5, 2.0, 0.25]) / 3, rel=1e-9)


@pytest.mark.parametrize("loss", ON_LAYERS, ids=repr)
def test_padding_counts_for_nothing(loss: harness.Loss) -> None:
    assert value(loss, batch_of(padding=4)) == pytest.approx(value(loss, batch_of()), rel=1e-12)


@names
def test_the_models_own_states_cost_nothing(loss: harness.Loss) -> None:
    batch = batch_of()
    same = harness.Batch(None, 3, batch.teacher, batch.teacher, batch.mask)
    if getattr(loss, "map", "uniform") in ("uniform", "last", "final"):
        assert value(loss, same) == pytest.approx(0, abs=1e-12)


@names
def test_gradient_reaches_the_student_and_no_padding(loss: harness.Loss) -> None:
    batch = batch_of(padding=2)
    (name,) = loss.needs
    given = batch.student[name]
    given = [given] if isinstance(given, Tensor) else list(given)
    leaves = [each.detach().clone().requires_grad_() for each in given]
    own = {name: leaves[0] if name == "hidden" else tuple(leaves)}
    mask = batch.mask
    assert mask is not None
    out = loss(torch.zeros(3, 2), None, harness.Batch(None, 3, own, batch.teacher, mask))
    gradients = torch.autograd.grad(out, leaves, allow_unused=True)
    moved = [each for each in gradients if each is not None]
    assert moved and all(each.isfinite().all() for each in moved) and any(each.any() for each in moved)
    for each in moved:
        if name in ("layers", "relations"):
            assert not each[~mask].any()
        if name == "attention":
            assert not each.transpose(1, 2)[~mask].any()


@pytest.mark.parametrize("loss", [Attention(), Attention(form="kl")], ids=repr)
def test_heads_are_averaged_where_their_numbers_differ(loss: Attention) -> None:
    batch = batch_of(heads=(2, 3))
    ours, theirs = dict(batch.student), dict(batch.teacher)
    expected = np.mean([reference(loss, ours, theirs, row) for row in range(3)])
    assert value(loss, batch) == pytest.approx(expected, rel=1e-9)


def test_attention_of_zero_has_a_finite_divergence() -> None:
    p = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    q = torch.tensor([[[[0.5, 0.5], [1.0, 0.0]]]], requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    batch = harness.Batch(None, 1, {"attention": (q,)}, {"attention": (p,)}, mask)
    out = Attention(form="kl")(torch.zeros(1, 2), None, batch)
    (gradient,) = torch.autograd.grad(out, q)
    assert out.isfinite() and gradient.isfinite().all()


def test_normalised_squared_error_is_the_cosine_by_another_name() -> None:
    batch = batch_of()
    cosine_loss = value(HiddenCosine(), batch)
    assert value(HiddenMse(normalise=True), batch) == pytest.approx(2 * cosine_loss / WIDTH, rel=1e-9)


@pytest.mark.parametrize(
    ("student", "teacher", "layers", "expected"),
    [
        (3, 12, "uniform", [(1, 4), (2, 8), (3, 12)]),
        (4, 6, "uniform", [(1, 2), (2, 3), (3, 5), (4, 6)]),
        (4, 2, "uniform", [(1, 1), (2, 1), (3, 2), (4, 2)]),
        (3, 12, "last", [(1, 10), (2, 11), (3, 12)]),
        (6, 12, "final", [(6, 12)]),
        (3, 12, (2, -1, 7), [(1, 2), (3, 7)]),
    ],
)
def test_layers_are_paired(student: int, teacher: int, layers: Any, expected: Any) -> None:
    assert list(pairs(student, teacher, layers)) == expected


@pytest.mark.parametrize(
    ("student", "teacher", "layers", "message"),
    [
        (4, 2, "last", "as many layers as the student, 4, got 2"),
        (3, 6, (2, 4), "has 2 entries, but the student has 3 layers"),
        (2, 6, (2, 7), "names layer 7, but the teacher has 6 layers"),
    ],
)
def test_maps_that_do_not_fit_are_told(student: int, teacher: int, layers: Any, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        pairs(student, teacher, layers)


def test_relation_heads_divide_the_widths() -> None:
    with pytest.raises(harness.HarnessError, match="expected a width that is divisible by 3 heads, got 8"):
        value(Relations(heads=3), batch_of())


@pytest.mark.parametrize(
    "table",
    [
        {"use": "hidden-mse", "of": "layers", "map": [0, 1]},
        {"use": "hidden-mse", "of": "layers", "map": [-1, -1]},
        {"use": "hidden-cosine", "of": "layers", "map": []},
        {"use": "hidden-cosine", "map": "last"},
        {"use": "hidden-cosine", "tokens": "first"},
        {"use": "attention", "form": "kl", "map": "last"},
        {"use": "attention", "map": "first"},
        {"use": "relations", "heads": 0},
    ],
)
def test_parameters_that_mean_nothing_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(harness.HarnessError):
        catalog.load().build("loss", table)


# -- weights of rows, of the losses on logits ---------------------------------------------------------------

ON_LOGITS: list[harness.Loss] = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.1),
    HardCrossEntropy(),
    SoftTargets(),
    SoftCrossEntropy(temperature=3.0),
    JensenShannon(),
    Decoupled(),
    MeanSquaredError(),
    MeanSquaredError(center=True),
    MeanSquaredErrorOfProbabilities(),
    Weighted((SoftTargets(), CrossEntropy()), (0.7, 0.3)),
]


@pytest.mark.parametrize("loss", ON_LOGITS, ids=repr)
def test_rows_count_by_their_weights(loss: harness.Loss) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 4, dtype=torch.float64).unbind()
    labels = torch.tensor([0, 1, 2, 3, 1, 0])
    weights = torch.tensor([1.0, 0.25, 2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    alone = [float(loss(student[[row]], teacher[[row]], harness.Batch(labels[[row]], 1))) for row in range(6)]
    found = loss(student, teacher, harness.Batch(labels, 6, weights=weights))
    assert float(found) == pytest.approx(np.dot(alone, weights.numpy()) / 6, rel=1e-9)
    ones = loss(student, teacher, harness.Batch(labels, 6, weights=torch.ones(6)))
    assert float(ones) == pytest.approx(float(loss(student, teacher, harness.Batch(labels, 6))), rel=1e-9)


def test_only_rows_with_a_label_are_counted() -> None:
    student = torch.randn(3, 2, dtype=torch.float64)
    labels, weights = torch.tensor([0, -1, 1]), torch.tensor([2.0, 5.0, 0.5], dtype=torch.float64)
    logs = -student.log_softmax(1)
    found = CrossEntropy()(student, None, harness.Batch(labels, 3, weights=weights))
    assert float(found) == pytest.approx(float(2 * logs[0, 0] + 0.5 * logs[2, 1]) / 2)
    scores = torch.tensor([1.0, float("nan"), 0.0], dtype=torch.float64)
    found = SquaredError()(student[:, :1], None, harness.Batch(scores, 3, weights=weights))
    expected = (2 * (student[0, 0] - 1) ** 2 + 0.5 * student[2, 0] ** 2) / 2
    assert float(found) == pytest.approx(float(expected))
