"""The training loop, on modules small enough to know what must come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from watching import score

from harness.api import SCORE, Batch, Examples, HarnessError, Loss
from harness.featurise.featuriser import Tokens, Words, WordTokens
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, FromLogits, tiny_examples
from harness.training import loop
from harness.training import loop as training
from harness.training.inference import predict
from harness.training.loop import train, training_batches
from harness.training.settings import Training

Labels = NDArray[np.int64]


pytestmark = pytest.mark.usefixtures("one_thread")


class Listening(CheckContext):
    """A context that remembers what it is told."""

    def __init__(self, scratch: Path, **options: Any) -> None:
        super().__init__(scratch, **options)
        self.done: list[tuple[int, int]] = []
        self.epochs: list[dict[str, float]] = []

    def progress(self, done: int, total: int, **scalars: float) -> None:
        super().progress(done, total, **scalars)
        self.done.append((done, total))
        if scalars:
            self.epochs.append(scalars)


@pytest.fixture
def context(tmp_path: Path) -> Listening:
    return Listening(tmp_path)


@dataclass(frozen=True)
class Calls(Loss):
    """A function as a loss."""

    name = "calls"
    function: Callable[[Tensor, Tensor | None, Batch], Tensor]
    asks: frozenset[str] = frozenset({"logits"})

    @property
    def needs(self) -> frozenset[str]:
        return self.asks

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        return self.function(student, teacher, batch)


class Bag(nn.Module):
    """Mean of embeddings, then a linear layer: one of each kind of parameter."""

    def __init__(self, size: int = 40, classes: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 6)
        self.norm = nn.LayerNorm(6)
        self.output = nn.Linear(6, classes)

    def forward(self, ids: Tensor) -> Tensor:
        known = (ids != 0).unsqueeze(-1).float()
        mean = (self.embedding(ids) * known).sum(1) / known.sum(1).clamp(min=1)
        return self.output(self.norm(mean))  # type: ignore[no-any-return]


def bag(seed: int = 0) -> Bag:
    torch.manual_seed(seed)
    return Bag()


def featurised() -> tuple[Tokens, Examples, tuple[Tokens, Examples]]:
    examples, validation = tiny_examples()
    words = Words.fit(examples.texts, 40)
    return words.tokens(examples.texts), examples, (words.tokens(validation.texts), validation)


TOKENS, EXAMPLES, VALIDATION = featurised()
BRIEF = Training(epochs=2, batch_size=8, learning_rate=1e-2)


@pytest.fixture(autouse=True)
def scored_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts here are few: a validation for each of their epochs, unless a test says otherwise."""
    monkeypatch.setattr(training, "_SCORED", 1)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "size"), [(1, 8), (8, 8), (1000, 32), (4001, 32), (100, 1)])
def test_an_epoch_has_each_row_once(rows: int, size: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, rows)
    batches = list(training_batches(lengths, size, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(rows))
    assert max(map(len, batches)) <= size and len(batches) == -(-rows // size)


def test_next_to_nothing_is_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.05, 6400)

    def padded(batches: Any) -> float:
        return sum(len(rows) * lengths[rows].max() for rows in batches) / float(lengths.sum())

    assert padded(np.random.default_rng(1).permutation(6400).reshape(-1, 32)) > 3
    assert padded(training_batches(lengths, 32, np.random.default_rng(1))) < 1.15


@pytest.mark.parametrize("size", [32, 50, 300])
def test_many_rows_are_shuffled_in_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(loop, "_SHUFFLED", 1000)
    monkeypatch.setattr(loop, "_BLOCK", 16)
    monkeypatch.setattr(loop, "_TOGETHER", 10)
    lengths = np.random.default_rng(0).integers(1, 60, 1001)
    batches = list(training_batches(lengths, size, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1001))
    assert max(map(len, batches)) == size and len(batches) == -(-1001 // size)
    if size < 100:  # early batches come from few blocks, which are from all over the set
        first = np.concatenate(batches[: 160 // size])
        assert len(np.unique(first // 16)) <= 10 and np.ptp(first) > 500
    again = list(training_batches(lengths, size, np.random.default_rng(1)))
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))
    other = training_batches(lengths, size, np.random.default_rng(2))
    assert not np.array_equal(np.concatenate(list(other)), np.concatenate(batches))


def test_epochs_differ_and_seeds_repeat() -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 500)

    def epochs() -> list[list[list[int]]]:
        generator = np.random.default_rng(1)
        return [[rows.tolist() for rows in training_batches(lengths, 32, generator)] for _ in range(2)]

    first, second = epochs()
    assert [first, second] == epochs()
    assert {frozenset(rows) for rows in first}.isdisjoint(frozenset(rows) for rows in second)
    longest = [max(lengths[rows]) for rows in first]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


# -- training -------------------------------------------------------------------------------------------


def test_it_learns(context: Listening) -> None:
    module = bag()
    settings = replace(BRIEF, epochs=30, learning_rate=5e-2)
    train(module, TOKENS, EXAMPLES, FromLabels(), settings, context, VALIDATION)
    assert score(module, *VALIDATION, context) == 1
    assert context.epochs[-1]["loss"] < 0.5 * context.epochs[0]["loss"]
    module = bag()
    train(module, TOKENS, EXAMPLES, FromLogits(), settings, context)
    assert np.abs(predict(module, TOKENS, context) - EXAMPLES.logits).mean() < 0.4
    assert not module.training


def test_the_same_seed_gives_the_same_bits(context: Listening) -> None:
    def trained(seed: int, precision: Any = "fp32", before: int = 0) -> dict[str, Tensor]:
        module = nn.Sequential(bag(), nn.Dropout(0.3))
        torch.manual_seed(before)  # what was drawn before does not matter
        context.seed, context.precision = seed, precision
        train(module, TOKENS, EXAMPLES, FromLogits(), BRIEF, context, VALIDATION)
        return weights_of(module)

    first = trained(1)
    assert same(first, trained(1, before=5))
    assert not same(first, trained(2))
    assert same(trained(1, "bf16"), trained(1, "bf16"))


def test_the_reported_loss_is_the_mean_over_the_rows(context: Listening) -> None:
    module = bag()
    logits = predict(module, TOKENS, context)
    tiny = Training(epochs=1, batch_size=8, learning_rate=1e-12)  # it stays as it is; the last batch has 6
    train(module, TOKENS, EXAMPLES, FromLogits(), tiny, context)
    assert EXAMPLES.logits is not None
    assert context.epochs[0]["loss"] == pytest.approx(((logits - EXAMPLES.logits) ** 2).mean(), rel=1e-5)
    assert context.epochs[0]["examples"] == 30


def test_losses_see_rows_labels_and_logits_that_belong_together(context: Listening) -> None:
    assert EXAMPLES.labels is not None and EXAMPLES.logits is not None
    rows = np.arange(len(EXAMPLES))
    marked = replace(EXAMPLES, labels=rows, logits=np.stack([rows] * 3, 1).astype(np.float32))
    seen: list[int] = []

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert teacher is not None and batch.labels is not None
        assert len(student) == batch.size and student.dtype == torch.float32
        assert torch.equal(teacher[:, 0].long(), batch.labels)
        seen.extend(batch.labels.tolist())
        return student.square().mean()

    train(bag(), TOKENS, marked, Calls(loss), BRIEF, context)
    assert sorted(seen) == sorted([*rows, *rows])

    def bare(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert teacher is None and batch.labels is None
        return student.square().mean()

    train(bag(), TOKENS, Examples(EXAMPLES.texts, EXAMPLES.classes), Calls(bare), BRIEF, context)


@pytest.mark.parametrize(("value", "at"), [("nan", 1), ("inf", 1), ("-inf", 7), ("nan", 13)])
def test_a_loss_that_is_not_finite_is_an_error(value: str, at: int, context: Listening) -> None:
    calls = iter(range(1, 1000))

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        return student.mean() + (float(value) if next(calls) == at else 0.0)

    with pytest.raises(HarnessError, match=r"the loss is .*(nan|inf).*try a learning_rate below") as caught:
        train(bag(), TOKENS, EXAMPLES, Calls(loss), replace(BRIEF, epochs=9), context)
    assert "\n" not in str(caught.value)
    assert next(calls) <= at + 20  # it does not go on for long


def turncoat(after: int) -> Loss:
    """Learns for some steps, then unlearns."""
    calls = count(1)

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        value = FromLabels()(student, teacher, batch)
        return value if next(calls) <= after else -value

    return Calls(loss)


def scores(context: Listening) -> list[float]:
    return [epoch["validation_accuracy"] for epoch in context.epochs]


def test_the_best_epochs_weights_are_kept(context: Listening) -> None:
    settings = Training(epochs=40, batch_size=8, learning_rate=5e-2, schedule="constant")
    kept, last = bag(), bag()
    train(kept, TOKENS, EXAMPLES, turncoat(40), settings, context, VALIDATION)
    found = scores(context)
    assert max(found) == 1 and found[-1] < 0.7
    assert score(kept, *VALIDATION, context) == 1
    other = Listening(context.scratch)
    without = replace(settings, keep_best=False)
    train(last, TOKENS, EXAMPLES, turncoat(40), without, other, VALIDATION)
    assert score(last, *VALIDATION, context) == found[-1]


@pytest.mark.parametrize("keep_best", [True, False])
def test_training_stops_when_patience_ends(keep_best: bool, context: Listening) -> None:
    settings = Training(
        epochs=9, batch_size=30, learning_rate=1e-12, patience=3, keep_best=keep_best, schedule="constant"
    )
    train(bag(), TOKENS, EXAMPLES, FromLogits(), settings, context, VALIDATION)
    assert len(set(scores(context))) == 1
    assert [epoch["epoch"] for epoch in context.epochs] == [1, 2, 3, 4]  # the first is the best


def test_patience_starts_again_with_each_better_epoch(context: Listening) -> None:
    settings = Training(epochs=40, batch_size=8, learning_rate=5e-2, patience=3, schedule="constant")
    train(bag(), TOKENS, EXAMPLES, turncoat(40), settings, context, VALIDATION)
    found = scores(context)
    assert len(found) == found.index(max(found)) + 4


def test_small_sets_get_more_epochs(context: Listening) -> None:
    train(bag(), TOKENS, EXAMPLES, FromLogits(), replace(BRIEF, min_examples=100), context)
    assert [epoch["epoch"] for epoch in context.epochs] == [1, 2, 3, 4]  # of 30 rows
    assert context.done[-1] == (16, 16)
    context.epochs.clear()
    train(bag(), TOKENS, EXAMPLES, FromLogits(), replace(BRIEF, min_examples=31), context)
    assert len(context.epochs) == 2  # never fewer than asked for


def test_progress_rises_to_its_total(context: Listening) -> None:
    train(bag(), TOKENS, EXAMPLES, FromLogits(), replace(BRIEF, epochs=10), context, VALIDATION)
    done = [each for each, _ in context.done]
    assert done == sorted(done) and {total for _, total in context.done} == {40}
    assert context.done[-1] == (40, 40)


def test_weight_decay_is_for_matrices_alone(context: Listening) -> None:
    module = bag()
    before = weights_of(module)

    def still(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        return (student * 0).sum()

    settings = Training(epochs=3, learning_rate=0.1, weight_decay=0.5)
    train(module, TOKENS, EXAMPLES, Calls(still), settings, context)
    after = weights_of(module)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"output.weight"}
    assert after["output.weight"].norm() < before["output.weight"].norm()


def test_frozen_parameters_stay(context: Listening) -> None:
    module = bag()
    module.embedding.weight.requires_grad_(False)
    before = weights_of(module)
    train(module, TOKENS, EXAMPLES, FromLogits(), replace(BRIEF, weight_decay=0.1), context)
    after = weights_of(module)
    assert torch.equal(before["embedding.weight"], after["embedding.weight"])
    assert not torch.equal(before["output.weight"], after["output.weight"])


def test_bf16_computes_in_bf16_and_loses_in_fp32(context: Listening) -> None:
    module = bag()
    seen = set()
    module.output.register_forward_hook(lambda layer, given, out: seen.add(out.dtype))
    context.precision = "bf16"

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert student.dtype == torch.float32
        return FromLogits()(student, teacher, batch)

    train(module, TOKENS, EXAMPLES, Calls(loss), BRIEF, context, VALIDATION)
    logits = predict(module, TOKENS, context)
    assert seen == {torch.bfloat16}
    assert logits.dtype == np.float32 and np.isfinite(logits).all()
    assert all(value.dtype == torch.float32 for value in module.state_dict().values())
    context.precision = "fp32"
    exact = predict(module, TOKENS, context)
    assert np.abs(logits - exact).max() < 0.05 * np.abs(exact).max()
    assert not torch.is_autocast_enabled("cpu")


# -- scoring --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 17, 16_384])
def test_predictions_are_in_order_whatever_the_batches(
    budget: int, context: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.training.inference.ids_at_once", lambda device: budget)
    module = bag()
    found = predict(module, TOKENS, context)
    with torch.no_grad():
        rows = [module.eval()(torch.from_numpy(TOKENS.batch(np.array([row])))) for row in range(len(TOKENS))]
    np.testing.assert_allclose(found, torch.cat(rows).numpy(), rtol=1e-5, atol=1e-6)


def test_predicting_switches_dropout_off_and_scoring_back_on(context: Listening) -> None:
    module = nn.Sequential(bag(), nn.Dropout(0.5)).train()
    assert np.array_equal(predict(module, TOKENS, context), predict(module, TOKENS, context))
    assert not module.training
    module.train()
    score(module, *VALIDATION, context)
    assert module.training


def test_accuracy_is_the_share_of_right_labels(context: Listening) -> None:
    tokens, validation = VALIDATION
    labels = predict(bag(), tokens, context).argmax(1)
    labels[:3] = (labels[:3] + 1) % 3
    assert score(bag(), tokens, replace(validation, labels=labels), context) == pytest.approx(9 / 12)


def test_nothing_to_predict(context: Listening) -> None:
    assert len(predict(bag(), Words.fit(["a"], 3).tokens([]), context)) == 0


def test_few_texts_are_scored_less_often_than_every_epoch(
    context: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SCORED", 3 * len(TOKENS))
    train(bag(), TOKENS, EXAMPLES, FromLogits(), replace(BRIEF, epochs=7), context, (TOKENS, EXAMPLES))
    scored = [epoch["epoch"] for epoch in context.epochs if "validation_accuracy" in epoch]
    assert scored == [3, 6, 7]


# -- steps of several batches, weights of classes ----------------------------------------------------


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    plain = Training(epochs=1, batch_size=len(TOKENS), learning_rate=1e-2, clip=None, schedule="constant")
    parts = replace(plain, batch_size=7, accumulate=-(-len(TOKENS) // 7))
    one, many = bag(), bag()
    train(one, TOKENS, EXAMPLES, FromLogits(), plain, CheckContext(tmp_path))
    train(many, TOKENS, EXAMPLES, FromLogits(), parts, CheckContext(tmp_path))
    for (name, a), b in zip(one.state_dict().items(), many.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3, msg=name)


def test_accumulation_counts_its_own_steps(context: Listening) -> None:
    settings = Training(epochs=2, batch_size=4, accumulate=3)
    train(bag(), TOKENS, EXAMPLES, FromLogits(), settings, context)
    steps = 2 * -(-len(TOKENS) // 12)
    assert context.done[-1] == (steps, steps)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # 6, 3 and 1 rows of the classes: weights 1/n or 1/sqrt(n), scaled to a mean of 1 over the 10 rows
        ("balanced", [10 / 18, 10 / 9, 10 / 3]),
        ("square-root", None),
    ],
)
def test_class_weights(how: Any, expected: list[float] | None) -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2, -1])
    examples = Examples(["x"] * 11, ("a", "b", "c"), labels)
    weigh = Classification().row_weights(examples, how, torch.device("cpu"))
    assert weigh is not None
    if expected is None:
        roots = 6**-0.5, 3**-0.5, 1.0
        mean = (6 * roots[0] + 3 * roots[1] + roots[2]) / 10
        expected = [root / mean for root in roots]
    assert weigh(torch.tensor([0, 1, 2]), None).tolist() == pytest.approx(expected)
    rows = torch.tensor([2, -1, 0])
    teacher = torch.tensor([[0.0, 1.0, 0.0]] * 3)
    assert weigh(rows, teacher).tolist() == pytest.approx([expected[2], expected[1], expected[0]])
    assert weigh(rows, None).tolist() == pytest.approx([expected[2], 1, expected[0]])


def test_hidden_tokens_have_no_class_weights() -> None:
    raw = Examples(["a text"], ())
    assert raw.task_type.row_weights(raw, "uniform", torch.device("cpu")) is None
    with pytest.raises(
        HarnessError, match="cannot use class_weights = 'balanced': language modelling has no labels"
    ):
        raw.task_type.row_weights(raw, "balanced", torch.device("cpu"))


def test_scores_have_no_class_weights() -> None:
    scored = Examples(["a", "b"], SCORE, np.array([0.5, 1.5], dtype=np.float32))
    assert scored.task_type.row_weights(scored, "balanced", torch.device("cpu")) is None


def test_rows_carry_the_weights_of_their_classes(context: Listening) -> None:
    seen: list[tuple[int, float]] = []

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert batch.labels is not None and batch.weights is not None
        seen.extend(zip(batch.labels.tolist(), batch.weights.tolist(), strict=True))
        return student.square().mean()

    train(bag(), TOKENS, EXAMPLES, Calls(loss), replace(BRIEF, class_weights="balanced"), context)
    weigh = EXAMPLES.task_type.row_weights(EXAMPLES, "balanced", torch.device("cpu"))
    assert weigh is not None
    weights = weigh(torch.arange(3), None).tolist()
    assert {pair for pair in seen if pair[0] >= 0} == set(enumerate(weights))


# -- inner states ----------------------------------------------------------------------------------------


class Deep(Bag):
    """A bag that shows its inner states."""

    def outputs(self, ids: Tensor, names: frozenset[str]) -> dict[str, Any]:
        states = self.embedding(ids)
        hidden = self.norm(states.mean(1))
        return {"logits": self.output(hidden), "hidden": hidden, "layers": (states, 2 * states)}


def test_recorded_hidden_states_come_with_their_rows_and_through_a_learned_map(context: Listening) -> None:
    hidden = np.arange(len(TOKENS), dtype=np.float16)[:, None].repeat(4, 1)
    marked = replace(EXAMPLES, logits=hidden[:, :3].astype(np.float32), hidden=hidden)
    widths: set[tuple[int, int]] = set()

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert teacher is not None
        theirs, own = batch.teacher["hidden"], batch.student["hidden"]
        assert torch.equal(theirs[:, 0], teacher[:, 0])
        widths.add((own.shape[1], theirs.shape[1]))
        return (own - 1).square().mean()

    module = Deep()
    train(module, TOKENS, marked, Calls(loss, frozenset({"logits", "hidden"})), BRIEF, context)
    assert widths == {(4, 4)}  # 6 numbers of the student's, mapped to the teacher's 4
    assert {name.partition(".")[0] for name in module.state_dict()} == {"embedding", "norm", "output"}
    first, last = context.epochs[0]["loss"], context.epochs[-1]["loss"]
    assert last < first


def test_a_teacher_in_step_sees_the_same_texts_and_learns_nothing(context: Listening) -> None:
    teacher = Deep()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}

    def loss(student: Tensor, teacher_logits: Tensor | None, batch: Batch) -> Tensor:
        assert batch.mask is not None
        own, theirs = batch.student["layers"], batch.teacher["layers"]
        assert len(own) == len(theirs) == 2 and own[0].shape == theirs[0].shape
        assert batch.mask.shape == own[0].shape[:2]
        assert not theirs[0].requires_grad and not teacher.training
        return sum((a - b).square().mean() for a, b in zip(own, theirs, strict=True))  # type: ignore[return-value]

    student = Deep()
    asks = frozenset({"layers"})
    settings = replace(BRIEF, epochs=60, learning_rate=2e-2)
    train(student, TOKENS, EXAMPLES, Calls(loss, asks), settings, context, teacher=(teacher, TOKENS))
    assert context.epochs[-1]["loss"] < 0.2 * context.epochs[0]["loss"]
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("name", ["hidden", "layers"])
def test_what_no_teacher_gave_is_said(name: str, context: Listening) -> None:
    with pytest.raises(HarnessError, match=f"'calls' needs {name}, but there is no teacher"):
        train(Deep(), TOKENS, EXAMPLES, Calls(FromLogits(), frozenset({name})), BRIEF, context)


# -- words that are tagged --------------------------------------------------------------------------------


def tagged() -> tuple[WordTokens, Examples]:
    """Texts of 3, 1 and 4 words; marked ids are 20 and above, and the last text is cut behind 3 words."""
    ids = np.array([20, 5, 21, 22, 23, 24, 25, 6, 26], dtype=np.int32)
    offsets = np.array([0, 4, 5, 9])
    words = np.array([0, 3, 4, 8])
    tokens = WordTokens(ids, offsets, 0, 20, words)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    logits = np.arange(8, dtype=np.float32)[:, None].repeat(3, 1)
    texts, classes = ["a b c", "d", "e f g h"], ("O", "B-x", "I-x")
    examples = Examples(texts, classes, labels, logits, task_type=Tagging())
    return tokens, examples


class Tagger(nn.Module):
    """Each id's own logits: (B, L) to (B, L, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(27, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)  # type: ignore[no-any-return]


def test_words_have_the_rows_of_their_places() -> None:
    tokens, _ = tagged()
    assert tokens.reached.tolist() == [3, 1, 3] and tokens.outputs == 8
    assert tokens.targets(np.array([2, 0])).tolist() == [4, 5, 6, 0, 1, 2]
    picked = tokens.picked(tokens.batch(np.array([1, 0])))
    assert picked is not None
    assert picked.tolist() == [[True, False, False, False], [True, False, True, True]]


def test_losses_see_each_marked_word_with_its_label_and_logits(context: Listening) -> None:
    tokens, examples = tagged()
    module = Tagger()
    seen: set[tuple[int, int]] = set()

    def loss(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert teacher is not None and batch.labels is not None and batch.weights is not None
        assert len(student) == len(teacher) == len(batch.labels) == len(batch.weights) == batch.size
        for row, word in enumerate(teacher[:, 0].long().tolist()):
            marked = [20, 21, 22, 23, 24, 25, 26][word]
            torch.testing.assert_close(student[row], module.embedding.weight[marked])
            seen.add((word, int(batch.labels[row])))
        return student.square().mean()

    settings = Training(epochs=1, batch_size=2, class_weights="balanced")
    train(module, tokens, examples, Calls(loss), settings, context)
    assert seen == {
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 0),
        (4, 1),
        (5, 2),
        (6, 0),
    }  # and never the word behind the cut
    assert context.epochs[0]["examples"] == 3


def test_words_are_learned_and_their_entities_scored(context: Listening) -> None:
    tokens, examples = tagged()
    module = Tagger()
    settings = Training(epochs=150, batch_size=3, learning_rate=0.1)
    train(module, tokens, examples, FromLabels(), settings, context)
    logits = predict(module, tokens, context)
    assert logits.shape == (8, 3)
    assert logits.argmax(1)[:7].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert logits[7].tolist() == [0, 0, 0]  # it was cut off: outside
    assert score(module, tokens, examples, context) == 1


def test_the_best_f1_over_entities_is_kept(context: Listening) -> None:
    tokens, examples = tagged()
    train(Tagger(), tokens, examples, FromLabels(), Training(epochs=3), context, (tokens, examples))
    assert all(0 <= epoch["validation_f1"] <= 1 for epoch in context.epochs[-1:])
    assert "validation_accuracy" not in context.epochs[-1]


def test_a_word_counts_alike_in_any_batch(tmp_path: Path) -> None:
    """Two batches of texts with unlike numbers of words make the step of one batch."""
    tokens, examples = tagged()
    torch.manual_seed(0)
    one, many = Tagger(), Tagger()
    many.load_state_dict(one.state_dict())
    plain = Training(epochs=1, batch_size=3, learning_rate=1e-2, clip=None, schedule="constant")
    train(one, tokens, examples, FromLogits(), plain, CheckContext(tmp_path))
    train(
        many,
        tokens,
        examples,
        FromLogits(),
        replace(plain, batch_size=1, accumulate=3),
        CheckContext(tmp_path),
    )
    torch.testing.assert_close(one.embedding.weight, many.embedding.weight)


@pytest.mark.parametrize(
    ("size", "warned"),
    [
        (5.0, []),
        (
            20_000.0,
            ["cannot learn scores with a root mean square of 1.135e+04 well; standardise them in the data"],
        ),
    ],
)
def test_scores_that_are_too_large_are_told_of(size: float, warned: list[str], tmp_path: Path) -> None:
    examples, _ = tiny_examples()
    labels = np.linspace(0, size, len(examples.texts), dtype=np.float32)
    labels[1::2] = np.nan  # of new texts
    scored = replace(examples, labels=labels, classes=SCORE, logits=None, task_type=Regression())
    words = Words.fit(scored.texts, 40)

    def squared(student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        assert batch.labels is not None
        return (student[:, 0] - batch.labels).square().nanmean()

    context = Listening(tmp_path)
    loss = Calls(squared, frozenset({"labels"}))
    train(Bag(words.size, 1), words.tokens(scored.texts), scored, loss, Training(epochs=1), context)
    assert len(context.warnings) == len(warned)
    for told, beginning in zip(context.warnings, warned, strict=True):
        assert told.startswith(beginning)
