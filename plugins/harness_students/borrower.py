"""What students share that take parts of a transformer: of the fitted teacher, or of a pretrained one."""

from __future__ import annotations

import harness
from harness_transformers.transformer import FineTuned


class Borrower(harness.Student):
    """A student that takes parts of what its `lender` is, such as embeddings or layers."""

    @property
    def lender(self) -> FineTuned | str:
        """A pretrained transformer, "teacher" for the fitted teacher, or another word where it takes none."""
        raise NotImplementedError

    def base(self) -> str:
        """See :class:`harness.Component`: that of the pretrained transformer."""
        return self.lender.base() if isinstance(self.lender, FineTuned) else ""

    @property
    def prior(self) -> harness.Recipe | None:
        """See :class:`harness.Component`: the language model that parts are taken of."""
        return self.lender.prior if isinstance(self.lender, FineTuned) else None

    @property
    def borrows(self) -> bool:
        """See :class:`harness.Student`: whether parts of the fitted teacher are taken."""
        return self.lender == "teacher"
