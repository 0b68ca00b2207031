"""Check what a type of task gives to training: losses, weights, targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.api import Batch, Examples, HarnessError
from harness.testing.task_types.common import TinyType

_CLOSE = 1e-6  # how far an average of equal outputs may be from them


class LearningChecks(TinyType):
    """Checks of what training needs from a type: losses, targets, weights."""

    def _batch(self, unlabelled: bool = False) -> tuple[Any, Batch]:
        """Return logits (8, C) and a batch of labels."""
        import torch

        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(8, len(self.parts()[0].classes) or 7, generator=generator)
        with self.must.manage("draw_labels must take rows and a generator"):
            labels = self.type.draw_labels(8, unlabelled, generator)
        return logits, Batch(labels, 8)

    def _loss(self, logits: Any, batch: Batch) -> tuple[Any, Any]:
        """Return the loss of gold labels and its gradient."""
        import torch

        given = logits.clone().requires_grad_()
        with self.must.manage("gold_loss must take logits and a batch"):
            out = self.type.gold_loss(given, batch)
        scalar = isinstance(out, torch.Tensor) and out.shape == () and bool(out.isfinite())
        self.must(f"gold_loss must return a finite scalar tensor, got {out}", scalar)
        self.must("the gradient of gold_loss must reach the logits", out.requires_grad)
        (gradient,) = torch.autograd.grad(out, [given])
        self.must("the gradient of gold_loss must be finite", bool(gradient.isfinite().all()))
        return out.detach(), gradient

    def check_loss(self) -> None:
        """Return a finite loss with a gradient, also without any label; count rows by their weights."""
        import torch

        logits, batch = self._batch()
        out, gradient = self._loss(logits, batch)
        self.must("the gradient of gold_loss must not be zero", bool(gradient.any()))
        self._loss(*self._batch(unlabelled=True))
        for factor in (1.0, 2.0):
            weighted = Batch(batch.labels, 8, weights=torch.full((8,), factor))
            same = torch.allclose(self._loss(logits, weighted)[0], factor * out, rtol=1e-5)
            self.must("gold_loss must multiply the loss of each row by its weight", same)

    def check_unlabelled(self) -> None:
        """Leave rows without a label out of the loss."""
        import torch

        if self.type.stored() is None:
            return
        train, gold = self.gold()
        first = train.texts[0]
        labels = self.read([gold(0, first), gold(-1, first)], train.classes)
        rows, given = len(labels) // 2, torch.from_numpy(labels.copy())
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2 * rows, len(train.classes), generator=generator)
        out, gradient = self._loss(logits, Batch(given, 2 * rows))
        alone, _ = self._loss(logits[:rows], Batch(given[:rows], rows))
        self.must("rows without a label must not count in gold_loss", torch.allclose(out, alone, rtol=1e-5))
        self.must("rows without a label must have no gradient of gold_loss", not gradient[rows:].any())

    def check_drawn(self) -> None:
        """Draw labels of the form that examples have, for checks of losses."""
        for unlabelled in (False, True):
            labels = self._batch(unlabelled)[1].labels
            assert labels is not None
            expected = self.parts()[0].labels
            self.must("draw_labels must return a label for each row", len(labels) == 8)
            same = expected is None or labels.shape[1:] == expected.shape[1:]
            self.must("draw_labels must return labels of the shape that tiny examples have", same)

    def check_weights(self) -> None:
        """Count all rows alike by default, and otherwise by weights above or at 0, or not at all."""
        train = self.parts()[0]
        with self.must.manage("row_weights must take 'uniform'"):
            uniform = self.type.row_weights(train, "uniform", "cpu")
        self.must("row_weights must return None for 'uniform'", uniform is None)
        try:
            weights = self.type.row_weights(train, "balanced", "cpu")
        except HarnessError:
            return  # not for this type
        if weights is not None:
            self._check_weights(train, weights)

    def _check_weights(self, train: Examples, weights: Callable[[Any, Any], Any]) -> None:
        import torch

        gold, teacher = (
            None if array is None else torch.from_numpy(array.copy())
            for array in (train.labels, train.logits)
        )
        with self.must.manage("weights of rows must take labels and the teacher's logits"):
            found = weights(gold, teacher)
        rows = int(self.type.rows_before(train.texts)[-1])
        sound = found.shape == (rows,) and bool(found.isfinite().all()) and bool((found >= 0).all())
        self.must(f"weights of rows must be {rows} finite numbers, none below 0", sound)

    def check_targets(self) -> None:
        """Return targets of logits, or of labels, for the rows that have one."""
        if not self.implements("targets"):
            return
        train = self.parts()[0]
        rows = int(self.type.rows_before(train.texts)[-1])
        for what, examples in (("logits", train), ("labels", replace(train, logits=None))):
            with self.must.manage(f"targets must take {what}"):
                found = self.type.targets(examples)
            self.must(f"targets must return those of {what}", found is not None)
            assert found is not None
            has, values = found
            sound = (
                has.shape == (rows,) and has.dtype == bool and values.ndim == 2 and len(values) == has.sum()
            )
            self.must(f"targets of {what} must be a mask of rows, and a row for each that has one", sound)
            self.must(f"targets of {what} must be finite", bool(np.isfinite(values).all()))
        none = self.type.targets(replace(train, logits=None, labels=None))
        self.must("targets must return None without logits and labels", none is None)

    def check_average(self) -> None:
        """Average the outputs of equal models to outputs that decide the same."""
        train = self.parts()[0]
        if train.logits is None or not self.implements("average"):
            return
        logits = train.logits.astype(np.float64)
        with self.must.manage("average must take logits and shares"):
            found = self.type.average([logits, logits], [1.0, 3.0])
        self.must("average must return outputs of the same shape", found.shape == logits.shape)
        sure = self.type.confidence(found.astype(np.float32))
        same = np.allclose(sure, self.type.confidence(train.logits), atol=_CLOSE)
        same &= bool((found.argmax(axis=1) == logits.argmax(axis=1)).all())
        self.must("average of equal outputs must be worth what each of them is", same)
