"""Train spaCy's networks with the harness's losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from thinc.api import Adam, set_dropout_rate
from torch import Tensor

from harness.api import Batch, Context, Examples, HarnessError, Loss
from harness_spacy.encoding import encode
from harness_spacy.model import put, taken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.training.settings import Training
    from harness_spacy.model import TextcatModel

_GROWTH = 1.01  # size of a batch relative to the one before
_SCORED = 5_000  # minimum number of examples between two validations: a tiny set has very short epochs


def train(
    model: TextcatModel,
    settings: Training,
    first_batch: int,
    dropout: float,
    transfer: Examples,
    validation: Examples,
    loss: Loss,
    context: Context,
) -> None:
    """Train the model in place. Raise HarnessError if the loss is not finite."""
    network, longest = model.network, model.architecture.longest
    corpus = encode(model.nlp, transfer.texts, longest)
    held_out = encode(model.nlp, validation.texts, longest)
    generator = np.random.default_rng(context.seed)
    optimizer = Adam(settings.learning_rate, L2=settings.weight_decay, L2_is_weight_decay=True, grad_clip=1.0)
    weigh = transfer.task_type.row_weights(transfer, settings.class_weights, torch.device("cpu"))
    epochs = max(settings.epochs, math.ceil(settings.min_examples / len(corpus)))
    scored_every = max(1, _SCORED // len(corpus))  # epochs
    best, best_weights, since_best, step = -math.inf, None, 0, 0
    for epoch in range(1, epochs + 1):
        running = 0.0
        set_dropout_rate(network, dropout)
        for done, rows in _batches(len(corpus), first_batch, settings.batch_size, step, generator):
            logits, backpropagate = network.begin_update(corpus[rows])
            value, gradient = loss_and_gradient(loss, logits, transfer, rows, weigh)
            if not math.isfinite(value):
                raise HarnessError(
                    f"the loss is {value} in epoch {epoch}; "
                    f"try a learning_rate smaller than {settings.learning_rate}"
                )
            # spaCy sums the gradients of the rows; it does not average them.
            backpropagate(gradient * len(rows))
            network.finish_update(optimizer)
            running += value * len(rows)
            step += 1
            if step % 20 == 0:
                context.progress((epoch - 1) * len(corpus) + done, epochs * len(corpus))
        seen = epoch * len(corpus)
        scalars = {"epoch": float(epoch), "loss": running / len(corpus), "examples": float(seen)}
        if (settings.keep_best or settings.patience) and (epoch % scored_every == 0 or epoch == epochs):
            score = float((model.logits(held_out).argmax(axis=1) == validation.labels).mean())
            scalars["validation_accuracy"] = score
            since_best += 1
            if score > best:
                best, since_best = score, 0
                if settings.keep_best:
                    best_weights = taken(network)
        context.progress(seen, epochs * len(corpus), **scalars)
        if settings.patience and since_best >= settings.patience:
            break
    if best_weights is not None and since_best:
        put(network, best_weights)


def loss_and_gradient(
    loss: Loss,
    logits: NDArray[np.float32],
    examples: Examples,
    rows: NDArray[np.int64],
    weigh: Callable[[Tensor | None, Tensor | None], Tensor] | None = None,
) -> tuple[float, NDArray[np.float32]]:
    """Return the mean loss of a batch, and its gradient with respect to the student's logits, (B, C).

    `weigh` returns the weights of the rows: see :meth:`harness.TaskType.row_weights`.
    """
    student = torch.tensor(logits, requires_grad=True)
    teacher = None if examples.logits is None else torch.from_numpy(examples.logits[rows])
    labels = None if examples.labels is None else torch.from_numpy(examples.labels[rows])
    counts = None if weigh is None else weigh(labels, teacher)
    value = loss(student, teacher, Batch(labels, len(rows), weights=counts))
    (gradient,) = torch.autograd.grad(value, student)
    return value.item(), np.ascontiguousarray(gradient.numpy())


def _batches(
    count: int, first: int, largest: int, step: int, generator: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the batches of one epoch, in random order: the number of rows after each batch, and its rows.

    `step` is the number of batches in earlier epochs. Batches grow over epochs, which has the effect of a
    learning rate that falls (Smith et al., 2018).
    """
    order, start = generator.permutation(count), 0
    while start < count:
        grown = first * _GROWTH ** min(step, math.log(largest / first, _GROWTH) + 1)
        size = min(largest, int(grown))
        rows = order[start : start + size]
        start, step = start + len(rows), step + 1
        yield start, rows
