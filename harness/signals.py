"""What a loss sees of a batch beside logits and labels: both models' inner states, and weights of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harness.api import RECORDED, SCORE, Examples, HarnessError, Loss
from harness.featurise import Tokens
from harness.nn import ClassWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Signals:
    """What a loss needs beside logits: of the student, of the teacher, and the maps between their widths."""

    def __init__(
        self,
        loss: Loss,
        examples: Examples,
        teacher: tuple[torch.nn.Module, Tokens] | None,
        device: torch.device,
    ) -> None:
        self.names = frozenset(loss.needs - {"labels", "logits"})
        self.asked = self.names - RECORDED
        self.hidden = examples.hidden if "hidden" in self.names else None
        recorded = self.hidden is not None or not self.names & RECORDED
        if not recorded or (self.asked and teacher is None):
            raise HarnessError(
                f"loss '{loss.name}' needs {' and '.join(sorted(self.names))}, which no teacher gave"
            )
        self.teacher = teacher if self.asked else None
        if self.teacher is not None:
            self.teacher[0].to(device).eval()
        self.device = device
        self.maps = torch.nn.ModuleDict()

    def adapt(self, module: torch.nn.Module, tokens: Tokens) -> None:
        """Make the maps to the teacher's widths, which a pair of outputs shows."""
        if not self.names:
            return
        rows = np.zeros(1, dtype=np.int64)
        with torch.no_grad():
            _, own, theirs, _ = self(module, tokens, rows)
        for name in sorted(self.names & {"hidden", "layers"}):
            narrow, wide = (_last(found[name]).shape[-1] for found in (own, theirs))
            if narrow != wide:
                self.maps[name] = torch.nn.Linear(narrow, wide).to(self.device)

    def __call__(
        self, module: torch.nn.Module, tokens: Tokens, rows: NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, Any], dict[str, Any], Tensor]:
        """The student's logits of some texts, what else the loss needs of both models, and the mask (B, L).

        Logits and hidden states have a row for each text, or for each word that is read and tagged.
        """
        table = tokens.batch(rows)
        ids = torch.from_numpy(table).to(self.device)
        picked = tokens.picked(table)

        def of_rows(found: Tensor) -> Tensor:  # (texts, L, ...) -> (words, ...)
            return found if picked is None else found[torch.from_numpy(picked).to(self.device)]

        if not self.names:
            return of_rows(module(ids)), {}, {}, ids != tokens.padding
        outputs: Any = module.outputs
        own: dict[str, Any] = outputs(ids, self.names)
        student = of_rows(own.pop("logits"))
        if "hidden" in own:
            own["hidden"] = of_rows(own["hidden"])
        for name, mapped in self.maps.items():
            found = own[name]
            own[name] = tuple(map(mapped, found)) if isinstance(found, tuple) else mapped(found)
        theirs: dict[str, Any] = {}
        if self.teacher is not None:
            teacher, read = self.teacher
            ask: Any = teacher.outputs
            with torch.no_grad():
                theirs = ask(torch.from_numpy(read.batch(rows)).to(self.device), self.asked)
        if self.hidden is not None:
            theirs["hidden"] = torch.from_numpy(self.hidden[tokens.targets(rows)]).to(self.device).float()
        return student, own, theirs, ids != tokens.padding


def _last(found: Tensor | tuple[Tensor, ...]) -> Tensor:
    return found[-1] if isinstance(found, tuple) else found


def class_weights(examples: Examples, how: ClassWeights, device: torch.device) -> Tensor | None:
    """(C,): the weight of a row of each class, 1 on average over the labelled rows; None for all alike.

    Scores have no classes, so that they are all alike.
    """
    if how == "uniform" or examples.labels is None or examples.classes == SCORE:
        return None
    labels = examples.labels[examples.labels >= 0]
    counts = np.bincount(labels, minlength=len(examples.classes)).astype(np.float64)
    wanted = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
    if how == "square-root":
        wanted = np.sqrt(wanted)
    mean = (wanted * counts).sum() / max(1.0, counts.sum())
    return torch.from_numpy((wanted / mean).astype(np.float32)).to(device) if mean else None


def row_weights(weights: Tensor, labels: Tensor | None, teacher: Tensor | None) -> Tensor:
    """(B,): by gold label, or by the teacher's where a row has none; 1 where it has neither."""
    assert labels is not None
    known = labels.clamp(min=0) if teacher is None else torch.where(labels >= 0, labels, teacher.argmax(1))
    found = weights[known]
    return found if teacher is not None else torch.where(labels >= 0, found, torch.ones_like(found))
