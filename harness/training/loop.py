"""The training loop of all torch models, teachers and students.

Texts are tokenised once and batched by length, so that there is little padding. The logits and hidden states
of a transfer set are read from disk. The teacher runs during training only for outputs that were not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from copy import deepcopy
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from harness.api import Batch, Context, Examples, HarnessError, Loss
from harness.featurise.tokens import Drawn, Tokens
from harness.training.checkpoint import Checkpoints
from harness.training.cores import Cores
from harness.training.dropout import own_generators, seeded
from harness.training.inference import Validation, autocast
from harness.training.micro_batches import Gradients, Part, split
from harness.training.optimiser import AdamW, rate_factor
from harness.training.outputs import Signals
from harness.training.replicas import Replica, Replicas, gpus_for
from harness.training.settings import Training
from harness.training.state import State, Sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCORED = 5_000  # fewest examples between two validations, because epochs of a tiny set are short
_SHUFFLED, _BLOCK, _TOGETHER = 1 << 21, 1 << 10, 1 << 10  # texts, texts, blocks; see `training_batches`
_POOL = 50  # batches sorted by length together: enough for little padding and random batches


def train(
    module: torch.nn.Module,
    tokens: Tokens,
    examples: Examples,
    loss: Loss,
    settings: Training,
    context: Context,
    validation: tuple[Tokens, Examples] | None = None,
    teacher: tuple[torch.nn.Module, Tokens] | None = None,
) -> None:
    """Train `module` in place.

    The module maps ids (B, L) to logits (B, C); for tagging, to logits (B, L, C). For losses that need more
    than logits it has a method ``outputs(ids, names)`` that returns a dictionary with "logits" and those
    names of :class:`harness.api.Batch`. Outputs that are not stored with the examples come from `teacher`: a
    module of the same kind, and its tokens of the same texts.

    For language modelling, other tokens are hidden in each batch, and ``outputs`` returns logits (R, V) for
    the marked ids; the teacher gets the same ids. Raise HarnessError if the loss is not finite.
    """
    for caution in examples.task_type.cautions(examples):
        context.warn(caution)
    torch.manual_seed(context.seed)
    generator = np.random.default_rng(context.seed)
    device = torch.device(context.device)
    module.to(device).train()
    epochs = max(settings.epochs, math.ceil(settings.min_examples / len(tokens)))
    scored_every = max(1, _SCORED // len(tokens))  # epochs
    steps = epochs * math.ceil(len(tokens) / (settings.batch_size * settings.accumulate))
    if not tokens.learnable():
        raise HarnessError("cannot train: no text has a token that can be hidden")
    often = max(1, steps // 50)  # steps between two reports for language modelling, which has no fixed epochs
    signals = Signals(loss, examples, teacher, device)
    signals.adapt(module, tokens)
    # Inner states are read by hooks, which parts of a batch would share.
    parallel = not signals.names and not signals.asked
    wanted = settings.micro_batches if device.type == "cpu" else settings.gpus
    in_parts = wanted if parallel and loss.separable else 1

    def replica(where: torch.device, first: bool) -> Replica:
        weigh = examples.task_type.row_weights(examples, settings.class_weights, where)
        if first:
            return Replica(where, module, signals, weigh)
        return Replica(where, deepcopy(module).to(where), Signals(loss, examples, None, where), weigh)

    with ExitStack() as until_end:
        cores = until_end.enter_context(closing(Cores(context)))
        if in_parts > 1 and device.type == "cpu":
            until_end.enter_context(own_generators())
        optimizer = AdamW(module, signals.maps, settings, rate_factor(settings, steps), cores)
        replicas = [replica(where, not n) for n, where in enumerate(gpus_for(device, in_parts))]
        shared = until_end.enter_context(closing(Replicas(replicas))) if len(replicas) > 1 else None
        gradients = Gradients(optimizer.parameters, cores if parallel and device.type == "cpu" else None)
        state = State({"module": module, "maps": signals.maps}, optimizer, generator, device)
        identity = {"seed": context.seed, "loss": repr(loss), "settings": repr(settings), "steps": steps}
        shapes = {name: list(value.shape) for name, value in state.weights().items()}
        where = [device.type, context.precision, len(tokens), len(tokens.ids)]
        kept = Checkpoints(context, {**identity, "shapes": shapes, "where": where})
        if (found := kept.load()) is not None:
            state.restore(*found)
            if shared is not None:
                shared.spread()
            for step, measured in state.at.told:
                context.progress(step, steps, **measured)
        at = state.at

        def tell(**scalars: float) -> None:
            """Report the means since the epoch began; for language modelling, since the last report."""
            scalars["examples"] = float((at.epoch - 1) * len(tokens) + at.texts)
            at.told.append((at.step, scalars))
            context.progress(at.step, steps, **scalars)

        def lose(number: int, rows: NDArray[np.int64], drawn: Drawn, all_rows: int, where: Replica) -> Part:
            """Compute the loss of part `number` of a batch of `all_rows` rows of outputs on a device."""
            own = seeded(context.seed, at.step, number, device=where.device)
            with own if in_parts > 1 else nullcontext():
                labels, targets = recorded(examples, drawn, where.device)
                with autocast(context):
                    seen = where.signals(where.module, tokens, rows, drawn)
                if seen.logits is not None:
                    targets = seen.logits.float()
                counts = None if where.weigh is None else where.weigh(labels, targets)
                words = None if drawn.counts is None else torch.from_numpy(drawn.counts).to(where.device)
                batch = Batch(labels, drawn.rows, seen.own, seen.theirs, seen.mask, counts, words)
                value = loss(seen.student.float(), targets, batch)
            return Part(value, value if drawn.rows == all_rows else value * (drawn.rows / all_rows), batch)

        while at.epoch <= epochs:
            at.order = dict(generator.bit_generator.state)
            batches = training_batches(_Computed(tokens), settings.batch_size, generator)
            batches = islice(batches, at.done * settings.accumulate, None)
            while group := list(islice(batches, settings.accumulate)):
                pieces = [piece for rows in group for piece in split(rows, in_parts)]
                draws = [tokens.draw(rows, context.seed, at.step, part) for part, rows in enumerate(pieces)]
                all_rows = sum(drawn.rows for drawn in draws)
                work = [
                    partial(lose, number, rows, drawn, all_rows)
                    for number, (rows, drawn) in enumerate(zip(pieces, draws, strict=True))
                    if drawn.rows  # some texts have no token that can be hidden
                ]
                if shared is None:
                    parts, summed = gradients.of([partial(one, replicas[0]) for one in work])
                else:
                    parts, summed = shared.of(work)
                for part in parts:
                    state.sums.add(part.value, part.batch)
                optimizer.step(summed)
                if shared is not None:
                    shared.spread()
                at.texts += sum(map(len, group))
                at.step += 1
                at.done += 1
                if (
                    at.step % 20 == 0 or at.step == 1
                ):  # not in each step, as reading a value waits for the device
                    _finite(state.sums, f"at step {at.step} of {steps}", settings)
                    context.progress(at.step, steps)
                if tokens.redrawn and state.sums.rows and at.step % often == 0 and at.done < steps // epochs:
                    tell(**_finite(state.sums, f"at step {at.step} of {steps}", settings))
                    state.sums = Sums()
                if kept.due:
                    kept.save(state.place(), state.tensors())
            scalars = _finite(state.sums, f"after epoch {at.epoch}", settings)
            wanted = validation is not None and (settings.keep_best or settings.patience)
            if wanted and (at.epoch % scored_every == 0 or at.epoch == epochs):
                assert validation is not None
                asked = Validation(module, validation[0], context, lambda: context.progress(at.step, steps))
                watched = examples.task_type.watch(asked, validation[1])
                scalars[watched.name] = watched.value
                at.since_best += 1
                if watched.score > at.best:
                    at.best, at.since_best = watched.score, 0
                    if settings.keep_best:
                        state.keep_best()
            tell(epoch=float(at.epoch), **scalars)
            if settings.patience and at.since_best >= settings.patience:
                break
            at.epoch, at.done, at.texts, state.sums = at.epoch + 1, 0, 0, Sums()
        if state.best is not None and at.since_best:
            state.take_best()
    module.eval()


def _finite(sums: Sums, when: str, settings: Training) -> dict[str, float]:
    """Return the means of the sums; raise HarnessError if the loss is infinite or NaN."""
    means = sums.means()
    if not math.isfinite(value := means.get("loss", 0.0)):
        raise HarnessError(f"the loss is {value} {when}; try a learning_rate below {settings.learning_rate}")
    return means


class Lengths(Protocol):
    """The lengths of texts: an array (N,), or what computes some of them."""

    def __len__(self) -> int:
        """Return the number of texts."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.int64]:
        """Return the lengths of some texts."""


class _Computed:
    """The lengths of a table's texts, computed for those that are asked for."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.tokens.lengths_of(rows)


def training_batches(
    lengths: Lengths, size: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of one epoch, in random batches of texts with similar lengths.

    Up to 2²¹ texts are in one random order. More are shuffled in blocks of 2¹⁰ neighbours: the blocks have a
    random order, and the texts of 2¹⁰ blocks at a time are shuffled and divided into batches.
    """
    count = len(lengths)
    if count <= _SHUFFLED:
        yield from _shuffled(lengths, generator.permutation(count), size, generator)
        return
    blocks = generator.permutation(math.ceil(count / _BLOCK))
    rest = np.zeros(0, dtype=np.int64)  # what does not fill a batch yet
    for start in range(0, len(blocks), _TOGETHER):
        some = blocks[start : start + _TOGETHER]
        rows = (some[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1)
        rows = np.concatenate([rest, rows[rows < count]])
        rows = rows[generator.permutation(len(rows))]
        whole = len(rows) if start + _TOGETHER >= len(blocks) else len(rows) // size * size
        rest = rows[whole:].copy()
        yield from _shuffled(lengths, rows[:whole], size, generator)


def _shuffled(
    lengths: Lengths, order: NDArray[np.int64], size: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield texts that have a random order in batches, each from texts of similar length among neighbours."""
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]


def recorded(examples: Examples, drawn: Drawn, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
    """Return the labels (R,) and the teacher's logits (R, C) of a drawn batch; None if not stored."""

    def held(table: NDArray[Any] | None) -> Tensor | None:
        return None if table is None else torch.from_numpy(table[drawn.places]).to(device)

    labels = held(examples.labels) if drawn.gold is None else torch.from_numpy(drawn.gold).to(device)
    return labels, held(examples.logits)
