"""Paraphrase texts by translation into another language and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import harness
from harness.api import PAIR_SEPARATOR
from harness_augmenters.blocks import Copies, Prepared, Transform, blocks
from harness_transformers.transformer import Transformer

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BackTranslate(Prepared):
    """Translate texts into a pivot language and back (Sennrich et al., 2016; Xie et al., 2020).

    The default models are those of OPUS-MT (Tiedemann & Thottingal, 2020), about 300 MB for each direction.
    Any other sequence-to-sequence model, on the hub or in a local folder, can be used. Results that differ
    from their source only in case and white space are left out. The two texts of a pair are translated
    separately.
    """

    name = "back-translate"
    accelerated: ClassVar[bool] = True

    language: str = "en"  # language of the texts
    pivot: str = "de"  # language to translate into
    # Models: a hub id, a folder, or a name in HARNESS_MODELS.
    forth: str = ""  # default: Helsinki-NLP/opus-mt-<language>-<pivot>
    back: str = ""  # default: Helsinki-NLP/opus-mt-<pivot>-<language>
    forth_revision: str = "main"  # revision on the hub; give a commit, so that the weights cannot change
    back_revision: str = "main"  # the same for the model back
    temperature: Annotated[float, harness.Ge(0)] = 0.9  # sampling temperature, both ways; 0: no sampling
    beams: Annotated[int, harness.Gt(0)] = 1  # number of beams; more give likelier texts, but are slower
    longest: Annotated[int, harness.Gt(2)] = 128  # maximum length in subwords; longer texts are truncated
    batch_size: Annotated[int, harness.Gt(0)] = 32  # texts per batch
    copies: Copies = 1  # number of new texts per text

    def check(self) -> None:
        """Raise ValueError for copies that cannot differ, or for a pivot that is the language itself."""
        if self.copies > 1 and not self.temperature:
            raise ValueError(
                f"copies is {self.copies}, but with temperature 0 all copies of a text are the same; "
                "set copies = 1, or a temperature above 0"
            )
        if self.language == self.pivot and not (self.forth and self.back):
            raise ValueError(f"language and pivot are both {self.pivot!r}; expected two languages")

    def base(self) -> str:
        """Return the models' commits, or fingerprints of their folders; raise Unavailable without a model."""
        from importlib.util import find_spec

        if not (self.forth and self.back) and find_spec("sentencepiece") is None:
            raise harness.Unavailable(
                "back-translate needs the package sentencepiece for its models; "
                "install it: pip install 'distil-harness[sentencepiece]'"
            )
        return "\n".join(weights.base() for weights in self._weights())

    def note(self) -> str:
        """See :class:`harness.Component`."""
        return "; ".join(filter(None, (weights.note() for weights in self._weights())))

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that translates texts there and back, on the CPU."""
        return self.prepare_on(corpus, "cpu")

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """Return a function that translates texts there and back, block by block."""

        @cache
        def both() -> tuple[_Translator, _Translator]:  # loaded once, and only if there are texts
            forth, back = (_Translator(self, weights, device) for weights in self._weights())
            return forth, back

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts):
                rows = [row for row, text in enumerate(block) if text.strip()]
                for _ in range(self.copies if rows else 0):
                    given = [block[row].split(PAIR_SEPARATOR, 1) for row in rows]
                    flat = _there_and_back([part for parts in given for part in parts], *both(), generator)
                    new = iter(flat)
                    for row, parts in zip(rows, given, strict=True):
                        made = [next(new) for _ in parts]
                        text = PAIR_SEPARATOR.join(made)
                        whole = all(
                            there or not part.strip() for there, part in zip(made, parts, strict=True)
                        )
                        if whole and text.lower().split() != block[row].lower().split():
                            yield start + row, text

        return transform

    def _weights(self) -> tuple[Transformer, Transformer]:
        """Return the source of the weights for each direction."""
        there, again = f"{self.language}-{self.pivot}", f"{self.pivot}-{self.language}"
        return (
            Transformer(model=self.forth or f"Helsinki-NLP/opus-mt-{there}", revision=self.forth_revision),
            Transformer(model=self.back or f"Helsinki-NLP/opus-mt-{again}", revision=self.back_revision),
        )


def _there_and_back(
    texts: Sequence[str], forth: _Translator, back: _Translator, generator: np.random.Generator
) -> list[str]:
    """Return each text translated there and back; the state of torch's generators is restored."""
    import torch

    device = forth.model.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.integers(2**63)))
        return back(forth(texts))


class _Translator:
    """A translation model with its tokenizer."""

    def __init__(self, how: BackTranslate, weights: Transformer, device: str) -> None:
        from harness_transformers.inspection import loading

        folder = weights.folder()
        with loading(f"cannot load the translation model '{weights.model}'"):
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            found = AutoModelForSeq2SeqLM.from_pretrained(folder, trust_remote_code=False)
        self.model: Any = found.to(device).eval()
        self.how = how
        # The maximum number of positions, if the architecture has one.
        room = getattr(found.config, "max_position_embeddings", None) or how.longest
        self.longest = min(how.longest, room)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return a translation of each text, "" for an empty one; batches have texts of similar length."""
        import torch

        how = self.how
        drawn = {"do_sample": True, "temperature": how.temperature, "top_k": 0} if how.temperature else {}
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        full = [row for row, text in enumerate(texts) if text.strip() and ids[row]]
        order = sorted(full, key=lambda row: -len(ids[row]))
        new = [""] * len(texts)
        for start in range(0, len(order), how.batch_size):
            rows = order[start : start + how.batch_size]
            batch = self.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
            with torch.inference_mode():
                made = self.model.generate(
                    input_ids=batch["input_ids"].to(self.model.device),
                    attention_mask=batch["attention_mask"].to(self.model.device),
                    num_beams=how.beams,
                    max_length=self.longest,
                    **(drawn or {"do_sample": False}),
                )
            decoded = self.tokenizer.batch_decode(made, skip_special_tokens=True)
            for row, text in zip(rows, decoded, strict=True):
                new[row] = " ".join(text.split())
        return new
