"""The conditional random field against sums over all sequences of tags, one by one."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from harness.api import Batch
from harness_teachers.crf import Crf, SequenceLikelihood, padded

LENGTHS = torch.tensor([4, 1, 3, 2])
CLASSES = 3


@pytest.fixture
def crf() -> Crf:
    torch.manual_seed(1)
    made = Crf(CLASSES).double()
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=1.5)
    return made


@pytest.fixture
def emissions() -> Tensor:
    return 2 * torch.randn(4, 4, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def scores(crf: Crf, emissions: Tensor, length: int) -> dict[tuple[int, ...], Tensor]:
    """Of one text, (W, C), the score of every sequence of tags."""
    found = {}
    for tags in product(range(CLASSES), repeat=length):
        total = crf.start[tags[0]] + crf.end[tags[-1]]
        total = total + sum(emissions[at, tag] for at, tag in enumerate(tags))
        found[tags] = total + sum(crf.transitions[a, b] for a, b in pairwise(tags))
    return found


def test_the_partition_is_the_sum_over_all_sequences(crf: Crf, emissions: Tensor) -> None:
    found = crf.log_partition(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = torch.stack(list(scores(crf, emissions[row], length).values()))
        assert found[row].item() == pytest.approx(every.logsumexp(0).item(), abs=1e-10)


def test_marginals(crf: Crf, emissions: Tensor) -> None:
    found = crf.log_marginals(emissions, LENGTHS).exp()
    for row, length in enumerate(LENGTHS.tolist()):
        every = scores(crf, emissions[row], length)
        shares = torch.stack(list(every.values())).softmax(0)
        for at, tag in product(range(length), range(CLASSES)):
            due = sum(p.item() for tags, p in zip(every, shares, strict=True) if tags[at] == tag)
            assert found[row, at, tag].item() == pytest.approx(due, abs=1e-10)


def test_marginals_are_the_gradient_of_the_partition(crf: Crf, emissions: Tensor) -> None:
    emissions.requires_grad_()
    crf.log_partition(emissions, LENGTHS).sum().backward()  # type: ignore[no-untyped-call]
    inside = torch.arange(4) < LENGTHS.unsqueeze(1)
    assert emissions.grad is not None and not emissions.grad[~inside].any()
    torch.testing.assert_close(emissions.grad[inside], crf.log_marginals(emissions, LENGTHS).exp()[inside])


def test_the_best_sequence(crf: Crf, emissions: Tensor) -> None:
    found = crf.best(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = scores(crf, emissions[row], length)
        assert tuple(found[row, :length].tolist()) == max(every, key=lambda tags: every[tags].item())


def test_the_best_sequence_is_not_each_words_best_tag(crf: Crf) -> None:
    with torch.no_grad():
        for weights in crf.parameters():
            weights.zero_()
        crf.transitions[0, 1] = crf.transitions[2, 2] = -9.0
    emissions = torch.tensor([[[1.0, 0, 0], [0, 1.1, 0]]], dtype=torch.float64)
    assert emissions.argmax(2).tolist() == [[0, 1]]
    assert crf.best(emissions, torch.tensor([2])).tolist() == [[1, 1]]


def test_the_likelihood_of_tags_of_which_some_are_unknown(crf: Crf, emissions: Tensor) -> None:
    tags = torch.tensor([[2, -1, 0, -1], [1, 0, 0, 0], [-1, -1, -1, 2], [0, 1, 2, 2]])
    found = crf.log_likelihood(emissions, tags, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = scores(crf, emissions[row], length)
        gold = tags[row, :length].tolist()
        fits = [
            score
            for path, score in every.items()
            if all(g in (-1, t) for g, t in zip(gold, path, strict=True))
        ]
        due = torch.stack(fits).logsumexp(0) - torch.stack(list(every.values())).logsumexp(0)
        assert found[row].item() == pytest.approx(due.item(), abs=1e-10)
    assert found[2].item() == pytest.approx(0, abs=1e-12)  # nothing is known of its three words


def test_padding_is_without_effect(crf: Crf, emissions: Tensor) -> None:
    inside = torch.arange(4) < LENGTHS.unsqueeze(1)
    other = torch.where(inside.unsqueeze(2), emissions, torch.full_like(emissions, 50.0))
    tags = torch.ones(4, 4, dtype=torch.int64)
    for of in (crf.log_partition, crf.log_marginals, crf.best):
        a, b = of(emissions, LENGTHS), of(other, LENGTHS)
        assert torch.equal(a, b) if a.dim() == 1 else torch.equal(a[inside], b[inside])
    assert torch.equal(crf.log_likelihood(emissions, tags, LENGTHS), crf.log_likelihood(other, tags, LENGTHS))


def test_long_texts_and_large_scores_stay_finite(crf: Crf) -> None:
    emissions = 1e4 * torch.randn(2, 300, CLASSES, generator=torch.Generator().manual_seed(0))
    lengths, crf = torch.tensor([300, 7]), crf.float()
    assert crf.log_partition(emissions, lengths).isfinite().all()
    marginals = crf.log_marginals(emissions, lengths)
    torch.testing.assert_close(marginals.exp().sum(2), torch.ones(2, 300))


def test_gradients_of_the_loss(crf: Crf, emissions: Tensor) -> None:
    labels = torch.tensor([0, 2, -1, 1, 1, 2, 0, 0, -1, -1])
    rows = torch.cat(
        [emissions[row, :length] for row, length in enumerate(LENGTHS.tolist())]
    ).requires_grad_()

    def loss(rows: Tensor, *weights: Tensor) -> Tensor:
        return SequenceLikelihood(crf)(rows, None, Batch(labels, 10, words=LENGTHS))

    tags = padded(labels, LENGTHS, -1)
    due = -crf.log_likelihood(emissions, tags, LENGTHS).sum() / 7
    assert loss(rows).item() == pytest.approx(due.item())
    assert torch.autograd.gradcheck(loss, (rows, *crf.parameters()))


def test_a_batch_without_any_gold_tag(crf: Crf) -> None:
    rows = torch.randn(3, CLASSES, dtype=torch.float64, requires_grad=True)
    batch = Batch(torch.full((3,), -1), 3, words=torch.tensor([2, 1]))
    value = SequenceLikelihood(crf)(rows, None, batch)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert rows.grad is not None and rows.grad.abs().max() < 1e-12


def test_rows_are_put_to_their_texts() -> None:
    rows = torch.arange(1, 7)
    assert padded(rows, torch.tensor([1, 3, 2]), -1).tolist() == [[1, -1, -1], [2, 3, 4], [5, 6, -1]]
