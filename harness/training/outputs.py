"""Collect the inputs of a loss beyond logits and labels: the inner states of both models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.api import Examples, HarnessError, Loss
from harness.featurise.tokens import Drawn, Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Seen(NamedTuple):
    """The outputs of student and teacher for a batch of R rows."""

    student: Tensor  # (R, C), logits
    logits: Tensor | None  # (R, C), the teacher's, if it runs during training
    own: dict[str, Any]  # further outputs of the student, by name
    theirs: dict[str, Any]  # and of the teacher, by name
    mask: Tensor  # (B, L), False for padding


class Signals:
    """The outputs that a loss needs of both models, and linear maps between their widths.

    Outputs that are not stored with the examples come from the teacher, which then runs during training.
    Raise HarnessError if there is no teacher for them.
    """

    def __init__(
        self,
        loss: Loss,
        examples: Examples,
        teacher: tuple[torch.nn.Module, Tokens] | None,
        device: torch.device,
    ) -> None:
        self.names = frozenset(loss.needs - {"labels", "logits"})
        self.asked = unrecorded(loss, examples)
        self.hidden = examples.hidden if "hidden" in self.names else None
        if self.asked & self.names and teacher is None:
            raise HarnessError(
                f"loss '{loss.name}' needs {' and '.join(sorted(self.names))}, but there is no teacher"
            )
        self.teacher = teacher if self.asked else None
        if self.teacher is not None:
            self.teacher[0].to(device).eval()
        self.device = device
        self.maps = torch.nn.ModuleDict()

    def adapt(self, module: torch.nn.Module, tokens: Tokens) -> None:
        """Create the maps to the teacher's widths, which are found from one example."""
        if not self.names:
            return
        rows = np.zeros(1, dtype=np.int64)
        with torch.no_grad():
            seen = self(module, tokens, rows, tokens.draw(rows, 0, 0, 0))
        for name in sorted(self.names & {"hidden", "layers"}):
            narrow, wide = (_last(found[name]).shape[-1] for found in (seen.own, seen.theirs))
            if narrow != wide:
                self.maps[name] = torch.nn.Linear(narrow, wide).to(self.device)

    def __call__(
        self, module: torch.nn.Module, tokens: Tokens, rows: NDArray[np.int64], drawn: Drawn
    ) -> Seen:
        """Return the outputs of both models for a drawn batch."""
        ids = torch.from_numpy(drawn.ids).to(self.device)

        def of_rows(found: Tensor) -> Tensor:  # (texts, L, ...) -> (words, ...)
            return found if drawn.picked is None else found[torch.from_numpy(drawn.picked).to(self.device)]

        own: dict[str, Any] = {}
        if self.names or tokens.selects:  # with marked ids, the logits are those of the marks
            outputs: Any = module.outputs
            own = outputs(ids, self.names)
            student = of_rows(own.pop("logits"))
        else:
            student = of_rows(module(ids))
        if "hidden" in own:
            own["hidden"] = of_rows(own["hidden"])
        for name, mapped in self.maps.items():
            found = own[name]
            own[name] = tuple(map(mapped, found)) if isinstance(found, tuple) else mapped(found)
        logits: Tensor | None = None
        theirs: dict[str, Any] = {}
        if self.teacher is not None:
            teacher, read = self.teacher
            ask: Any = teacher.outputs
            same = ids if read is tokens else torch.from_numpy(read.batch(rows)).to(self.device)
            with torch.no_grad():
                theirs = ask(same, self.asked - {"logits"})
            if "logits" in self.asked:
                logits = of_rows(theirs["logits"])
            if "hidden" in theirs:
                theirs["hidden"] = of_rows(theirs["hidden"])
        if self.hidden is not None:
            assert drawn.places is not None
            theirs["hidden"] = torch.from_numpy(self.hidden[drawn.places]).to(self.device).float()
        return Seen(student, logits, own, theirs, ids != tokens.padding)


def unrecorded(loss: Loss, examples: Examples) -> frozenset[str]:
    """Return the teacher's outputs that a loss needs and the examples do not contain."""
    held = {"logits": examples.logits, "hidden": examples.hidden}
    return loss.needs - {"labels", *(name for name, table in held.items() if table is not None)}


def _last(found: Tensor | tuple[Tensor, ...]) -> Tensor:
    return found[-1] if isinstance(found, tuple) else found
