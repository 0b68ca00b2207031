"""Students that take parts of a transformer: of the fitted teacher, or of a pretrained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    from harness.api import Tokeniser


class Borrower(harness.Student):
    """A student that takes parts of its `lender`, such as embeddings or layers."""

    @property
    def lender(self) -> FineTuned | str:
        """Return a pretrained transformer, "teacher" for the fitted teacher, or another word for neither."""
        raise NotImplementedError

    def base(self) -> str:
        """Return the base of the pretrained transformer; see :class:`harness.Component`."""
        return self.lender.base() if isinstance(self.lender, FineTuned) else ""

    @property
    def prior(self) -> harness.Recipe | None:
        """Return the recipe of the language model that lends its parts; see :class:`harness.Component`."""
        return self.lender.prior if isinstance(self.lender, FineTuned) else None

    @property
    def borrows(self) -> bool:
        """Return whether the fitted teacher is the lender; see :class:`harness.Student`."""
        return self.lender == "teacher"

    def tokeniser(self, teacher: harness.Teacher | None = None) -> Tokeniser | None:
        """Return the tokenizer of the lender, if it is known before the lender is fitted."""
        lends = self.lender == "teacher"
        lender = teacher if lends else self.lender
        if not isinstance(lender, FineTuned):
            return None if lends else super().tokeniser(teacher)
        if lender.prior is not None:
            return None
        from harness_transformers.tokeniser import PretrainedSubwords

        return PretrainedSubwords.of(lender, getattr(self, "longest", lender.longest))

    def refuses(self, teacher: harness.Teacher) -> str:
        """Return why the teacher has no embeddings; see :class:`harness.Student`."""
        network = teacher.accelerated or teacher.gives - {"logits"}
        if network or isinstance(getattr(teacher, "student", None), Borrower):
            return ""
        return (
            f"student '{self.name}' takes embeddings of its teacher, but teacher '{teacher.name}' has none; "
            'set `embeddings` to a pretrained model, such as { use = "minilm" }'
        )
