from __future__ import annotations

import shutil
import sys
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.training import Example
from spacy.util import fix_random_seed

import harness
from harness import catalog
from harness.api import PAIR_SEPARATOR, parameters_of
from harness_augmenters import blocks, classes, pos
from harness_augmenters.combine import Chain, Mix, Nothing
from harness_augmenters.lexicon import Lexicon
from harness_augmenters.pos import PartOfSpeechReplace
from harness_augmenters.spans import Crossover, NGram, Sentence, sentences
from harness_augmenters.words import Drop, Mask, Replace

VOCABULARY = [f"w{i}" for i in range(50)]

# Texts to stumble over: empty, white space only, one word, line ends, other spaces, wide characters.
ODD = [
    "",
    "   ",
    "\n",
    "one",
    " two  words ",
    "a line\nand another\r\n",
    "no\u00a0break\u3000spaces here",
    "emoji 🙂 and ünïcödé 漢字 words",
    "lone \ud800 surrogate here",
    "control \x00 and \x1f characters",
    "[MASK] [MASK]",
    "[MASK] me",
    "same same same",
    "First one. Second one! Third?",
]

ALL: list[harness.Augmenter] = [
    Nothing(),
    Mask(),
    Mask(probability=1.0),
    Mask(probability=0.3, force=False, copies=3),
    Replace(),
    Replace(probability=1.0, copies=2),
    PartOfSpeechReplace(probability=0.5),
    Drop(),
    Drop(probability=1.0, copies=2),
    NGram(),
    NGram(minimum=2, maximum=3, probability=0.5, copies=2),
    Sentence(),
    Sentence(copies=3),
    Chain((Mask(force=False), Replace(force=False), NGram(probability=0.25)), copies=2),
    Chain((Replace(copies=2), Chain((Mask(),)))),
    Mix((Mask(), NGram(), Chain((Replace(), NGram()))), (1, 2, 3), copies=2),
    Mix((Mask(), Sentence()), size=40),
]
everyone = pytest.mark.parametrize("augmenter", ALL, ids=repr)


def corpus(size: int, words: int = 10, seed: int = 0) -> list[str]:
    """Texts of 1 to 2 × `words` - 1 words, frequent ones more often."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 2 * words, size)
    flat = generator.choice(VOCABULARY, lengths.sum(), p=np.arange(50, 0, -1) / 1275)
    return [" ".join(part) for part in np.split(flat, np.cumsum(lengths)[:-1])]


def fixed(size: int, words: int) -> list[str]:
    generator = np.random.default_rng(1)
    return [" ".join(row) for row in generator.choice(VOCABULARY, (size, words))]


def made(augmenter: harness.Augmenter, texts: Sequence[str], seed: int = 0) -> list[tuple[int, str]]:
    return list(augmenter(texts, np.random.default_rng(seed)))


def assert_share(count: int, of: int, probability: float) -> None:
    """Within five standard errors: wrong once in two million fixed seeds."""
    assert abs(count - of * probability) <= 5 * np.sqrt(of * probability * (1 - probability)) + 1e-9


@dataclass(frozen=True)
class Shout(harness.Augmenter):
    """A stranger's: one by one, out of order, with a text of its own for some rows only."""

    name = "shout"

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        for row in reversed(range(len(texts))):
            if texts[row] and generator.random() < 0.5:
                yield row, texts[row].upper() + f"/{len(texts)}"


class Lazy(Sequence[str]):
    """Texts that are made when they are read, with a note of how many were ever asked for at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.longest = self.read = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            some = range(*index.indices(self.size))
            self.longest = max(self.longest, len(some))
            self.read += len(some)
            return [f"text number {i} of many" for i in some]
        self.read += 1
        return f"text number {index} of many"


# -- what holds for all -------------------------------------------------------------------------------------


@everyone
def test_new_texts_are_new_not_empty_and_of_their_row(augmenter: harness.Augmenter) -> None:
    texts = ODD + corpus(200)
    for row, text in made(augmenter, texts):
        assert isinstance(row, int)
        assert 0 <= row < len(texts)
        assert text.split()
        assert text.split() != texts[row].split()


@everyone
def test_same_generator_same_texts(augmenter: harness.Augmenter) -> None:
    texts = ODD + corpus(300)
    assert made(augmenter, texts) == made(augmenter, tuple(texts))
    if augmenter not in (Nothing(), Mask(probability=1.0)):
        assert made(augmenter, texts) != made(augmenter, texts, seed=1)


@everyone
@pytest.mark.parametrize("texts", [[], [""], ["", " ", "\n"]])
def test_nothing_comes_of_nothing(augmenter: harness.Augmenter, texts: list[str]) -> None:
    assert made(augmenter, texts) == []


@everyone
def test_a_suite_can_write_it(augmenter: harness.Augmenter) -> None:
    augmenter.check()
    assert catalog.load().build("augmenter", {"use": augmenter.name, **parameters_of(augmenter)}) == augmenter


@pytest.mark.parametrize(
    "augmenter",
    [Mask(copies=50), NGram(copies=50), Chain((Mask(), NGram()), 50), Mix((Mask(), NGram()), copies=50)],
    ids=lambda each: each.name,
)
def test_a_lazy_corpus_is_read_as_texts_are_drawn(augmenter: harness.Augmenter) -> None:
    texts = Lazy(1_000_000)
    list(islice(augmenter(texts, np.random.default_rng(0)), 60_000))
    assert texts.longest <= blocks.BLOCK
    assert texts.read <= 2 * blocks.BLOCK


def test_blocks_cover_a_corpus_larger_than_one() -> None:
    texts = [f"number {i} of them" for i in range(2 * blocks.BLOCK + 17)]
    for augmenter in (Mask(), Replace(), NGram(), Chain((Mask(),)), Mix((Mask(), Drop()), copies=1)):
        found = made(augmenter, texts)
        assert sorted(row for row, _ in found) == list(range(len(texts)))
    for row, text in made(NGram(minimum=3, maximum=3), texts):
        assert text in texts[row]


# -- words --------------------------------------------------------------------------------------------------


def changes(texts: Sequence[str], new: list[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Pairs of (word, what it became)."""
    for row, text in new:
        before, after = texts[row].split(), text.split()
        assert len(before) == len(after)
        yield from ((a, b) for a, b in zip(before, after, strict=True) if a != b)


@pytest.mark.parametrize("augmenter", [Mask(0.2), Replace(0.2)], ids=repr)
def test_words_change_at_the_rate(augmenter: harness.Augmenter) -> None:
    texts = fixed(5000, 40)  # 0.8 ** 40 of the texts are forced: fewer than one
    new = made(augmenter, texts)
    assert len(new) == 5000
    assert_share(len(list(changes(texts, new))), 5000 * 40, 0.2)


@pytest.mark.parametrize("kind", [Mask, Replace])
def test_without_force_unchanged_texts_are_left_out(kind: type[Mask] | type[Replace]) -> None:
    texts = fixed(20_000, 5)
    new = made(kind(0.1, force=False), texts)
    assert_share(len(new), 20_000, 1 - 0.9**5)
    assert_share(len(list(changes(texts, new))), 100_000, 0.1)
    assert made(kind(0.0, force=False), texts) == []


@pytest.mark.parametrize("kind", [Mask, Replace, Drop])
def test_force_changes_one_word_evenly(kind: type[Mask] | type[Replace] | type[Drop]) -> None:
    texts = ["a b c d"] * 8000 + ["e"]
    places = Counter(
        next((i for i, (x, y) in enumerate(zip("abcd", [*text.split(), ""], strict=False)) if x != y), -1)
        for row, text in made(kind(0.0, copies=1), texts)
        if row < 8000
    )
    assert places.total() == 8000
    for place in range(4):
        assert_share(places[place], 8000, 0.25)


def test_mask_leaves_the_rest_as_it_was() -> None:
    texts = ODD + corpus(500)
    for row, text in made(Mask(0.3, token="<mask>"), texts):
        source = texts[row].split()
        assert any(a != b for a, b in zip(source, text.split(), strict=True))
        assert all(b in (a, "<mask>") for a, b in zip(source, text.split(), strict=True))


def test_mask_does_not_mask_masks() -> None:
    assert made(Mask(1.0), ["[MASK] [MASK]", "[MASK] me", "x[MASK]"]) == [(1, "[MASK] [MASK]"), (2, "[MASK]")]


@pytest.mark.parametrize("token", ["two words", " ", ""])
def test_mask_token_is_one_word(token: str) -> None:
    with pytest.raises(ValueError, match="one word"):
        Mask(token=token).check()


def test_replacements_follow_the_frequencies() -> None:
    texts = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    drawn = Counter((texts[row], text) for row, text in made(Replace(1.0, copies=40), texts))
    assert all(old != new for old, new in drawn)
    assert_share(drawn["a", "b"], 24_000, 300 / 400)
    assert_share(drawn["b", "a"], 12_000, 600 / 700)
    assert_share(drawn["c", "a"], 4_000, 600 / 900)


def test_replace_needs_two_words() -> None:
    assert made(Replace(1.0), ["same same", "same"]) == []


def test_lexicon_draws_within_a_class() -> None:
    lexicon = Lexicon(["cat", "sat", "dog", "ran", "oh", "bird"], [5, 2, 3, 4, 9, 2], [7, 1, 7, 1, 3, 7])
    assert lexicon.codes[4] == -1  # alone in its class
    generator = np.random.default_rng(0)

    def drawn(index: int) -> Counter[str]:
        return Counter(lexicon.others(np.full(9000, lexicon.codes[index]), generator))

    assert set(drawn(1)) == {"ran"}
    assert set(drawn(3)) == {"sat"}
    cat, dog, bird = drawn(0), drawn(2), drawn(5)
    assert set(cat) == {"dog", "bird"}
    assert_share(cat["dog"], 9000, 3 / 5)
    assert set(dog) == {"cat", "bird"}
    assert_share(dog["cat"], 9000, 5 / 7)
    assert set(bird) == {"cat", "dog"}
    assert_share(bird["cat"], 9000, 5 / 8)


def test_drop_leaves_a_subsequence() -> None:
    texts = ODD + corpus(500)
    for row, text in made(Drop(0.4, copies=3), texts):
        rest = iter(texts[row].split())
        assert all(word in rest for word in text.split())
        assert 0 < len(text.split()) < len(texts[row].split())


def test_drop_rate() -> None:
    texts = fixed(4000, 50)
    left = sum(len(text.split()) for _, text in made(Drop(0.2), texts))
    assert_share(200_000 - left, 200_000, 0.2)
    # All words drawn: one, any, stays.
    kept = Counter(text for _, text in made(Drop(1.0), ["a b c"] * 6000))
    for word in "abc":
        assert_share(kept[word], 6000, 1 / 3)


# -- parts --------------------------------------------------------------------------------------------------


def test_ngram_is_contiguous_of_an_even_length_and_place() -> None:
    texts = [" ".join(f"{row}.{place}" for place in range(12)) for row in range(20_000)]
    sizes: Counter[int] = Counter()
    starts: Counter[int] = Counter()
    for row, text in made(NGram(), texts):
        words, source = text.split(), texts[row].split()
        start = source.index(words[0])
        assert source[start : start + len(words)] == words
        sizes[len(words)] += 1
        if len(words) == 3:
            starts[start] += 1
    assert sorted(sizes) == [1, 2, 3, 4, 5]
    for count in sizes.values():
        assert_share(count, 20_000, 1 / 5)
    assert sorted(starts) == list(range(10))
    for count in starts.values():
        assert_share(count, sizes[3], 1 / 10)


def test_ngram_of_short_texts() -> None:
    assert {text for _, text in made(NGram(copies=30), ["a b c", "d"])} == {"a", "b", "c", "a b", "b c"}
    assert made(NGram(minimum=3), ["a b c", "a"]) == []
    assert_share(len(made(NGram(probability=0.25), fixed(8000, 6))), 8000, 0.25)
    with pytest.raises(ValueError, match="minimum to be at most maximum, got 6 and 5"):
        NGram(minimum=6).check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four…", ["One.", "Two!", "Three?", "Four…"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("Wait... what?! Oh.", ["Wait...", "what?!", "Oh."]),
        ("by J. Smith and z. B. others. End", ["by J. Smith and z. B. others.", "End"]),
        ("a line\n\nanother line \n", ["a line", "another line"]),
        ("version 2.0 of x.y is out", ["version 2.0 of x.y is out"]),
        ("Good. Good. Good.", ["Good."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentence_copies_are_different_sentences() -> None:
    texts = ["Just one.", "One. Two. Three."] * 3000
    single = Counter(text for _, text in made(Sentence(), texts))
    assert single.total() == 3000
    for count in single.values():
        assert_share(count, 3000, 1 / 3)
    found = made(Sentence(copies=2), texts)
    assert len(found) == 6000
    assert len(set(found)) == 6000
    assert len(made(Sentence(copies=9), texts)) == 9000


def test_crossover_joins_the_start_of_a_text_and_the_end_of_another() -> None:
    sizes = (2, 5, 9)
    texts = [" ".join(f"{row}.{place}" for place in range(sizes[row % 3])) for row in range(3000)]
    heads: Counter[int] = Counter()
    for row, text in made(Crossover(), texts):
        words = [tuple(map(int, word.split("."))) for word in text.split()]
        kept = [place for source, place in words if source == row]
        assert kept == list(range(len(kept))) and len(kept) < sizes[row % 3]
        (other,) = {source for source, _ in words[len(kept) :]}
        left = [place for _, place in words[len(kept) :]]
        assert left == list(range(left[0], sizes[other % 3])) and left[0] >= 1
        if row % 3 == other % 3:
            assert len(kept) == left[0]  # the cut is at the same share of both
        if sizes[row % 3] == 9:
            heads[len(kept)] += 1
    assert sorted(heads) == list(range(1, 9))
    assert_share(heads[4], 1000, 1 / 9)


def test_crossover_needs_two_texts_of_several_words() -> None:
    assert made(Crossover(copies=3), ["a b c"]) == made(Crossover(), ["a b c", "d", ""]) == []
    assert made(Crossover(), ["a b", f"c{PAIR_SEPARATOR}d"]) == []
    assert sorted(made(Crossover(), ["a b", "c d"])) == [(0, "a d"), (1, "c b")]
    assert_share(len(made(Crossover(probability=0.25), fixed(8000, 6))), 8000, 0.25)


# -- combinations -------------------------------------------------------------------------------------------


def test_chain_applies_members_in_order() -> None:
    texts = fixed(50, 8)
    for row, text in made(Chain((NGram(4, 4), Mask(1.0)), copies=3), texts):
        assert text == "[MASK] [MASK] [MASK] [MASK]"
        assert row < 50
    found = made(Chain((Mask(1.0, token="m"), NGram(4, 4), Sentence())), texts)
    assert found == [(row, "m m m m") for row in range(50)]


def test_chain_knows_the_corpus_not_what_members_made_of_it() -> None:
    texts = fixed(100, 10)
    found = made(Chain((Mask(0.5), Replace(0.5)), copies=5), texts)
    for row, text in found:
        for old, new in zip(texts[row].split(), text.split(), strict=True):
            assert new in (old, "[MASK]", *VOCABULARY)
    share = sum(text.split().count("[MASK]") for _, text in found)
    assert_share(share, 5000, 0.5)  # neither replaced nor drawn


def test_chain_passes_on_what_a_member_leaves_and_multiplies_copies() -> None:
    texts = fixed(4000, 20)
    found = made(Chain((Mask(0.0), NGram(3, 3, probability=0.25))), texts)
    assert len(found) == 4000
    assert_share(sum(len(text.split()) == 3 for _, text in found), 4000, 0.25)
    assert Counter(
        row for row, _ in made(Chain((Mask(copies=2), Drop(copies=3)), copies=2), texts)
    ) == dict.fromkeys(range(4000), 12)
    assert made(Chain((Mask(0.0, force=False), Nothing())), texts) == []


def test_chain_and_mix_take_a_strangers_augmenter() -> None:
    texts = fixed(9000, 6)
    chain = Chain((Mask(0.0), Shout(), NGram(6, 9)), copies=2)
    assert not chain.streams
    found = made(chain, texts)
    assert len(found) == 18_000
    shouted = [(row, text) for row, text in found if text.isupper()]
    assert_share(len(shouted), 18_000, 0.5)
    for row, text in shouted:
        assert text.endswith("/9000")  # it sees all texts at once
        source = [*texts[row].upper().split()]
        assert sum(a != b for a, b in zip(source, text.removesuffix("/9000").split(), strict=True)) == 1
    mixed = made(Mix((Shout(), Mask(1.0)), (1, 3), copies=2), texts)
    assert_share(sum(text.startswith("W") for _, text in mixed), 18_000, 0.25 * 0.5)
    assert_share(sum(text.startswith("[MASK]") for _, text in mixed), 18_000, 0.75)
    assert len(made(Mix((Shout(), Mask()), size=10_000), texts)) == 10_000


def test_mix_draws_members_by_weight() -> None:
    texts = fixed(10_000, 9)
    found = made(Mix((Mask(1.0), NGram(1, 1), Drop(0.0)), (6, 3, 1), copies=2), texts)
    lengths = Counter(len(text.split()) for _, text in found)
    assert len(found) == 20_000
    assert set(lengths) == {1, 8, 9}
    for length, share in ((9, 0.6), (1, 0.3), (8, 0.1)):
        assert_share(lengths[length], 20_000, share)
    assert all("[MASK]" in text for _, text in made(Mix((Mask(), NGram()), (1, 0), copies=1), texts))


@pytest.mark.parametrize("size", [1, 7, 255, 256, 300, 301, 4096, 12_345])
def test_mix_of_an_exact_size_uses_all_texts_alike(size: int) -> None:
    texts = fixed(300, 40)
    found = made(Mix((Replace(0.4), Replace(0.6)), size=size), texts)
    rows = Counter(row for row, _ in found)
    assert rows.total() == size
    assert len({text for _, text in found}) == size
    counts = [rows[row] for row in range(300)]
    assert max(counts) - min(counts) <= 1


def test_mix_of_an_exact_size_goes_on_while_members_make_different_texts() -> None:
    texts = ["A b C", *["x"] * 3000, "B"]  # a single text can be cut: to a, c, a b, b c
    for size, expected in ((2, 2), (4, 4), (5, 4)):
        found = made(Mix((NGram(), Sentence()), size=size), texts)
        assert len(found) == len(set(found)) == expected
        assert {text for _, text in found} <= {"A", "C", "A b", "b C"}
    assert made(Mix((NGram(), Sentence()), size=20), texts[1:]) == []
    assert made(Mix((Nothing(),), size=5), texts) == []


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (Chain(()), "at least one"),
        (Mix((), copies=1), "at least one"),
        (Mix((Mask(),)), "either copies or size"),
        (Mix((Mask(),), copies=1, size=1), "either copies or size"),
        (Mix((Mask(),), (1, 2), copies=1), "1 augmenters but 2 weights"),
        (Mix((Mask(), NGram()), (1, -1), copies=1), "at least 0"),
        (Mix((Mask(), NGram()), (0, 0), copies=1), "all weights of mix are 0"),
        (Mix((Mask(copies=5),), size=9), "mask has copies = 5 in a mix"),
    ],
)
def test_combinations_check(augmenter: harness.Augmenter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augmenter.check()


# -- parts of speech ----------------------------------------------------------------------------------------

WORD_CLASSES = {
    "article": ["the", "a", "every", "some"],
    "adjective": ["red", "small", "old", "happy", "quick", "tired", "clever", "quiet"],
    "noun": ["cat", "dog", "bird", "teacher", "doctor", "farmer", "singer", "baker"],
    "verb": ["walks", "sings", "sleeps", "jumps", "talks", "eats", "reads", "waits"],
    "adverb": ["slowly", "quickly", "loudly", "gladly", "badly", "sadly"],
}


def grammatical(size: int) -> list[str]:
    """Sentences whose words' classes are known, of a grammar with optional parts."""
    generator = np.random.default_rng(5)

    def one(kind: str) -> str:
        return str(generator.choice(WORD_CLASSES[kind]))

    texts = []
    for _ in range(size):
        words = [one("article")]
        words += [one("adjective") for _ in range(generator.integers(0, 2))]
        words += [one("noun"), one("verb")]
        words += [one("adverb") for _ in range(generator.integers(0, 2))]
        texts.append(" ".join(words) + ".")
    return texts


def test_word_classes_recover_a_grammar() -> None:
    texts = grammatical(1000)
    kind_of = {word: kind for kind, words in WORD_CLASSES.items() for word in words}
    pairs = list(changes(texts, made(PartOfSpeechReplace(0.3, copies=3, classes=8), texts)))
    assert len(pairs) > 3000
    same = sum(kind_of[old.strip(".")] == kind_of[new.strip(".")] for old, new in pairs)
    assert same / len(pairs) > 0.95
    assert all(old.endswith(".") == new.endswith(".") for old, new in pairs)


def test_word_classes_leave_rare_words() -> None:
    texts = [*grammatical(300), "hapax legomenon walks slowly."]
    found = made(PartOfSpeechReplace(1.0, copies=20), texts)
    assert all(text.startswith("hapax legomenon") for row, text in found if row == 300)
    assert made(PartOfSpeechReplace(1.0), ["too few words", "to group"]) == []


def test_word_classes_look_at_a_sample_of_all_parts() -> None:
    texts = [f"{i} word" for i in range(10_000)]
    assert list(classes.sample(texts)) == texts
    some = [int(text.split()[0]) for text in classes.sample(texts, 4000)]
    assert 1500 <= len(some) <= 2600
    assert some[0] < 256
    assert some[-1] > 8500


class _Doc(list[Any]):
    """As much of spaCy as is used: tags are the words' last letters."""

    def __init__(self, vocab: Any, words: list[str]) -> None:
        super().__init__(types.SimpleNamespace(text=w, tag_=vocab(w), pos_="") for w in words)


def _install(monkeypatch: pytest.MonkeyPatch, vocab: Any) -> None:
    def load(name: str, exclude: Sequence[str]) -> Any:
        if name != "here":
            raise OSError(name)
        return types.SimpleNamespace(vocab=vocab, pipe=iter)

    monkeypatch.setitem(sys.modules, "spacy", types.SimpleNamespace(load=load))
    monkeypatch.setitem(sys.modules, "spacy.tokens", types.SimpleNamespace(Doc=_Doc))


def test_spacy_tags_decide_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, lambda word: word[-1])
    texts = ["ba ca db", "", "ea fb gc", "ba"] * 30
    found = made(PartOfSpeechReplace(0.5, copies=4, tagger="spacy", pipeline="here"), texts)
    pairs = set(changes(texts, found))
    assert pairs == {("ba", "ca"), ("ba", "ea"), ("ca", "ba"), ("ca", "ea"), ("ea", "ba"), ("ea", "ca")} | {
        ("db", "fb"),
        ("fb", "db"),
    }
    assert len(found) == 4 * 90


def test_spacy_absent_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "spacy", None)
        with pytest.raises(harness.Unavailable, match="pip install spacy"):
            made(PartOfSpeechReplace(tagger="spacy"), ["a text"])
    _install(monkeypatch, lambda word: "")
    with pytest.raises(harness.Unavailable, match="spacy download nl_core_news_sm"):
        made(PartOfSpeechReplace(tagger="spacy", pipeline="nl_core_news_sm"), ["a text"])
    with pytest.raises(harness.HarnessError, match="does not tag parts of speech"):
        made(PartOfSpeechReplace(tagger="spacy", pipeline="here"), ["a text"])


def _pipeline(folder: Path, tags: Sequence[str], steps: int = 40) -> list[str]:
    """A spaCy pipeline with a tagger trained on three sentences, saved to a folder; the sentences."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    lines = ["the cat sat", "a dog ran", "the bird sang"]
    examples = [Example.from_dict(nlp.make_doc(line), {"tags": list(tags)}) for line in lines]
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    for _ in range(steps):
        nlp.update(examples)
    nlp.to_disk(folder)
    return lines


def test_spacy_itself(tmp_path: Path) -> None:
    """The real library, with a small pipeline of its own."""
    lines = _pipeline(tmp_path / "pipeline", ["DT", "NN", "VB"])
    augmenter = PartOfSpeechReplace(0.5, copies=20, tagger="spacy", pipeline=str(tmp_path / "pipeline"))
    kind = {word: place for line in lines for place, word in enumerate(line.split())}
    found = list(changes(lines, made(augmenter, lines)))
    assert all(kind[old] == kind[new] for old, new in found)
    assert {kind[old] for old, _ in found} == {0, 1, 2}


def test_universal_parts_of_speech_do_where_a_pipeline_has_no_others(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    ruler: Any = nlp.add_pipe("attribute_ruler")
    for part, words in {"NOUN": ["cat", "dog"], "VERB": ["sat", "ran", "sang"]}.items():
        for word in words:
            ruler.add([[{"ORTH": word}]], {"POS": part})
    nlp.to_disk(tmp_path / "ruled")
    augmenter = PartOfSpeechReplace(1.0, copies=30, tagger="spacy", pipeline=str(tmp_path / "ruled"))
    pairs = set(
        changes(["cat sat", "dog ran", "dog sang"], made(augmenter, ["cat sat", "dog ran", "dog sang"]))
    )
    nouns, verbs = {"cat", "dog"}, {"sat", "ran", "sang"}
    assert pairs == {(old, new) for part in (nouns, verbs) for old in part for new in part - {old}}


def test_the_pipeline_that_tags_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def base(pipeline: str) -> str:
        return PartOfSpeechReplace(tagger="spacy", pipeline=pipeline).base()

    assert PartOfSpeechReplace(pipeline="nowhere").base() == ""  # clusters need none
    one, other = tmp_path / "one", tmp_path / "other"
    _pipeline(one, ["DT", "NN", "VB"], steps=1)
    shutil.copytree(one, moved := tmp_path / "moved")
    _pipeline(other, ["VB", "NN", "DT"], steps=1)
    assert base(str(one)) == base(str(moved)) != base(str(other))
    assert base(str(one)).startswith(f"spacy {spacy.__version__}, ")
    (moved / "meta.json").unlink()
    for absent in (str(moved), "nl_core_news_sm", "", "no such/folder"):
        with pytest.raises(harness.Unavailable, match="spacy download"):
            base(absent)
    site = tmp_path / "site"
    (info := site / "xx_tiny-3.8.1.dist-info").mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xx_tiny\nVersion: 3.8.1\n")
    monkeypatch.syspath_prepend(site)
    assert base("xx_tiny") == f"spacy {spacy.__version__}, xx_tiny 3.8.1"

    def absent_spacy(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent_spacy)
    with pytest.raises(harness.Unavailable, match="pip install spacy"):
        base(str(one))


def test_tagging_is_done_once_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, lambda word: word[-1])
    tagged = 0

    def tags(nlp: Any, texts: Iterator[list[str]]) -> Iterator[tuple[str, str]]:
        nonlocal tagged
        for words in texts:
            tagged += len(words)
            yield from ((word[-1], word) for word in words)

    monkeypatch.setattr(pos, "_tags", tags)
    made(PartOfSpeechReplace(0.5, copies=7, tagger="spacy", pipeline="here"), ["ba ca"] * 10)
    assert tagged == 2 * 20  # for the frequencies, and for the block


def test_which_augmenters_are_for_words_that_are_tagged() -> None:
    found = catalog.load()
    names = {
        e.name for e in found.entries.values() if e.kind == "augmenter" and e.package == catalog.DISTRIBUTION
    }
    given: dict[str, Any] = {
        "chain": {"of": [{"use": "mask"}]},
        "mix": {"of": [{"use": "mask"}], "copies": 1},
    }
    built = {name: found.build("augmenter", {"use": name, **given.get(name, {})}) for name in names}
    assert {name for name, one in built.items() if "tagging" in one.task_types} == {
        *("none", "mask", "replace", "pos-replace", "embedding-replace", "unlabelled", "chain", "mix"),
    }
    mixed = found.build("augmenter", {"use": "chain", "of": [{"use": "mask"}, {"use": "ngram"}]})
    assert mixed.task_types == {"classification", "regression"}
