"""Words for words of the same part of speech."""

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

TAGGED = 500_000  # words of the corpus, about, that spaCy tags for the frequencies


@dataclass(frozen=True)
class PartOfSpeechReplace(Substitution):
    """Words become other words of their part of speech, drawn by frequency (Tang et al., 2019).

    By default word classes found in the corpus itself stand in for parts of speech, which needs no
    download and fits any language, but is right less often than a tagger: see
    :mod:`harness_augmenters.classes`. Words too rare to have a class stay.
    """

    name = "pos-replace"

    # Never chosen by what is installed: the same suite would give other texts on another machine.
    tagger: Literal["clusters", "spacy"] = "clusters"
    classes: Annotated[int, harness.Gt(1)] = 120  # groups of words, for clusters
    pipeline: str = "en_core_web_sm"  # an installed pipeline's name or folder, for spaCy

    def base(self) -> str:
        """The pipeline and the spaCy that tag, with their releases; of a folder, what its files hold."""
        return _release(self.pipeline) if self.tagger == "spacy" else ""

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """The corpus's words by class or by tag."""
        if self.tagger == "spacy":
            return _tagged(_load(self.pipeline), self.pipeline, corpus)
        # The classes depend on the corpus alone: copies differ by what is drawn from them.
        words, counts, classes = word_classes(corpus, self.classes, seed=0)
        lexicon = Lexicon(words, counts, classes)
        return WordClasses(lexicon, dict(zip(words, lexicon.codes, strict=True)))


@dataclass
class _Tagged:
    """Substitutes from a lexicon in which a word has a code for each tag."""

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
        raise harness.HarnessError(f"the spaCy pipeline {pipeline!r} tags no parts of speech")
    lexicon = Lexicon([word for _, word in counts], list(counts.values()), classes)
    return _Tagged(lexicon, dict(zip(counts, lexicon.codes, strict=True)), nlp)


def _tags(nlp: Any, texts: Iterator[list[str]]) -> Iterator[tuple[str, str]]:
    """(Tag, word) of each word, one after another."""
    doc = import_module("spacy.tokens").Doc
    # In pieces, since a pipeline's buffers grow with what it is given at once.
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
    """What tells one pipeline from another, without importing spaCy: that takes seconds."""
    try:
        library = f"spacy {metadata.version('spacy')}"
    except metadata.PackageNotFoundError:
        raise harness.Unavailable(_NO_SPACY) from None
    try:
        return f"{library}, {pipeline} {metadata.version(pipeline)}"
    except (metadata.PackageNotFoundError, ValueError):  # of names that no package can have
        folder = Path(pipeline)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if folder / "meta.json" not in files:
        raise harness.Unavailable(_not_installed(pipeline))
    content = blake2b(digest_size=16)
    for path in files:
        content.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        content.update(path.read_bytes())
    return f"{library}, {content.hexdigest()}"


_NO_SPACY = 'pos-replace with tagger = "spacy" needs spaCy: pip install spacy'


def _not_installed(pipeline: str) -> str:
    return f"the spaCy pipeline {pipeline!r} is not installed: python -m spacy download {pipeline}"
