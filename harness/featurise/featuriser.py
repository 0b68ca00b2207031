"""Featurisers, which turn texts into integer ids without torch, for models and exported forms."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from harness.featurise import portable
from harness.featurise.arrays import Growing
from harness.featurise.checks import check_numbers, check_vocabulary, limit_of, rule_of
from harness.featurise.lookup import Lookup
from harness.featurise.splitting import splits, with_unknown
from harness.featurise.tokens import PADDING as PADDING
from harness.featurise.tokens import MaskedTokens as MaskedTokens
from harness.featurise.tokens import Run as Run
from harness.featurise.tokens import Tokens as Tokens
from harness.featurise.tokens import WordTokens as WordTokens
from harness.featurise.tokens import batches_by_length as batches_by_length
from harness.featurise.tokens import run_all as run_all
from harness.featurise.words import CHARACTERS, RULE, WordIds, cut, packed, spaced, unpacked, words_of
from harness.featurise.words import UNKNOWN as UNKNOWN
from harness.values import MASK, PAIR_SEPARATOR, HarnessError, is_fault, words_before

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

FILE = "featuriser.json"
_CHUNK = 4096


class Featuriser(ABC):
    """Base class: turns texts into ids, and is saved as JSON.

    It is loaded by its `type`, never by a path from the file.
    """

    type: ClassVar[str]
    marks: ClassVar[Literal["", "words", "masks"]] = ""  # the parts of a text with a row of outputs
    size: int  # ids without a mark are below this
    padding: int = PADDING
    _known: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        if "type" in vars(cls):
            Featuriser._known[cls.type] = cls
        if "encode" in vars(cls) and "blocks" not in vars(cls):
            cls.blocks = Featuriser.blocks  # type: ignore[method-assign]  # not those of another `encode`

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text; each has at least one."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the state that :meth:`restore` needs, as JSON values."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, Any]) -> Featuriser:
        """Return the featuriser with a given `state`."""

    def tokens(self, texts: Sequence[str], scratch: Path | None = None, most: int | None = None) -> Tokens:
        """Return the ids of any number of texts; a table of more than `most` bytes is stored in `scratch`."""
        ids, offsets = Growing(np.int32, scratch, most), Growing(np.int64, scratch, most)
        offsets.add(np.zeros(1, dtype=np.int64))
        for block, lengths in self.blocks(texts):
            offsets.add(np.cumsum(lengths) + len(ids))
            ids.add(block)
        return self.table(ids.whole(), offsets.whole(), texts)

    def blocks(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Yield the ids of texts, one text after the other, and the number of each text's, block by block.

        They are those of :meth:`encode`. Override this method if there is a faster way for many texts.
        """
        for start in range(0, len(texts), _CHUNK):
            encoded = self.encode(texts[start : start + _CHUNK])
            lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
            yield np.fromiter(chain.from_iterable(encoded), np.int32, int(lengths.sum())), lengths

    def table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        """Return the table of the ids of texts; the ids of text i are those from `offsets[i]` on."""
        return Tokens(ids, offsets, self.padding)

    # -- running a model on one text or on many, and tracing its graph

    def given(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of one text as input of a model, (1, L)."""
        return np.array([ids], dtype=np.int64)

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of one text: (C,), or (R, C) if its words or masks have their own rows."""
        return outputs[0]  # type: ignore[no-any-return]

    def predict(self, texts: Sequence[str], run: Run, width: int, at_once: int) -> NDArray[np.float32]:
        """Return the outputs (R, C) of many texts, in their order.

        `run` maps ids (B, L) to a model's outputs; `width` is C; `at_once` limits B × L.
        """
        return run_all(self.tokens(texts), run, width, at_once)

    def sample(self) -> NDArray[np.int64]:
        """Return ids (2, L) to trace a graph with: two texts, the second of them padded."""
        ids: NDArray[np.int64] = np.arange(18).reshape(2, 9) % max(1, self.size - 1) + 1
        ids[1, 6:] = self.padding
        return ids

    def save(self, folder: Path) -> None:
        """Write ``featuriser.json`` into a folder."""
        state = {"type": self.type, **self.state()}
        (folder / FILE).write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Featuriser:
        """Return the featuriser in a folder's ``featuriser.json``; raise HarnessError if it is not sound."""
        state = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if portable.is_split(state):
            state = portable.joined(state, json.loads((folder / portable.FILE).read_text(encoding="utf-8")))
        return Featuriser.of(state)

    @staticmethod
    def of(state: Any) -> Featuriser:
        """Return the featuriser that was saved as `state`.

        Raise HarnessError if its type is unknown, or if the state is not one of this type.
        """
        kind = state.get("type") if isinstance(state, dict) else None
        known: type[Featuriser] | None = Featuriser._known.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise HarnessError(
                f"unknown type {kind!r:.80} in {FILE} (allowed: {', '.join(sorted(Featuriser._known))})"
            )
        try:
            found = known.restore(state)
            found.encode(["a"])
        except HarnessError:
            raise
        except KeyError as error:
            raise HarnessError(f"cannot read {FILE}: it has no {error}") from None
        except BaseException as error:  # of any plugin's type, or of tokenizers
            if not is_fault(error):
                raise
            why = str(error).strip().partition("\n")[0][:300] or type(error).__name__
            raise HarnessError(f"cannot read {FILE}: {why}") from None
        return found


class MarksWords(Featuriser):
    """A featuriser for tagging: texts are words separated by single spaces, each with its own outputs.

    `size` is added to the first id of each word, to mark it.
    """

    marks = "words"

    def table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        """See :class:`Featuriser`."""
        return WordTokens(ids, offsets, self.padding, self.size, words_before(texts))

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of the words of one text that were not cut off, (W, C)."""
        return outputs[0][np.array(ids) >= self.size]  # type: ignore[no-any-return]

    def sample(self) -> NDArray[np.int64]:
        """Return the ids of two tagged texts, (2, L), the second of them padded."""
        return self.tokens(["a b c", "d"]).batch(np.arange(2))


class Words(Featuriser):
    """A vocabulary of the most frequent lower-cased words and punctuation marks.

    Of words longer than `characters`, the beginning and the end are read; None: all, as earlier versions did.
    `rule` is that of :mod:`harness.featurise.words`.
    """

    type = "words"

    def __init__(
        self,
        vocabulary: Sequence[str],
        longest: int,
        characters: int | None = CHARACTERS,
        rule: int = RULE,
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.longest = longest
        self.characters = characters
        self.rule = rule
        self.size = len(self.vocabulary) + 2
        self._ids = WordIds(zip(self.vocabulary, count(2), strict=False))

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, longest: int = 128) -> Words:
        """Return a vocabulary of at most `size` ids, including padding and unknown words."""
        counts: dict[str, int] = {}
        for found in splits(texts):
            for word, times in zip(found.words, found.counts.tolist(), strict=True):
                counts[word] = counts.get(word, 0) + times
        counts.pop("[mask]", None)  # it hides a word, which stays unknown
        ranked = sorted(sorted(counts), key=counts.__getitem__, reverse=True)
        return cls(ranked[: size - 2], longest)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of the words of each text, up to the maximum length."""
        known, limits = self._ids.__getitem__, (self.longest, self.characters, self.rule)
        return [[*map(known, words_of(text, *limits))] or [UNKNOWN] for text in texts]

    def blocks(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """See :meth:`Featuriser.blocks`."""
        return (with_unknown(*found) for found in self._lookup.blocks(texts))

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self._ids, self.longest, self.characters, self.rule)

    def state(self) -> dict[str, Any]:
        """Return the vocabulary, the maximum length, the characters that are read of a word, and the rule."""
        names = ("vocabulary", "longest", "characters", "rule")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Words:
        """Return the featuriser with a given `state`."""
        check_vocabulary(state)
        check_numbers(state, longest=1, **limit_of(state, "characters"))
        return cls(state["vocabulary"], state["longest"], state.get("characters"), rule_of(state))


class Subwords(Featuriser):
    """A Hugging Face fast tokenizer.

    Two texts with PAIR_SEPARATOR between them are encoded as a pair, with the tokenizer's own template, and
    the longer one is truncated first. If the template has no separator, as GPT-2's, they are encoded as one
    text. MASK in a text becomes the tokenizer's mask token or, if it has none, its unknown token.

    At most `longest` ids are read, from the first `longest` times `characters` characters of a text; None:
    from all, as earlier versions did. Padding may be an id of its own, after the tokenizer's.
    """

    type = "subwords"

    def __init__(
        self, tokenizer: Tokenizer, longest: int, padding: int, characters: int | None = CHARACTERS
    ) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length=longest)
        self.longest = longest
        self.padding = padding
        self.characters = characters
        self._most = None if characters is None else longest * characters
        self.size = max(tokenizer.get_vocab_size(with_added_tokens=True), padding + 1)
        marks = tokenizer.num_special_tokens_to_add
        # A pair needs room for at least one token of either text.
        self.pairs = marks(True) > marks(False) and longest >= marks(True) + 2
        self.separator = self._separator() if self.pairs else None
        self.mask_name = self.named(MASK, "<mask>", *UNKNOWN_NAMES) or MASK

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of the tokens of each text, or pair of texts."""
        given: list[Any] = self._masked(texts)
        if self.pairs:
            given = [self._pair(text) if PAIR_SEPARATOR in text else text[: self._most] for text in given]
        else:
            given = [text[: self._most] for text in given]
        encoded = self.tokenizer.encode_batch_fast(given)
        return [encoding.ids or [self.padding] for encoding in encoded]

    def _pair(self, text: str) -> tuple[str, str]:
        first, _, second = text.partition(PAIR_SEPARATOR)
        return first[: self._most], second[: self._most]

    def named(self, *names: str) -> str | None:
        """Return the first of these names that is a token of the tokenizer, or None."""
        return next((name for name in names if self.tokenizer.token_to_id(name) is not None), None)

    def _masked(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with MASK replaced by the tokenizer's own name for it."""
        if self.mask_name == MASK:
            return list(texts)
        return [text.replace(MASK, self.mask_name) for text in texts]

    def _separator(self) -> int | None:
        """Return the last id before a pair's second text; None if the tokenizer has one type of tokens."""
        found = self.tokenizer.encode("a", "b")
        second = found.type_ids.index(1) if 1 in found.type_ids else 0
        return found.ids[second - 1] if second else None

    def state(self) -> dict[str, Any]:
        """Return the tokenizer, the maximum length, and the ids of padding and of the pair separator."""
        return {
            **packed(self.tokenizer.to_str()),
            "longest": self.longest,
            "padding": self.padding,
            "characters": self.characters,
            "separator": self.separator,  # for programs that rebuild a model; not needed here
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Subwords:
        """Return the featuriser with a given `state`."""
        from tokenizers import Tokenizer

        check_numbers(state, longest=1, padding=0, **limit_of(state, "characters"))
        tokenizer = Tokenizer.from_str(unpacked(state))
        return cls(tokenizer, state["longest"], state["padding"], state.get("characters"))


class WordSubwords(MarksWords, Subwords):
    """A Hugging Face fast tokenizer for tagging; the first subword of each word is marked.

    Words are separated by single spaces, whatever the tokenizer does with them. A word without any subword,
    such as a lone variation selector, is read as an unknown word, so that it has one. Of words longer than
    `characters`, the beginning and the end are read; None: all, as earlier versions did.
    """

    type = "word-subwords"

    def __init__(
        self, tokenizer: Tokenizer, longest: int, padding: int, characters: int | None = CHARACTERS
    ) -> None:
        super().__init__(spaced(tokenizer), longest, padding, characters)
        self.unknown = self.named(*UNKNOWN_NAMES) or "?"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text; the first id of each word is marked."""
        given = [self._words(text) for text in self._masked(texts)]
        encoded = self.tokenizer.encode_batch(given, is_pretokenized=True)
        for row, (words, encoding) in enumerate(zip(given, encoded, strict=True)):
            read = set(encoding.word_ids)
            if len(read - {None}) < len(
                words
            ):  # some words have no subword, or were cut off; the latter remain so
                full = [word if at in read else self.unknown for at, word in enumerate(words)]
                encoded[row] = self.tokenizer.encode(full, is_pretokenized=True)
        return [self._marked(encoding.ids, encoding.word_ids) for encoding in encoded]

    def _words(self, text: str) -> list[str]:
        if self.characters is None or len(text) <= self.characters:
            return text.split(" ")
        # Each word has an id: those after the first `longest` are never read.
        return [cut(word, self.characters) for word in text.split(" ", self.longest)[: self.longest]]

    def _marked(self, ids: list[int], words: list[int | None]) -> list[int]:
        before: int | None = None
        for at, word in enumerate(words):
            if word is not None:
                if word != before:
                    ids[at] += self.size
                before = word
        return ids or [self.padding]


class MaskedSubwords(Subwords):
    """A Hugging Face fast tokenizer of a masked language model, with the id `mask` for a hidden token.

    MASK in a text becomes this token. The `special` ids are never hidden: the tokenizer's special tokens, and
    those of padding and mask.
    """

    type = "masked-subwords"
    marks = "masks"

    def __init__(
        self,
        tokenizer: Tokenizer,
        longest: int,
        padding: int,
        mask: int,
        characters: int | None = CHARACTERS,
    ) -> None:
        super().__init__(tokenizer, longest, padding, characters)
        self.mask = mask
        added = tokenizer.get_added_tokens_decoder()
        self.special = sorted({padding, mask, *(number for number, token in added.items() if token.special)})
        name = tokenizer.id_to_token(mask)
        if name is None:
            raise HarnessError(f"expected the mask's id below {self.size}, the tokenizer's size, got {mask}")
        self.mask_name = name

    def masks(self, text: str) -> int:
        """Return the number of masks in a text, including those that will be cut off."""
        return text.replace(MASK, self.mask_name).count(self.mask_name)

    def table(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]) -> Tokens:
        """See :class:`Featuriser`."""
        return MaskedTokens(ids, offsets, self.padding, self.size, self.mask, self.special)

    def given(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of one text, (1, L), with a mark at each mask."""
        found = super().given(ids)
        return np.asarray(found + self.size * (found == self.mask))

    def rows_of(self, ids: Sequence[int], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs unchanged: a model has rows for masks only, (M, V)."""
        return outputs

    def predict(self, texts: Sequence[str], run: Run, width: int, at_once: int) -> NDArray[np.float32]:
        """Return a row for each mask in the texts, (M, V); zeros for those that were cut off."""
        tokens = cast(MaskedTokens, self.tokens(texts))
        counts = np.array([self.masks(text) for text in texts], dtype=np.int64)
        return tokens.at_masks(counts, run, at_once)

    def sample(self) -> NDArray[np.int64]:
        """Return the ids of two texts, (2, L), with marks at the first ids."""
        ids = self.tokens(["a b c", "d"]).batch(np.arange(2))
        ids[:, :1] += self.size
        return ids

    def state(self) -> dict[str, Any]:
        """Return the state of :class:`Subwords`, and the mask's id."""
        return super().state() | {"mask": self.mask}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> MaskedSubwords:
        """Return the featuriser with a given `state`."""
        from tokenizers import Tokenizer

        check_numbers(state, longest=1, padding=0, mask=0, **limit_of(state, "characters"))
        tokenizer = Tokenizer.from_str(unpacked(state))
        return cls(tokenizer, state["longest"], state["padding"], state["mask"], state.get("characters"))


UNKNOWN_NAMES = ("[UNK]", "<unk>", "[unk]", "<UNK>")  # in different vocabularies
