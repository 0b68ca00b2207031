"""Replace words by others of the same part of speech."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module, metadata
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import harness
from harness_augmenters.blocks import Words
from harness_augmenters.classes import sample, word_classes
from harness_augmenters.lexicon import Lexicon
from harness_augmenters.words import Substitutes, Substitution, WordClasses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAGGED = 500_000  # approximate number of words that spaCy tags to count frequencies


@dataclass(frozen=True)
class PartOfSpeechReplace(Substitution):
    """Replace words by others of the same part of speech, drawn by frequency (Tang et al., 2019).

    By default, word classes that are found in the corpus replace parts of speech. This needs no download and
    works for any language, but is less accurate than a tagger; see :mod:`harness_augmenters.classes`. Words
    that are too rare to have a class are not replaced.
    """

    name = "pos-replace"

    # The default does not depend on what is installed, so a suite gives the same texts on every machine.
    tagger: Literal["clusters", "spacy"] = "clusters"  # word classes from the corpus, or spaCy's tags
    classes: Annotated[int, harness.Gt(1)] = 120  # for "clusters": number of groups of words
    pipeline: str = "en_core_web_sm"  # for "spacy": name or folder of an installed pipeline

    def base(self) -> str:
        """Return the versions of spaCy and of the pipeline (a digest for a folder); "" for clusters."""
        return _release(self.pipeline) if self.tagger == "spacy" else ""

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """Return the words of the corpus by class or by tag."""
        if self.tagger == "spacy":
            return _tagged(_load(self.pipeline), self.pipeline, corpus)
        # The classes depend only on the corpus; copies differ in the words that are drawn.
        words, counts, classes = word_classes(corpus, self.classes, seed=0)
        lexicon = Lexicon(words, counts, classes)
        return WordClasses(lexicon, dict(zip(words, lexicon.codes, strict=True)))


@dataclass
class _Tagged:
    """Substitutes from a lexicon in which a word has one code per tag."""

    lexicon: Lexicon
    codes: dict[tuple[str, str], int]
    nlp: Any
    block: Words | None = None
    block_codes: NDArray[np.intp] | None = field(default=None)

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        import numpy as np

        if self.block is not block or self.block_codes is None:
            split = (
                block.of(np.arange(start, end))
                for start, end in zip(block.firsts[:-1], block.firsts[1:], strict=True)
            )
            tagged = map(self.codes.get, _tags(self.nlp, split), repeat(-1))
            self.block_codes = np.fromiter(tagged, dtype=np.intp, count=len(block))
            self.block = block
        return self.block_codes[words]

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        return self.lexicon.others(codes, generator)


def _tagged(nlp: Any, pipeline: str, corpus: Sequence[str]) -> _Tagged:
    counts = Counter(_tags(nlp, (text.split() for text in sample(corpus, TAGGED))))
    numbers: dict[str, int] = {}
    classes = [numbers.setdefault(tag, len(numbers)) for tag, _ in counts]
    if set(numbers) == {""}:
        raise harness.HarnessError(
            f"cannot use the spaCy pipeline {pipeline!r}: it does not tag parts of speech; "
            "choose one with a tagger"
        )
    lexicon = Lexicon([word for _, word in counts], list(counts.values()), classes)
    return _Tagged(lexicon, dict(zip(counts, lexicon.codes, strict=True)), nlp)


def _tags(nlp: Any, texts: Iterator[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield (tag, word) of each word."""
    doc = import_module("spacy.tokens").Doc
    # Pass texts in pieces, since the buffers of a pipeline grow with its input.
    while some := list(islice(texts, 1024)):
        for tagged in nlp.pipe(doc(nlp.vocab, words=words) for words in some if words):
            for token in tagged:
                yield token.tag_ or token.pos_, token.text


def _load(pipeline: str) -> Any:
    try:
        spacy = import_module("spacy")
    except ImportError as error:
        raise harness.Unavailable(_NO_SPACY) from error
    try:
        return spacy.load(pipeline, exclude=["parser", "senter", "ner", "lemmatizer"])
    except OSError as error:
        raise harness.Unavailable(_not_installed(pipeline)) from error


def _release(pipeline: str) -> str:
    """Return the identity of a pipeline, without the import of spaCy, which takes seconds."""
    try:
        library = f"spacy {metadata.version('spacy')}"
    except metadata.PackageNotFoundError:
        raise harness.Unavailable(_NO_SPACY) from None
    try:
        return f"{library}, {pipeline} {metadata.version(pipeline)}"
    except (metadata.PackageNotFoundError, ValueError):  # ValueError: not a possible name of a package
        folder = Path(pipeline)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if folder / "meta.json" not in files:
        raise harness.Unavailable(_not_installed(pipeline))
    content = blake2b(digest_size=16)
    for path in files:
        content.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        content.update(path.read_bytes())
    return f"{library}, {content.hexdigest()}"


_NO_SPACY = 'pos-replace with tagger = "spacy" needs spaCy; install it: pip install spacy'


def _not_installed(pipeline: str) -> str:
    return (
        f"the spaCy pipeline {pipeline!r} is not installed; install it: python -m spacy download {pipeline}"
    )
