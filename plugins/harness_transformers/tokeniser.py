"""The tokenizer of a pretrained transformer as a tokeniser: it is known before any training."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from harness.api import Examples, Tokeniser
from harness.featurise.featuriser import Subwords
from harness_transformers.pretrained import Pretrained

_TRAINING: dict[str, Any] = {
    field.name: field.default for field in fields(Pretrained) if field.name != "longest"
}


@dataclass(frozen=True, kw_only=True)
class PretrainedSubwords(Tokeniser):
    """The subwords of a pretrained transformer, for texts, tagged words or masked tokens."""

    name = "pretrained-subwords"

    source: Pretrained
    longest: int  # maximum number of subwords read from a text, if the source does not read fewer

    @classmethod
    def of(cls, source: Pretrained, longest: int) -> PretrainedSubwords:
        """Return the tokeniser of a transformer, whatever the settings of its training."""
        return cls(source=replace(source, **_TRAINING), longest=min(longest, source.longest))

    def base(self) -> str:
        """See :class:`harness.Component`."""
        return self.source.base()

    def fit(self, transfer: Examples) -> Subwords:
        """Read the tokenizer; nothing is fitted. See :class:`harness.api.Tokeniser`."""
        from harness_transformers.folders import featuriser_of, read_config

        folder, marks = self.source.folder(), transfer.task_type.marks
        read = featuriser_of(
            folder, read_config(folder), self.source.longest, marks == "words", marks == "masks"
        )
        state = read.state()
        return read if self.longest >= read.longest else read.restore({**state, "longest": self.longest})
