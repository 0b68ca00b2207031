"""Which tokens are hidden from a language model, and what stands in their places."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from masked_models import SPECIAL, TEXTS, WORDS, featuriser

from harness import HarnessError
from harness.featurise import tokens as tokens_module
from harness.featurise.featuriser import Featuriser, MaskedSubwords
from harness.featurise.tokens import MaskedTokens, Tokens, WordTokens

SIZE = len(SPECIAL) + len(WORDS)
MASK = 4


def long_texts(texts: int = 400, length: int = 40) -> MaskedTokens:
    """Texts of `length` ids from 5 to 24, between an id of the start and one of the end."""
    words = np.random.default_rng(0).integers(5, 25, (texts, length))
    ids = np.pad(words, ((0, 0), (1, 1)), constant_values=((0, 0), (2, 3)))
    return MaskedTokens(
        ids.astype(np.int32).ravel(), np.arange(texts + 1) * (length + 2), 0, SIZE, MASK, range(5)
    )


def masked(texts: list[str]) -> MaskedTokens:
    found = featuriser().tokens(texts)
    assert isinstance(found, MaskedTokens)
    return found


# -- training ------------------------------------------------------------------------------------------------


def test_a_share_of_each_text_is_hidden_and_nothing_else_changes() -> None:
    tokens = long_texts()
    rows = np.arange(400)
    drawn, plain = tokens.draw(rows, 0, 3, 0), tokens.batch(rows)
    marked = drawn.ids >= SIZE
    assert (marked.sum(1) == 6).all()  # 15 % of 40
    assert drawn.gold is not None and drawn.rows == 2400
    assert np.array_equal(drawn.gold, plain[marked])  # in the order of texts, and of tokens in each
    assert np.array_equal(drawn.ids[~marked], plain[~marked])
    assert not (plain[marked] < 5).any()
    assert drawn.places is None and drawn.picked is None and drawn.counts is None


def test_what_stands_in_place_of_hidden_tokens() -> None:
    tokens = long_texts(4000)
    drawn = tokens.draw(np.arange(4000), 1, 0, 0)
    shown = drawn.ids[drawn.ids >= SIZE] - SIZE
    assert drawn.gold is not None
    is_mask, is_own = shown == MASK, shown == drawn.gold
    assert is_mask.mean() == pytest.approx(0.8, abs=0.01)
    # One of 20 random tokens is the token itself by chance; ids 5 to 25 are drawn, those of 21 words.
    assert is_own.mean() == pytest.approx(0.1 + 0.1 / 21, abs=0.01)
    others = Counter(shown[~is_mask & ~is_own].tolist())
    assert set(others) == set(range(5, SIZE))  # never a special one


def test_all_tokens_are_hidden_at_some_time_and_none_more_often_than_others() -> None:
    tokens = long_texts(50)
    rows = np.arange(50)
    often = np.mean([tokens.draw(rows, 0, step, 0).ids >= SIZE for step in range(400)], axis=0)
    assert (often[:, [0, 41]] == 0).all()
    assert often[:, 1:41].min() > 0.05 and often[:, 1:41].max() < 0.27
    assert often[:, 1:41].mean() == pytest.approx(0.15)


def test_seed_step_and_part_alone_say_what_is_hidden() -> None:
    tokens, rows = long_texts(8), np.arange(8)
    first = tokens.draw(rows, 1, 2, 3).ids
    np.random.default_rng(0).random()
    assert np.array_equal(first, tokens.draw(rows, 1, 2, 3).ids)
    for other in ((0, 2, 3), (1, 3, 3), (1, 2, 0)):
        assert not np.array_equal(first, tokens.draw(rows, *other).ids)


@pytest.mark.parametrize(
    ("text", "hidden"), [("", 0), ("fog fog", 0), ("no", 1), ("the sun is here", 1), ("sun " * 10, 2)]
)
def test_at_least_one_token_where_there_is_any(text: str, hidden: int) -> None:
    tokens = masked([text, "the rain is here so much more"])  # an unknown word is no token to tell
    for drawn in (tokens.draw(np.array([0, 1]), 0, 0, 0), tokens.fixed(np.array([0, 1]))):
        assert (drawn.ids[0] >= SIZE).sum() == hidden
        assert (drawn.ids[1] >= SIZE).sum() == 1  # 15 % of 7
        assert drawn.rows == hidden + 1


def test_plain_texts_and_tagged_words_are_drawn_as_they_are() -> None:
    ids, offsets = np.array([5, 6, 7], np.int32), np.array([0, 2, 3])
    drawn = Tokens(ids, offsets).draw(np.array([1, 0]), 9, 9, 9)
    assert drawn.ids.tolist() == [[7, 0], [5, 6]] and drawn.places is not None
    assert drawn.places.tolist() == [1, 0] and drawn.rows == 2
    assert drawn.picked is None and drawn.gold is None and drawn.counts is None
    words = WordTokens(np.array([25, 6, 27], np.int32), offsets, 0, 20, np.array([0, 1, 2]))
    drawn = words.draw(np.array([1, 0]), 9, 9, 9)
    assert drawn.places is not None and drawn.picked is not None and drawn.counts is not None
    assert drawn.places.tolist() == [1, 0] and drawn.counts.tolist() == [1, 1]
    assert drawn.picked.tolist() == [[True, False], [True, False]]


def test_tables_are_looked_at_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 40, 500).astype(np.int32)
    offsets = np.unique(np.concatenate([[0, 500], rng.integers(1, 500, 80)]))
    ids[offsets[:-1]] |= 20  # each text's first id is marked
    words = np.concatenate([[0], np.cumsum(np.add.reduceat(ids >= 20, offsets[:-1]))])
    for part in (7, 1 << 22):
        monkeypatch.setattr("harness.featurise.tokens._PART", part)
        tokens = WordTokens(ids, offsets, 0, 20, words)
        assert tokens.reached.tolist() == np.diff(words).tolist()
        assert tokens.used().tolist() == np.unique(ids % 20).tolist()
        assert Tokens(ids, offsets).used().tolist() == np.unique(ids).tolist()


def test_words_that_a_teacher_did_not_read_are_not_drawn() -> None:
    offsets, words = np.array([0, 4, 6]), np.array([0, 3, 5])
    tokens = WordTokens(np.array([25, 6, 27, 28, 25, 26], np.int32), offsets, 0, 20, words)
    logits = np.array([[1, 0], [0, 0], [0, 0], [0, 0], [0, 2]], np.float32)
    taught = tokens.taught(logits)
    assert taught.ids.tolist() == [25, 6, 7, 8, 25, 26]  # the first word of a text always
    assert taught.draw(np.array([0, 1]), 9, 9, 9).places.tolist() == [0, 3, 4]  # type: ignore[union-attr]
    assert tokens.ids.tolist() == [25, 6, 27, 28, 25, 26] and taught.outputs == 5
    assert tokens.taught(logits + 1) is tokens
    undecided = np.array([[1, 0], [0, 0], [2, 0], [1, 0], [0, 0]], np.float32)  # of a word that it did read
    assert tokens.taught(undecided).ids.tolist() == [25, 6, 27, 28, 25, 6]
    assert tokens.taught(undecided).draw(np.array([0]), 9, 9, 9).places.tolist() == [0, 1, 2]  # type: ignore[union-attr]


# -- scoring -------------------------------------------------------------------------------------------------


def test_for_scoring_a_texts_own_ids_say_what_is_hidden() -> None:
    tokens = masked(TEXTS)
    whole = tokens.fixed(np.arange(len(TEXTS)))
    assert whole.counts is not None and whole.counts.tolist() == [1, 1, 1, 1, 0, 1]
    for row in range(len(TEXTS)):
        alone = tokens.fixed(np.array([row])).ids[0]  # in other company, and padded less
        assert np.array_equal(alone, whole.ids[row, : len(alone)])
        again = masked(["a", TEXTS[row]]).fixed(np.array([1])).ids[0]  # in another place
        assert np.array_equal(alone, again[: len(alone)])
    assert set(whole.ids[whole.ids >= SIZE].tolist()) == {MASK + SIZE}  # all by the mask
    long = long_texts()
    drawn = long.fixed(np.arange(400))
    often = (drawn.ids >= SIZE).mean(0)
    assert often[1:41].min() > 0.07 and often[1:41].max() < 0.24 and often[[0, 41]].max() == 0


def test_masks_that_a_text_holds_are_marked() -> None:
    tokens = masked(["the [MASK] is [MASK]", "no", "[MASK]"])
    drawn = tokens.masks(np.array([2, 0, 1]))
    assert drawn.counts is not None and drawn.counts.tolist() == [1, 2, 0]
    assert (drawn.ids[1] >= SIZE).tolist() == [False, False, True, False, True, False]
    training = tokens.draw(np.array([0]), 0, 0, 0)  # what is hidden already is nothing to learn from
    assert training.gold is not None and training.gold[0] != MASK


# -- the featuriser ------------------------------------------------------------------------------------------


def test_special_ids_are_the_tokenizers_own() -> None:
    reads = featuriser()
    assert reads.special == [0, 1, 2, 3, 4] and reads.size == SIZE
    assert reads.encode(["the [MASK] unknown fog"]) == [[2, 5, 4, 24, 25, 1, 3]]


def test_a_mask_by_any_other_name() -> None:
    reads = featuriser(specials=("<pad>", "<unk>", "<s>", "</s>", "<mask>"))
    assert reads.encode(["the [MASK] is"]) == [[2, 5, 4, 10, 3]]
    assert reads.masks("the [MASK] is <mask>") == 2
    assert featuriser().masks("the [MASK] is [MASK]") == 2


def test_saved_and_loaded(tmp_path) -> None:  # type: ignore[no-untyped-def]
    reads = featuriser(5)
    reads.save(tmp_path)
    loaded = Featuriser.load(tmp_path)
    assert isinstance(loaded, MaskedSubwords)
    assert (loaded.mask, loaded.special, loaded.longest) == (reads.mask, reads.special, 5)
    assert loaded.encode(["the [MASK] is here so"]) == reads.encode(["the [MASK] is here so"])


def test_a_mask_that_is_no_id_is_said() -> None:
    with pytest.raises(HarnessError, match="expected the mask's id below 26, the tokenizer's size, got 99"):
        MaskedSubwords(featuriser().tokenizer, 8, 0, 99)


# -- tables on disk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", [False, True])
def test_ids_of_a_long_table_are_renamed_as_they_are_read(
    monkeypatch: pytest.MonkeyPatch, marks: bool
) -> None:
    ids = np.random.default_rng(0).integers(1, 20, 600).astype(np.int32)
    offsets = np.arange(0, 601, 3)
    ids[::2] += 20 * marks  # every other id is the first of a word
    words = np.concatenate([[0], np.cumsum(np.add.reduceat(ids >= 20, offsets[:-1]))])
    tokens = WordTokens(ids, offsets, 0, 20, words) if marks else Tokens(ids, offsets)
    names, again = (
        np.random.default_rng(1).permutation(20).astype(np.int32),
        np.arange(20, dtype=np.int32)[::-1],
    )
    rows = np.array([5, 0, 199, 7])
    whole = tokens.renamed(names, 20).renamed(again, 20)
    monkeypatch.setattr(tokens_module, "IN_MEMORY", 100)
    later = tokens.renamed(names, 20).renamed(again, 20)
    assert later.ids is ids and whole.ids is not ids
    assert np.array_equal(later.batch(rows), whole.batch(rows))
    assert not np.array_equal(later.batch(rows), tokens.batch(rows))
    assert np.array_equal(later.used(), whole.used())
    assert np.array_equal(later.targets(rows), whole.targets(rows))
    assert np.array_equal(later.lengths_of(rows), whole.lengths[rows])
