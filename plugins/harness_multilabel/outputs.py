"""Turn logits into probabilities of labels, and compare them with gold labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from harness import Batch


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logistic function of logits: probabilities of the same shape."""
    import numpy as np

    return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60))))


def binary_cross_entropy(
    logits: Tensor, batch: Batch, positive_weight: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """Return the mean over labels and the rows with gold labels, (); 0 if no row has any."""
    import torch
    from torch.nn import functional

    assert batch.labels is not None
    known = batch.labels.isfinite().all(dim=1)  # (B,)
    target = batch.labels.nan_to_num()
    target = target * (1 - smoothing) + smoothing / 2
    weight = None if positive_weight == 1.0 else torch.as_tensor(positive_weight, device=logits.device)
    losses = functional.binary_cross_entropy_with_logits(
        logits, target.to(logits.dtype), reduction="none", pos_weight=weight
    ).mean(1)
    counted = known if batch.weights is None else known * batch.weights
    return (losses * counted).sum() / known.sum().clamp_min(1)
