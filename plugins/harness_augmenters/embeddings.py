"""Replace words by their neighbours in a pretrained model's embeddings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import harness
from harness_augmenters.blocks import Probability, Words
from harness_augmenters.classes import BARE
from harness_augmenters.languages import AUTO, check_language, frequent_words, language_of, list_of
from harness_augmenters.lexicon import count
from harness_augmenters.words import Substitutes, Substitution
from harness_transformers.inspection import loading
from harness_transformers.transformer import MiniLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOCABULARY = 30_000  # maximum number of words that are replaced, or replace others; the most frequent ones
RARE = 2  # words with a lower count in the corpus are not used
TABLES = (  # names of the table of subword embeddings, (subwords, width), in different architectures
    "word_embeddings.weight",
    "embed_tokens.weight",
    "shared.weight",
    "wte.weight",
    "tok_embeddings.weight",
)


@dataclass(frozen=True)
class EmbeddingReplace(Substitution):
    """Replace words by near neighbours in a pretrained model's embeddings (Jiao et al., 2020).

    The vector of a word is the mean of its subwords' input embeddings, and neighbours are found by cosine.
    They are other words of the corpus or, with ``among = "model"``, also words that are a single subword of
    the model. So a student can learn words that its training texts lack. (The paper uses a masked language
    model instead, and GloVe for words of several subwords.) Neighbours can be opposites; as the teacher
    labels each new text, its label follows the new meaning. Case and punctuation around a word are kept.
    Words that occur only once in the corpus are not replaced.

    A multilingual model has near words in other languages too. With a `language`, a new word of the model is
    one of the language's 30,000 most frequent words.
    """

    name = "embedding-replace"

    probability: Probability = 0.4  # probability to replace a word
    neighbours: Annotated[int, harness.Gt(0)] = 15  # number of nearest words to draw from, equally likely
    among: Literal["corpus", "model"] = "corpus"  # neighbours: words of the corpus, or also of the model
    embeddings: harness.Teacher = field(default_factory=MiniLM)  # any pretrained teacher; default: minilm
    language: str = ""  # of the new words with among = "model": "nl" …, "auto": that of the texts; "": any

    def check(self) -> None:
        """Raise ValueError unless the teacher starts from pretrained weights and the language is known."""
        if not callable(getattr(self.embeddings, "folder", None)):
            raise ValueError(
                "expected embeddings to be a teacher with pretrained weights, such as minilm or "
                f"transformer, got {self.embeddings.name}"
            )
        if self.language:
            if self.among != "model":
                raise ValueError(f'language = {self.language!r} needs among = "model"')
            check_language(self.language)

    def base(self) -> str:
        """Return the identity of the pretrained weights, and of the list of words of the language."""
        weights = self.embeddings.base()
        return f"{weights} {list_of(self.language)}" if self.language else weights

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """Return the neighbours of the words of the corpus."""
        import numpy as np

        folder = self.embeddings.folder()  # type: ignore[attr-defined]
        words = frequent(corpus)
        own = len(words)
        if self.among == "model":
            seen = {word.lower() for word in words}
            new = {word.lower(): word for word in whole_words(folder) if word.lower() not in seen}
            language = language_of(corpus) if self.language == AUTO else self.language
            if language:
                usual = frequent_words(language, VOCABULARY)
                new = {key: word for key, word in new.items() if key in usual}
            words += new.values()
        vectors = word_vectors(folder, words)
        known = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)
        near = nearest(vectors[known], self.neighbours, int((known < own).sum()))
        return _Near([words[i] for i in known.tolist()], near)


@dataclass
class _Near:
    """Substitutes that are near neighbours; a code means a word as written, with its punctuation."""

    words: Sequence[str]  # (W,), each in its most frequent spelling; the first V are those of the corpus
    near: NDArray[np.int64]  # (V, K) indices in `words`
    places: dict[str, int] = field(init=False)  # index in `words`, by lower-cased word
    codes: dict[str, int] = field(default_factory=dict)
    written: list[tuple[int, str, str, str]] = field(
        default_factory=list
    )  # by code: place, before, word, behind

    def __post_init__(self) -> None:
        self.places = {word.lower(): place for place, word in enumerate(self.words[: len(self.near)])}

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        import numpy as np

        return np.fromiter(map(self._code, block.of(words)), dtype=np.intp, count=len(words))

    def _code(self, word: str) -> int:
        code = self.codes.get(word)
        if code is None:
            before, bare, behind = BARE.fullmatch(word).groups()  # type: ignore[union-attr]
            place = self.places.get(bare.lower()) if self.near.shape[1] else None
            code = self.codes[word] = -1 if place is None else len(self.written)
            if place is not None:
                self.written.append((place, before, bare, behind))
        return code

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        picks = generator.integers(0, max(self.near.shape[1], 1), len(codes)).tolist()
        new = []
        for code, pick in zip(codes.tolist(), picks, strict=True):
            place, before, bare, behind = self.written[code]
            word = like(self.words[self.near[place, pick]], bare, self.words[place])
            new.append(before + word + behind)
        return new


def like(new: str, old: str, usual: str) -> str:
    """Return a word in the case of the one that it replaces, whose most frequent spelling is `usual`."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    if old[:1].isupper():
        return new[:1].upper() + new[1:]
    return new if old == usual else new.lower()


def frequent(corpus: Sequence[str]) -> list[str]:
    """Return words of a corpus without punctuation, by falling frequency, in their most frequent spelling."""
    totals: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = {}
    for word, number in count(corpus).items():
        bare = BARE.fullmatch(word)[2]  # type: ignore[index]
        if bare:
            totals[bare.lower()] += number
            forms.setdefault(bare.lower(), Counter())[bare] += number
    return [forms[word].most_common(1)[0][0] for word, n in totals.most_common(VOCABULARY) if n >= RARE]


def nearest(vectors: NDArray[np.float32], neighbours: int, asked: int | None = None) -> NDArray[np.int64]:
    """Return the nearest other vectors, by cosine, for each of the first `asked` vectors (None: all).

    `vectors` is (W, D). The result has indices, nearest first, (asked, K), with K < W.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    wanted = max(min(neighbours, len(vectors) - 1), 0)
    found = np.empty((len(vectors) if asked is None else asked, wanted), dtype=np.int64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # Use one thread: a different order of sums could give different neighbours on another machine.
    with threadpool_limits(1):
        for start in range(0, len(found) if wanted else 0, 1024):
            away = -unit[start : min(start + 1024, len(found))] @ unit.T  # (B, W)
            rows = np.arange(len(away))[:, None]
            away[rows[:, 0], start + rows[:, 0]] = np.inf
            best = np.sort(np.argpartition(away, wanted - 1, axis=1)[:, :wanted], axis=1)
            order = np.argsort(away[rows, best], axis=1, kind="stable")
            found[start : start + 1024] = best[rows, order]
    return found


def word_vectors(folder: Path, words: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean embedding of each word's subwords, (V, D); 0 for words with unknown subwords."""
    import numpy as np

    tokenizer = _tokenizer(folder)
    encoded = _encoded(tokenizer, words)
    unknown = _unknown(tokenizer)
    table = _table(folder)
    vectors = np.zeros((len(words), table.shape[1]), dtype=np.float32)
    for row, encoding in enumerate(encoded):
        if encoding.ids and unknown not in encoding.ids:
            vectors[row] = table[encoding.ids].mean(0)
    return vectors


def whole_words(folder: Path) -> list[str]:
    """Return the words that are a single subword of a model, in the order of their ids."""
    tokenizer = _tokenizer(folder)
    ids = sorted(tokenizer.get_vocab().values())
    words = [word.strip() for word in tokenizer.decode_batch([[number] for number in ids])]
    alone = zip(ids, words, _encoded(tokenizer, words), strict=True)
    return [word for number, word, encoding in alone if word.isalpha() and encoding.ids == [number]]


def _encoded(tokenizer: Any, words: Sequence[str]) -> list[Any]:
    """Return the subwords of each word, without truncation, padding or special tokens."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Most tokenizers need a space before a word to see that it is the start of a word.
    return tokenizer.encode_batch([f" {word}" for word in words], add_special_tokens=False)  # type: ignore[no-any-return]


def _tokenizer(folder: Path) -> Any:
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        with loading(f"cannot load the tokenizer in {folder}"):
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
    with loading(f"cannot load a fast tokenizer in {folder}"):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False).backend_tokenizer


def _unknown(tokenizer: Any) -> int | None:
    """Return the id of the unknown token, or None if the tokenizer has none."""
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    if "unk_id" in model:
        return model["unk_id"]  # type: ignore[no-any-return]
    token = model.get("unk_token")
    return tokenizer.token_to_id(token) if token else None


def _table(folder: Path) -> NDArray[np.float32]:
    """Return a model's input embeddings, (subwords, width)."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as tensors:
                names = [name for name in tensors.keys() if name.endswith(TABLES)]  # noqa: SIM118
                # If there are several, such as an encoder's and a decoder's, take the one nearest the root.
                for name in sorted(names, key=lambda name: (name.count("."), name))[:1]:
                    return np.asarray(tensors.get_tensor(name), dtype=np.float32)
        except (SafetensorError, TypeError):  # damaged, or of a type that numpy lacks: try torch
            break
    return _table_by_torch(folder)


def _table_by_torch(folder: Path) -> NDArray[np.float32]:
    """Return the same from the loaded model, for weights with other formats, types or names."""
    with loading(f"cannot load the model in {folder}"):
        from transformers import AutoModel

        model = AutoModel.from_pretrained(folder, trust_remote_code=False)
    return model.get_input_embeddings().weight.detach().float().numpy()  # type: ignore[no-any-return]
