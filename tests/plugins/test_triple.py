"""The loss by which language models are distilled, against its formula in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness_losses import Triple

GENERATOR = np.random.default_rng(0)
ROWS, TOKENS, WIDTH = 5, 12, 6  # hidden tokens; of how many; of states
STUDENT, TEACHER = (4 * GENERATOR.standard_normal((ROWS, TOKENS)) for _ in range(2))
GOLD = GENERATOR.integers(0, TOKENS, ROWS)
OURS, THEIRS = (GENERATOR.standard_normal((3, 2, 4, WIDTH)) for _ in range(2))  # 3 layers of 2 texts
REAL = np.array([[True] * 4, [True, True, False, False]])


def batch() -> harness.Batch:
    def layers(states: Any) -> dict[str, Any]:
        return {"layers": tuple(torch.as_tensor(layer) for layer in states)}

    return harness.Batch(torch.as_tensor(GOLD), ROWS, layers(OURS), layers(THEIRS), torch.as_tensor(REAL))


def log_softmax(x: Any) -> Any:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def expected(temperature: float) -> dict[str, float]:
    p, q = log_softmax(TEACHER / temperature), log_softmax(STUDENT / temperature)
    cosine = (OURS[-1] * THEIRS[-1]).sum(-1)
    cosine /= np.linalg.norm(OURS[-1], axis=-1) * np.linalg.norm(THEIRS[-1], axis=-1)
    by_text = ((1 - cosine) * REAL).sum(1) / REAL.sum(1)
    return {
        "kl": (np.exp(p) * (p - q)).sum(-1).mean() * temperature**2,
        "mlm": -log_softmax(STUDENT)[np.arange(ROWS), GOLD].mean(),
        "cosine": by_text.mean(),
        "mse": ((STUDENT - TEACHER) ** 2).mean(),
    }


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        (Triple(), {"kl": 5, "mlm": 2, "cosine": 1}),
        (Triple(temperature=3.0, mse=0.5), {"kl": 5, "mlm": 2, "cosine": 1, "mse": 0.5}),
        (Triple(kl=0.0, cosine=0.0), {"mlm": 2}),
        (Triple(mlm=0.0), {"kl": 5, "cosine": 1}),
    ],
    ids=repr,
)
def test_triple(loss: Triple, weights: dict[str, float]) -> None:
    given, parts = batch(), expected(loss.temperature)
    found = loss(torch.as_tensor(STUDENT), torch.as_tensor(TEACHER), given)
    assert float(found) == pytest.approx(sum(weight * parts[name] for name, weight in weights.items()))
    assert {name: float(part) for name, part in given.parts.items()} == pytest.approx(
        {name: parts[name] for name in weights}
    )


@pytest.mark.parametrize(
    ("loss", "needs"),
    [
        (Triple(), "labels layers logits"),
        (Triple(cosine=0.0), "labels logits"),
        (Triple(kl=0.0, cosine=0.0), "labels"),
        (Triple(kl=0.0, mse=1.0, cosine=0.0, mlm=0.0), "logits"),
        (Triple(kl=0.0, mlm=0.0), "layers"),
    ],
    ids=repr,
)
def test_only_what_has_a_weight_is_needed(loss: Triple, needs: str) -> None:
    assert loss.needs == frozenset(needs.split())


def test_some_part_has_a_weight() -> None:
    with pytest.raises(ValueError, match="all weights of triple are 0"):
        Triple(kl=0.0, mlm=0.0, cosine=0.0).check()
