"""Several teachers, used as one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import harness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.api import Precision

Average = Literal["probabilities", "logits"]


FILE = "ensemble.json"


@dataclass(frozen=True, kw_only=True)
class Ensemble(harness.Teacher):
    """The average of several teachers (Dietterich, 2000; as a teacher: Hinton et al., 2015).

    Equal members get different seeds. The members are fitted separately. A member that is also a teacher of
    the suite is fitted only once.
    """

    name = "ensemble"

    of: Annotated[tuple[harness.Teacher, ...], harness.MinLen(2)]
    average: Average = "probabilities"  # "logits": members with larger logits count more
    weights: tuple[Annotated[float, harness.Ge(0)], ...] = ()  # one for each member; empty: equal weights

    def check(self) -> None:
        """Raise ValueError if there are too few members, or if the weights do not fit them."""
        if len(self.of) < 2:
            raise ValueError(f"expected two or more teachers in `of`, got {len(self.of)}")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"expected {len(self.of)} weights, one per teacher, got {len(self.weights)}")
        if self.weights and not any(self.weights):
            raise ValueError("expected a weight above 0, got zeros only")

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Return whether a GPU speeds up any member."""
        return any(member.accelerated for member in self.of)

    @property
    def runs_on_gpu(self) -> bool:
        """Return whether any member can run on a GPU."""
        return any(member.runs_on_gpu for member in self.of)

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that every member is for."""
        return harness.api.types_of_all(self.of)

    @property
    def spreads(self) -> bool:  # type: ignore[override]
        """Return whether any member uses idle cores."""
        return any(member.spreads for member in self.of)

    @property
    def mixed_precision(self) -> bool:  # type: ignore[override]
        """Return whether any member can use it; the others use fp32."""
        return any(member.mixed_precision for member in self.of)

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the expected speed: separate steps train the members, and all members label each text."""
        return harness.Speed(math.inf, 1 / sum(1 / member.speed.label for member in self.of))

    def operations(self, words: float) -> harness.Operations:
        """Return the operations of all members, if they are known of all: separate steps train them."""
        asked = [member.operations(words).label for member in self.of]
        known = [operations for operations in asked if operations is not None]
        return harness.Operations(0.0, sum(known)) if len(known) == len(asked) else harness.Operations()

    @property
    def members(self) -> tuple[harness.Teacher, ...]:
        """See :class:`harness.Teacher`."""
        return self.of

    def joined(self, models: Sequence[harness.Model], task_type: harness.TaskType) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return EnsembleModel(self, models, task_type)

    def base(self) -> str:
        """Return the bases of the members, in their order; see :class:`harness.Component`."""
        return "\n".join(member.base() for member in self.of)

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """Fit the members one after another. See :class:`harness.Teacher`."""
        models = [
            member.fit(train, validation, _MemberContext.of(self, place, context))
            for place, member in enumerate(self.of)
        ]
        return self.joined(models, train.task_type)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        models = [
            member.load(folder / str(place), _MemberContext.of(self, place, context))
            for place, member in enumerate(self.of)
        ]
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return self.joined(models, harness.TaskType.known[kept["task_type"]]())


class EnsembleModel(harness.Model):
    """The models of the members, saved in numbered subfolders."""

    def __init__(
        self, teacher: Ensemble, models: Sequence[harness.Model], task_type: harness.TaskType
    ) -> None:
        weights = teacher.weights or (1.0,) * len(models)
        self.shares = [weight / sum(weights) for weight in weights]
        self.average = teacher.average
        self.models = tuple(models)
        self.task_type = task_type

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean logits or scores, or the task type's average of probabilities, (R, C).

        A member's row of zeros is ignored: it belongs to a word that the member does not read.
        """
        import numpy as np

        asked = [(model, share) for model, share in zip(self.models, self.shares, strict=True) if share]
        logits = [model.predict(texts).astype(np.float64) for model, _ in asked]  # (R, C) each
        shares = [share for _, share in asked]
        if self.average != "logits":
            return self.task_type.average(logits, shares).astype(np.float32)
        total, heard = np.zeros_like(logits[0]), np.zeros((len(logits[0]), 1))
        for each, share in zip(logits, shares, strict=True):
            total = total + share * each
            says = each.any(axis=1, keepdims=True) | (each.shape[1] == 1)  # 0 is a score like any other
            heard = heard + share * says
        return np.where(heard, total / np.where(heard, heard, 1.0), 0.0).astype(np.float32)

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        for place, model in enumerate(self.models):
            (inner := folder / str(place)).mkdir()
            model.save(inner)
        kept = {"members": len(self.models), "task_type": self.task_type.name}
        (folder / FILE).write_text(json.dumps(kept), encoding="utf-8")

    def parameters(self) -> harness.Parameters:
        """Return the sums of the members' parameters."""
        counted = [model.parameters() for model in self.models]
        return harness.Parameters(
            total=sum(each.total for each in counted),
            trainable=sum(each.trainable for each in counted),
            embedding=sum(each.embedding for each in counted),
        )


@dataclass(frozen=True)
class _MemberContext:
    """The context of one member of an ensemble."""

    whole: harness.Context
    place: int
    members: int
    seed: int
    precision: Precision

    @classmethod
    def of(cls, teacher: Ensemble, place: int, context: harness.Context) -> _MemberContext:
        """Return the context of the member at index `place`."""
        seed = harness.api.seed_of_repetition(context.seed, teacher.of[:place].count(teacher.of[place]))
        precision: Precision = context.precision if teacher.of[place].mixed_precision else "fp32"
        return cls(context, place, len(teacher.of), seed, precision)

    @property
    def device(self) -> str:
        return self.whole.device

    @property
    def threads(self) -> int:
        return self.whole.threads

    @property
    def cores(self) -> int:
        return self.whole.cores

    @property
    def scratch(self) -> Path:
        """Return a folder for this member only, as members may use the same file names."""
        (folder := self.whole.scratch / str(self.place)).mkdir(exist_ok=True)
        return folder

    @property
    def teacher(self) -> harness.Model | None:
        return self.whole.teacher

    @property
    def prior(self) -> harness.Model | None:
        return self.whole.prior

    @property
    def tokens(self) -> None:
        """Return None: a student's ids are made for it alone."""

    @property
    def checkpoints(self) -> Path | None:
        """Return None: the checkpoints of members could not be distinguished."""
        return None

    def progress(self, done: int, total: int, **scalars: float) -> None:
        self.whole.progress(self.place * total + done, self.members * total, **scalars)

    def warn(self, message: str) -> None:
        self.whole.warn(message)
