"""Recurrent layers in training on a CPU, beside torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness_students.modules import AveragedWords, Convolutions
from harness_students.pooling import Sparse, max_over_time, mean_of_rows, rows_of, turned
from harness_students.recurrence import RecurrentClassifier, Shape
from harness_students.scans import scan

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("length", [1, 6])
def test_states_and_gradients_are_those_of_torchs_layers(cell: Any, directions: int, length: int) -> None:
    torch.manual_seed(0)
    layers = [cell(5, 7, batch_first=True) for _ in range(directions)]
    inputs = [torch.randn(4, length, 5, requires_grad=True) for _ in layers]
    parameters = [*inputs, *(p for layer in layers for p in layer.parameters())]
    expected = [layer(states)[0] for layer, states in zip(layers, inputs, strict=True)]
    found = scan(layers, inputs, [layer.weight_hh_l0 for layer in layers])
    weights = [torch.randn_like(states) for states in expected]
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other)

    def gradients(states: list[Tensor]) -> tuple[Tensor, ...]:
        total = torch.stack([(one * weight).sum() for one, weight in zip(states, weights, strict=True)]).sum()
        return torch.autograd.grad(total, parameters)

    for mine, other in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("pooling", ["max", "last", "mean", "attention"])
def test_a_classifier_is_the_same_in_training_and_afterwards(cell: Any, pooling: Any) -> None:
    torch.manual_seed(0)
    shape = Shape(30, 6, 5, 2, 3, cell, bidirectional=True, pooling=pooling, scale=1.0)
    module = RecurrentClassifier(shape, weight_dropout=0.0)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 0, 0, 0]])
    module.train()
    trained = module(ids)
    assert "Turned" in str(_names(trained)) and ("Gru" if cell == "gru" else "Lstm") in str(_names(trained))
    torch.testing.assert_close(trained, module.eval()(ids))


def _names(value: Tensor) -> set[str]:
    """The names of the functions that a value was computed by."""
    found, left = set(), [value.grad_fn]
    while left:
        if (node := left.pop()) is not None:
            found.add(type(node).__name__)
            left += [before for before, _ in node.next_functions]
    return found


@pytest.mark.parametrize(
    "module", [AveragedWords(30, 6, 5, 3, 0.0, 1.0), Convolutions(30, 6, 4, (2, 1, 3), 3, 0.0, 1.0)]
)
def test_words_are_averaged_and_convolved_alike_in_training_and_afterwards(module: nn.Module) -> None:
    torch.manual_seed(0)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 0, 0, 0]])
    found, gradients = [], []
    for each in (module.train(), module.eval()):
        logits = each(ids)
        found.append(logits)
        gradients.append(torch.autograd.grad(logits.square().sum(), list(module.parameters())))
    torch.testing.assert_close(*found)
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other)


def test_dropped_recurrent_weights_are_used() -> None:
    torch.manual_seed(0)
    layer = nn.GRU(5, 7, batch_first=True)
    states = torch.randn(2, 3, 5)
    (found,) = scan([layer], [states], [torch.zeros_like(layer.weight_hh_l0)])
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    torch.testing.assert_close(found, layer(states)[0])


# -- pooling --------------------------------------------------------------------------------------------


def test_the_maximum_and_its_gradient() -> None:
    torch.manual_seed(0)
    states = torch.randn(3, 5, 4)
    states[0, 1] = states[0, 3]  # as of a word that occurs twice
    states[1] = 0.0  # as of padding alone
    mine, other = states.clone().requires_grad_(), states.clone().requires_grad_()
    weights = torch.randn(3, 4)
    found, expected = max_over_time(nn.Identity(), mine), other.amax(1)
    assert torch.equal(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad)


def test_the_mean_of_rows_and_its_gradient() -> None:
    torch.manual_seed(0)
    table = torch.randn(9, 4, requires_grad=True)
    sparse = Sparse()
    for batch in ([[1, 2, 2], [3, 0, 0], [0, 0, 0]], [[8, 8, 1], [4, 5, 6], [7, 0, 0]], [[5]]):
        ids = torch.tensor(batch)
        known = (ids != 0).unsqueeze(-1).float()
        expected = (table[ids] * known).sum(1) / known.sum(1).clamp(min=1)
        found = mean_of_rows(table, ids, ids != 0, sparse)
        torch.testing.assert_close(found, expected)
        weights = torch.randn_like(found)
        ours, theirs = (torch.autograd.grad((v * weights).sum(), table)[0] for v in (found, expected))
        torch.testing.assert_close(ours, theirs)


def test_two_means_before_their_gradients() -> None:
    table = torch.ones(5, 2, requires_grad=True)
    sparse = Sparse()
    first, second = torch.tensor([[1, 2]]), torch.tensor([[3, 4]])
    means = [mean_of_rows(table, ids, ids != 0, sparse) for ids in (first, second)]
    total = means[0].sum() + 10 * means[1].sum()
    (found,) = torch.autograd.grad(total, table)
    assert found[:, 0].tolist() == [0, 0.5, 0.5, 5, 5]


def test_rows_and_their_gradient() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(9, 4)
    sparse = Sparse()
    for batch in ([[1, 2, 2], [3, 0, 0]], [[8, 8], [1, 4], [5, 6]]):
        ids = torch.tensor(batch)
        found, expected = rows_of(table, ids, sparse), table(ids)
        assert torch.equal(found, expected)
        weights = torch.randn_like(found)
        ours, theirs = (torch.autograd.grad((v * weights).sum(), table.weight)[0] for v in (found, expected))
        torch.testing.assert_close(ours, theirs)
    table.requires_grad_(False)
    assert rows_of(table, ids, sparse).grad_fn is None


def test_places_that_are_their_own_inverse() -> None:
    torch.manual_seed(0)
    states = torch.randn(2, 3, 4, requires_grad=True)
    places = torch.tensor([[2, 1, 0], [1, 0, 2]])
    expected = states.gather(1, places.unsqueeze(-1).expand(-1, -1, 4))
    found = turned(nn.Identity(), states, places)
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((v * weights).sum(), states)[0] for v in (found, expected))
    assert torch.equal(ours, theirs)
    assert torch.equal(turned(nn.Identity(), states.detach(), places), expected)
