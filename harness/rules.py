"""What the checks of :mod:`harness.testing` are told by, and what they ask of a loss's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.api import Batch, Component, HarnessError, Loss, Unavailable
from harness.tiny import tiny_states

# What a loss may ask for.
NEEDS = frozenset({"labels", "logits", "hidden", "layers", "attention", "relations", "mlm"})


class Rules:
    """``must(rule, holds)``: AssertionError with the component and the rule unless it holds."""

    def __init__(self, component: Component) -> None:
        self.who = f"{component.kind} '{component.name}'"

    def __call__(self, rule: str, holds: bool) -> None:
        """Raise unless the rule holds."""
        if not holds:
            raise AssertionError(f"{self.who}: {rule}")

    @contextmanager
    def manage(self, rule: str) -> Iterator[None]:
        """Whatever is raised within breaks the rule, but for what is absent here."""
        try:
            yield
        except (AssertionError, Unavailable):
            raise
        except Exception as error:
            why = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{self.who}: {rule}, but: {why.strip().splitlines()[0]}") from error


def widths_of(component: Component) -> list[int]:
    """How many outputs to check a component with: three classes, or the one score of a regression."""
    outputs = {"classification": 3, "regression": 1}
    return [width for kind, width in outputs.items() if kind in component.task_types]


def known(needs: frozenset[str]) -> bool:
    """Whether these are names of what a loss may ask for, and one at least."""
    return bool(needs) and needs <= NEEDS


def listed(names: frozenset[str]) -> str:
    """Names for people."""
    return ", ".join(sorted(names)) or "nothing"


def check_values(must: Rules, loss: Loss, classes: int) -> None:
    """That a loss is finite for all sorts of batches, and has a gradient."""
    import torch

    needs = loss.needs

    reached = "logits" if needs <= {"labels", "logits"} else "logits or inner states"

    def flat(states: Mapping[str, Any]) -> list[torch.Tensor]:
        return [part for each in states.values() for part in (each if isinstance(each, tuple) else (each,))]

    def value(
        rows: int, what: str, scale: float = 3.0, unlabelled: bool = False, weighted: bool = False
    ) -> tuple[float, bool]:
        """The loss of random models that give no more than it needs, and whether its gradient moves."""
        generator = torch.Generator().manual_seed(rows)
        student, teacher = (torch.randn(2, rows, classes, generator=generator) * scale).unbind()
        labels = torch.randint(0, 3, (rows,), generator=generator)
        labels = labels if classes > 1 else labels.float()
        labels[0 if unlabelled else rows // 2 + 1 :] = -1 if classes > 1 else torch.nan
        own, theirs, mask = tiny_states(needs, rows, scale, generator)
        mine = [student, *flat(own)]
        others = [teacher, labels, mask, *flat(theirs)]
        before = [each.clone() for each in (*mine, *others)]
        for each in mine:
            each.requires_grad_()
        weights = torch.linspace(0.5, 1.5, rows) if weighted else None
        batch = Batch(labels if "labels" in needs else None, rows, own, theirs, mask, weights)
        with must.manage(f"it must take {what}, and ask for nothing but its needs"):
            out = loss(student, teacher if "logits" in needs else None, batch)
        scalar = isinstance(out, torch.Tensor) and out.shape == ()
        must(f"it must give a scalar tensor, got {getattr(out, 'shape', out)} for {what}", scalar)
        must(f"it must be finite, got {out.item()} for {what}", bool(out.isfinite()))
        after = [each.detach() for each in (*mine, *others)]
        same = all(
            torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(before, after, strict=True)
        )
        must("it must not change the tensors that it is given", same)
        must(f"its gradient must reach the student's {reached}", out.requires_grad)
        found = torch.autograd.grad(out, mine, allow_unused=True)
        gradients = [each for each in found if each is not None]
        must(f"its gradient must reach the student's {reached}", bool(gradients))
        finite = all(bool(each.isfinite().all()) for each in gradients)
        must(f"its gradient must be finite, for {what}", finite)
        return out.item(), any(bool(each.any()) for each in gradients)

    first, moves = value(8, "a batch of 8")
    must("its gradient must not be zero where student and teacher differ", moves)
    must("the same batch must give the same value", value(8, "a batch of 8")[0] == first)
    value(1, "a batch of 1")
    value(8, "logits of 10,000", scale=1e4)
    value(8, "a batch whose rows have weights", weighted=True)
    if "labels" in needs:
        value(8, "a batch without gold labels", unlabelled=True)
