"""Batches in parts: equal results on any number of cores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.api import Batch
from harness.featurise.featuriser import Words
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness.training.cores import Cores
from harness.training.dropout import dropped, own_generators, seeded
from harness.training.loop import train
from harness.training.micro_batches import Gradients, Part, split
from harness.training.settings import Training

pytestmark = pytest.mark.usefixtures("one_thread")


class Separable(FromLabels):
    """A loss that is a mean over rows."""

    separable = True


class Network(nn.Module):
    """A module with dropout; `noise` draws from torch's own generator."""

    def __init__(self, size: int, noise: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(size, 16)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(16, 3)
        self.noise = noise

    def forward(self, ids: Tensor) -> Tensor:
        mean = self.embedding(ids).mean(1)
        if self.noise and self.training:
            mean = mean + torch.rand_like(mean)
        return self.output(F.dropout(self.dropout(mean), 0.1, self.training))  # type: ignore[no-any-return]


def fitted(tmp_path: Path, cores: int = 1, parts: int = 2, noise: bool = False, **options: Any) -> Network:
    examples, _ = tiny_examples()
    words = Words.fit(examples.texts, 40)
    module = Network(words.size, noise)
    settings = Training(
        **{"epochs": 3, "batch_size": 8, "learning_rate": 0.05, "micro_batches": parts, **options}
    )
    context = CheckContext(tmp_path, cores=cores)
    train(module, words.tokens(examples.texts), examples, Separable(), settings, context)
    return module


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("parts", [2, 3])
def test_the_result_does_not_depend_on_the_cores(noise: bool, parts: int, tmp_path: Path) -> None:
    alone = fitted(tmp_path, 1, parts, noise)
    assert same(alone, fitted(tmp_path, 2, parts, noise))
    assert same(alone, fitted(tmp_path, 4, parts, noise))
    assert not same(alone, fitted(tmp_path, 1, 1, noise))


def test_torchs_dropout_is_as_it_was(tmp_path: Path) -> None:
    usual = F.dropout
    fitted(tmp_path, 2)
    assert F.dropout is usual


def test_parts_have_the_gradient_of_the_whole(tmp_path: Path) -> None:
    module = nn.Linear(4, 1)
    inputs = torch.randn(10, 4)
    batch = Batch(None, 10)

    def part(rows: Tensor) -> Part:
        value = module(rows).square().mean()
        return Part(value, value * (len(rows) / 10), batch)

    parameters = list(module.parameters())
    (whole,), expected = Gradients(parameters, None).of([partial(part, inputs)])
    for cores in (None, Cores(CheckContext(tmp_path, cores=2))):
        gradients = Gradients(parameters, cores)
        for _ in range(3):  # at first, and later
            parts, found = gradients.of([partial(part, rows) for rows in inputs.split([4, 3, 3])])
            assert sum(float(one.weighed) for one in parts) == pytest.approx(float(whole.value), rel=1e-5)
            for mine, other in zip(found, expected, strict=True):
                assert mine is not None and other is not None
                torch.testing.assert_close(mine, other)
    assert Gradients(parameters, None).of([]) == ([], [None, None])


def test_a_parameter_that_one_part_uses() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

    def part(parameter: Tensor) -> Part:
        value = (parameter * 3).sum()
        return Part(value, value, Batch(None, 1))

    _, found = Gradients([first, second], None).of([partial(part, first), partial(part, second)])
    assert all(gradient is not None and gradient.tolist() == [3, 3] for gradient in found)


def test_gradients_do_not_share_memory() -> None:
    first, second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))

    def part() -> Part:
        value = (first + second).sum()  # one gradient for both, and one number for all three
        return Part(value, value, Batch(None, 1))

    for parts in (1, 2):
        _, found = Gradients([first, second], None).of([part] * parts)
        for gradient in found:
            assert gradient is not None
            gradient.mul_(10)
        assert [gradient.tolist() for gradient in found if gradient is not None] == [[10.0 * parts] * 3] * 2


def test_gradients_are_laid_out_as_their_parameters() -> None:
    torch.manual_seed(0)
    matrix, order = nn.Parameter(torch.randn(3, 5)), torch.randn(5, 3)

    def part() -> Part:
        value = (matrix.t() * order).sum()  # the gradient is a view of `order`, turned
        return Part(value, value, Batch(None, 1))

    _, (found,) = Gradients([matrix], None).of([part])
    assert found is not None and found.stride() == matrix.stride() and torch.equal(found, order.t())


def test_rows_are_shared_out_by_length() -> None:
    parts = split(np.arange(7), 2)
    assert [part.tolist() for part in parts] == [[0, 2, 4, 6], [1, 3, 5]]
    assert [part.tolist() for part in split(np.arange(2), 4)] == [[0], [1]]


# -- dropout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    values = torch.ones(301, 333, dtype=dtype, requires_grad=True)
    found = dropped(values, p, np.random.SFC64(0))
    assert found.dtype == dtype
    assert float((found == 0).float().mean()) == pytest.approx(p, abs=0.005)
    kept = found[found != 0].float()
    if p < 1:
        assert torch.allclose(kept, torch.tensor(1 / (1 - p)), rtol=0.01)
    found.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, found.detach())


def test_dropout_draws_from_the_seed_of_the_thread() -> None:
    values = torch.ones(50, 3)
    with own_generators():
        with seeded(1, 2):
            first, second = F.dropout(values, 0.5), F.dropout(values, 0.5)
            assert torch.equal(F.dropout(values, 0.5, training=False), values)
        with seeded(1, 2):
            again = F.dropout(input=values, p=0.5)
        with seeded(1, 3):
            other = F.dropout(values, 0.5)
        torch.manual_seed(0)
        torchs = F.dropout(values, 0.5)
    torch.manual_seed(0)
    assert torch.equal(F.dropout(values, 0.5), torchs)
    assert torch.equal(first, again)
    assert not torch.equal(first, second) and not torch.equal(first, other)
