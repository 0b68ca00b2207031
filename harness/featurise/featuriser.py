"""Texts → integer ids, without torch: what a model and its exported form share."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from harness.featurise.tokens import PADDING as PADDING
from harness.featurise.tokens import MaskedTokens as MaskedTokens
from harness.featurise.tokens import Tokens as Tokens
from harness.featurise.tokens import WordTokens as WordTokens
from harness.featurise.tokens import batches_by_length as batches_by_length
from harness.values import MASK, PAIR_SEPARATOR, HarnessError, words_before

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

UNKNOWN = 1
FILE = "featuriser.json"
_CHUNK = 4096
_IN_MEMORY = 20_000_000  # ids; a longer table lies on disk


Run = Callable[["NDArray[np.int64]"], "NDArray[np.float32]"]  # ids (B, L) → a model's outputs


def run_all(tokens: Tokens, run: Run, width: int | None, at_once: int) -> NDArray[np.float32]:
    """Return the outputs (R, C) of all rows of some texts, in order; rows that are not read are zeros.

    Without `width`, C is that of the outputs.
    """
    table = None if width is None else np.zeros((tokens.outputs, width), dtype=np.float32)
    for rows in batches_by_length(tokens, at_once):
        ids = tokens.batch(rows)
        block = run(ids)
        if (picked := tokens.picked(ids)) is not None:
            block = block[picked]
        if table is None:
            table = np.zeros((tokens.outputs, block.shape[1]), dtype=np.float32)
        table[tokens.targets(rows)] = block
    return table if table is not None else np.empty((0, 0), dtype=np.float32)


class Featuriser(ABC):
    """Turns texts into ids. Saved as JSON; loaded by its `type`, never by a path from the file."""

    type: ClassVar[str]
    marks: ClassVar[Literal["", "words", "masks"]] = ""  # what has a row of outputs, if not each text
    size: int  # ids are below this, but for that mark
    padding: int = PADDING
    _known: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        if "type" in vars(cls):
            Featuriser._known[cls.type] = cls

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; at least one each."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs, as JSON values."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, Any]) -> Featuriser:
        """The featuriser whose `state` this is."""

    def tokens(self, texts: Sequence[str], scratch: Path | None = None) -> Tokens:
        """Encode any number of texts; past some millions of ids the table lies in `scratch`."""
        lengths = np.zeros(len(texts) + 1, dtype=np.int64)
        blocks: list[NDArray[np.int32]] = []
        held = 0
        spilled: Path | None = None
        for start in range(0, len(texts), _CHUNK):
            encoded = self.encode(texts[start : start + _CHUNK])
            lengths[start + 1 : start + 1 + len(encoded)] = [len(ids) for ids in encoded]
            blocks.append(np.fromiter((i for ids in encoded for i in ids), dtype=np.int32))
            held += len(blocks[-1])
            if held > _IN_MEMORY and scratch is not None:
                if spilled is None:  # a name of its own: the same folder may serve for several tables
                    number, name = mkstemp(prefix="tokens-", suffix=".bin", dir=scratch)
                    os.close(number)
                    spilled = Path(name)
                with spilled.open("ab") as stream:
                    stream.writelines(block.tobytes() for block in blocks)
                blocks, held = [], 0
        if spilled is not None:
            with spilled.open("ab") as stream:
                stream.writelines(block.tobytes() for block in blocks)
            ids: NDArray[np.int32] = np.memmap(spilled, dtype=np.int32, mode="r")
        else:
            ids = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int32)
        return self._table(ids, np.cumsum(lengths), texts)

    def _table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        return Tokens(ids, offsets, self.padding)

    # -- how a model is run: on one text, on many, and to trace its graph

    def given(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of one text as a model reads them, (1, L)."""
        return np.array([ids], dtype=np.int64)

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of one text: (C,) here, (R, C) if its words or masks have rows of their own."""
        return outputs[0]  # type: ignore[no-any-return]

    def predict(self, texts: Sequence[str], run: Run, width: int, at_once: int) -> NDArray[np.float32]:
        """Return the outputs (R, C) of many texts, in their order.

        `run` maps ids (B, L) to a model's outputs; `width` is C, and `at_once` limits B × L.
        """
        return run_all(self.tokens(texts), run, width, at_once)

    def sample(self) -> NDArray[np.int64]:
        """Return ids (2, L) to trace a graph with: two texts, of which the second is padded."""
        ids: NDArray[np.int64] = np.arange(18).reshape(2, 9) % max(1, self.size - 1) + 1
        ids[1, 6:] = self.padding
        return ids

    def save(self, folder: Path) -> None:
        """Write ``featuriser.json``."""
        state = {"type": self.type, **self.state()}
        (folder / FILE).write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Featuriser:
        """Read ``featuriser.json``."""
        state = json.loads((folder / FILE).read_text(encoding="utf-8"))
        known: type[Featuriser] | None = Featuriser._known.get(state.get("type"))
        if known is None:
            raise HarnessError(
                f"{FILE} is of type {state.get('type')!r}; known: {', '.join(sorted(Featuriser._known))}"
            )
        return known.restore(state)


class MarksWords(Featuriser):
    """A featuriser whose texts are words, one space apart, each with outputs of its own.

    The first id of each word is raised by `size`.
    """

    marks = "words"

    def _table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        return WordTokens(ids, offsets, self.padding, self.size, words_before(texts))

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Featuriser`: the words that are read, (W, C)."""
        return outputs[0][np.array(ids) >= self.size]  # type: ignore[no-any-return]

    def sample(self) -> NDArray[np.int64]:
        """See :class:`Featuriser`."""
        return self.tokens(["a b c", "d"]).batch(np.arange(2))


class Words(Featuriser):
    """Lower-cased words, and punctuation marks, of a vocabulary: the most frequent of some texts."""

    type = "words"
    # A mask stands for a word that must not be known; it is one token, and unknown. So is what separates
    # the texts of a pair, but it is known.
    _split = re.compile(r"\[mask\]|\[sep\]|\w+(?:['’]\w+)*|[^\w\s]").findall

    def __init__(self, vocabulary: Sequence[str], longest: int) -> None:
        self.vocabulary = list(vocabulary)
        self.longest = longest
        self.size = len(self.vocabulary) + 2
        self._ids = {word: number for number, word in enumerate(self.vocabulary, start=2)}

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, longest: int = 128) -> Words:
        """The vocabulary of at most `size` ids, two of them for padding and for unknown words."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(cls.words(text))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: size - 2], longest)

    @classmethod
    def words(cls, text: str) -> list[str]:
        """A text's words that can be known, in order."""
        return [word for word in cls._split(text.lower()) if word != "[mask]"]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        known, split, longest = self._ids.get, self._split, self.longest
        return [
            [known(word, UNKNOWN) for word in split(text.lower())[:longest]] or [UNKNOWN] for text in texts
        ]

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        return {"vocabulary": self.vocabulary, "longest": self.longest}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Words:
        """See :class:`Featuriser`."""
        return cls(state["vocabulary"], state["longest"])


class Subwords(Featuriser):
    """A Hugging Face fast tokenizer.

    Two texts with PAIR_SEPARATOR between them are encoded as a pair, by the tokenizer's own template, and
    the longer one is cut first; where the template puts nothing between texts, as GPT-2's, as one text.
    MASK in a text is the tokenizer's own mask or, where it has none, its unknown token.
    """

    type = "subwords"

    def __init__(self, tokenizer: Tokenizer, longest: int, padding: int) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length=longest)
        self.longest = longest
        self.padding = padding
        self.size = tokenizer.get_vocab_size(with_added_tokens=True)
        marks = tokenizer.num_special_tokens_to_add
        # With no room for a token of either text there is no pair.
        self.pairs = marks(True) > marks(False) and longest >= marks(True) + 2
        self.separator = self._separator() if self.pairs else None
        self.mask_name = self.named(MASK, "<mask>", *UNKNOWN_NAMES) or MASK

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        given: list[Any] = self._masked(texts)
        if self.pairs:
            given = [_pair(text) if PAIR_SEPARATOR in text else text for text in given]
        encoded = self.tokenizer.encode_batch_fast(given)
        return [encoding.ids or [self.padding] for encoding in encoded]

    def named(self, *names: str) -> str | None:
        """The first of these that the tokenizer knows as a token."""
        return next((name for name in names if self.tokenizer.token_to_id(name) is not None), None)

    def _masked(self, texts: Sequence[str]) -> list[str]:
        """The texts with the tokenizer's name for MASK."""
        if self.mask_name == MASK:
            return list(texts)
        return [text.replace(MASK, self.mask_name) for text in texts]

    def _separator(self) -> int | None:
        """The id behind a pair's first text, where the tokenizer calls what follows it of another type."""
        found = self.tokenizer.encode("a", "b")
        second = found.type_ids.index(1) if 1 in found.type_ids else 0
        return found.ids[second - 1] if second else None

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        return {
            "tokenizer": self.tokenizer.to_str(),
            "longest": self.longest,
            "padding": self.padding,
            "separator": self.separator,  # told to those who rebuild a model, not needed here
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Subwords:
        """See :class:`Featuriser`."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_str(state["tokenizer"]), state["longest"], state["padding"])


class WordSubwords(MarksWords, Subwords):
    """A Hugging Face fast tokenizer over words that are tagged; the first piece of each word is marked.

    The words are what stands between single spaces, whatever the tokenizer makes of them. One of which it
    makes nothing, such as a lone variation selector, is read as an unknown one, so that it has a piece.
    """

    type = "word-subwords"

    def __init__(self, tokenizer: Tokenizer, longest: int, padding: int) -> None:
        super().__init__(_spaced(tokenizer), longest, padding)
        self.unknown = self.named(*UNKNOWN_NAMES) or "?"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        given = [text.split(" ") for text in self._masked(texts)]
        encoded = self.tokenizer.encode_batch(given, is_pretokenized=True)
        for row, (words, encoding) in enumerate(zip(given, encoded, strict=True)):
            read = set(encoding.word_ids)
            if len(read - {None}) < len(words):  # made nothing of, or cut off: the latter stay so
                full = [word if at in read else self.unknown for at, word in enumerate(words)]
                encoded[row] = self.tokenizer.encode(full, is_pretokenized=True)
        return [self._marked(encoding.ids, encoding.word_ids) for encoding in encoded]

    def _marked(self, ids: list[int], words: list[int | None]) -> list[int]:
        before: int | None = None
        for at, word in enumerate(words):
            if word is not None:
                if word != before:
                    ids[at] += self.size
                before = word
        return ids or [self.padding]


class MaskedSubwords(Subwords):
    """A Hugging Face fast tokenizer of a masked language model, whose `mask` id hides a token.

    MASK in a text is that token, whatever the tokenizer calls it. The `special` ids are never hidden: those
    that the tokenizer calls special, padding and the mask among them.
    """

    type = "masked-subwords"
    marks = "masks"

    def __init__(self, tokenizer: Tokenizer, longest: int, padding: int, mask: int) -> None:
        super().__init__(tokenizer, longest, padding)
        self.mask = mask
        added = tokenizer.get_added_tokens_decoder()
        self.special = sorted({padding, mask, *(number for number, token in added.items() if token.special)})
        name = tokenizer.id_to_token(mask)
        if name is None:
            raise HarnessError(f"the mask's id is {mask}, but the tokenizer has {self.size} ids")
        self.mask_name = name

    def masks(self, text: str) -> int:
        """How many tokens are hidden in a text as it stands, whether they are read or cut off."""
        return text.replace(MASK, self.mask_name).count(self.mask_name)

    def _table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        return MaskedTokens(ids, offsets, self.padding, self.size, self.mask, self.special)

    def given(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """See :class:`Featuriser`: with a mark at each mask."""
        found = super().given(ids)
        return np.asarray(found + self.size * (found == self.mask))

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Featuriser`: a model gives rows for masks alone, (M, V)."""
        return outputs

    def predict(self, texts: Sequence[str], run: Run, width: int, at_once: int) -> NDArray[np.float32]:
        """See :class:`Featuriser`: a row for each mask in the texts; zeros for those that were cut off."""
        tokens = cast(MaskedTokens, self.tokens(texts))
        counts = np.array([self.masks(text) for text in texts], dtype=np.int64)
        return tokens.at_masks(counts, run, at_once)

    def sample(self) -> NDArray[np.int64]:
        """See :class:`Featuriser`: with marks at the first ids."""
        ids = self.tokens(["a b c", "d"]).batch(np.arange(2))
        ids[:, :1] += self.size
        return ids

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        return super().state() | {"mask": self.mask}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> MaskedSubwords:
        """See :class:`Featuriser`."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_str(state["tokenizer"]), state["longest"], state["padding"], state["mask"])


UNKNOWN_NAMES = ("[UNK]", "<unk>", "[unk]", "<UNK>")  # as vocabularies write it


def _spaced(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, for which each word that it is given alone has a space before it.

    Byte-level vocabularies, such as RoBERTa's, have other pieces for a word's start than for its middle.
    """
    from tokenizers import Tokenizer

    def set_in(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "ByteLevel" and "add_prefix_space" in part:
                part["add_prefix_space"] = True
            if part.get("type") == "Metaspace" and "prepend_scheme" in part:
                part["prepend_scheme"] = "always"
            for inner in part.values():
                set_in(inner)
        elif isinstance(part, list):
            for inner in part:
                set_in(inner)

    state = json.loads(tokenizer.to_str())
    set_in(state["pre_tokenizer"])
    return Tokenizer.from_str(json.dumps(state))


def _pair(text: str) -> tuple[str, str]:
    first, _, second = text.partition(PAIR_SEPARATOR)
    return first, second
