"""Check losses: finite scalars with a gradient, whatever the size of logits or batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.api import Batch, Loss, TaskType
from harness.testing.models import Named
from harness.testing.rules import NEEDS, Rules, known, listed
from harness.testing.tiny import tiny_examples, tiny_states

if TYPE_CHECKING:
    from torch import Tensor

_VOCABULARY = 7  # how many outputs a row has, if the type has no classes


def loss_checks(loss: Loss, types: Sequence[TaskType]) -> Iterator[Named]:
    """Yield the checks of a loss, for each type of task."""
    yield "needs", partial(_check_needs, loss)
    for task_type in types:
        ways: dict[str, Callable[[Loss, TaskType], None]] = {
            "learns from a batch": _check_learns,
            "takes a batch of 1": partial(_check_takes, what="a batch of 1", rows=1),
            "is finite for logits of 10,000": partial(_check_takes, what="logits of 10,000", scale=1e4),
            "takes rows with weights": partial(
                _check_takes, what="a batch whose rows have weights", weighted=True
            ),
        }
        if "labels" in loss.needs:
            what = "a batch without gold labels"
            ways["takes rows without gold labels"] = partial(_check_takes, what=what, unlabelled=True)
        for name, check in ways.items():
            yield f"{name} ({task_type.name})", partial(check, loss, task_type)


def _check_needs(loss: Loss) -> None:
    needs = loss.needs
    Rules(loss)(f"needs must be some of {listed(NEEDS)}, got {listed(needs)}", known(needs))


def _check_learns(loss: Loss, task_type: TaskType) -> None:
    """Take the same batch for the same value, with a gradient that is not zero."""
    must, what = Rules(loss), "a batch of 8"
    first, moves = _value(loss, Drawn(loss, task_type), what)
    must("its gradient must not be zero where student and teacher differ", moves)
    must("the same batch must give the same value", _value(loss, Drawn(loss, task_type), what)[0] == first)


def _check_takes(loss: Loss, task_type: TaskType, what: str, **options: Any) -> None:
    _value(loss, Drawn(loss, task_type, **options), what)


@dataclass
class Drawn:
    """Outputs and states of random models, no more of them than the loss needs, and random labels."""

    loss: Loss
    task_type: TaskType
    rows: int = 8
    scale: float = 3.0
    unlabelled: bool = False
    weighted: bool = False

    def __post_init__(self) -> None:
        import torch

        needs, rows = self.loss.needs, self.rows
        generator = torch.Generator().manual_seed(rows)
        width = len(tiny_examples(self.task_type)[0].classes) or _VOCABULARY
        logits = torch.randn(2, rows, width, generator=generator) * self.scale
        self.student, teacher = logits.unbind()
        labels = self.task_type.draw_labels(rows, self.unlabelled, generator)
        own, theirs, mask = tiny_states(needs, rows, self.scale, generator)
        self.mine = [self.student, *_flat(own)]  # what a gradient may reach
        self.others = [teacher, labels, mask, *_flat(theirs)]
        self.teacher = teacher if "logits" in needs else None
        weights = torch.linspace(0.5, 1.5, rows) if self.weighted else None
        self.batch = Batch(labels if "labels" in needs else None, rows, own, theirs, mask, weights)

    def every(self) -> list[Tensor]:
        """Return all tensors, detached."""
        return [each.detach() for each in (*self.mine, *self.others)]


def _value(loss: Loss, drawn: Drawn, what: str) -> tuple[float, bool]:
    """Return the loss, checked, and whether its gradient is anywhere other than zero."""
    import torch

    must = Rules(loss)
    before = [each.clone() for each in drawn.every()]
    for each in drawn.mine:
        each.requires_grad_()
    with must.manage(f"it must take {what}, and ask for nothing but its needs"):
        out = loss(drawn.student, drawn.teacher, drawn.batch)
    scalar = isinstance(out, torch.Tensor) and out.shape == ()
    must(f"it must return a scalar tensor, got {getattr(out, 'shape', out)} for {what}", scalar)
    must(f"it must be finite, got {out.item()} for {what}", bool(out.isfinite()))
    pairs = zip(before, drawn.every(), strict=True)
    same = all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in pairs)
    must("it must not change the tensors that it is given", same)
    gradients = _gradients(must, loss, out, drawn.mine)
    finite = all(bool(each.isfinite().all()) for each in gradients)
    must(f"its gradient must be finite, for {what}", finite)
    return out.item(), any(bool(each.any()) for each in gradients)


def _gradients(must: Rules, loss: Loss, out: Tensor, mine: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients that reach the student's tensors, at least one."""
    import torch

    reached = "logits" if loss.needs <= {"labels", "logits"} else "logits or inner states"
    rule = f"its gradient must reach the student's {reached}"
    must(rule, out.requires_grad)
    found = torch.autograd.grad(out, list(mine), allow_unused=True)
    gradients = [each for each in found if each is not None]
    must(rule, bool(gradients))
    return gradients


def _flat(states: Mapping[str, Any]) -> list[Tensor]:
    return [part for each in states.values() for part in (each if isinstance(each, tuple) else (each,))]
