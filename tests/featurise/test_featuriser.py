"""Texts to ids: words, subwords, and the tables that ids lie in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from harness import HarnessError
from harness.featurise import arrays
from harness.featurise import featuriser as featurise
from harness.featurise.featuriser import (
    PADDING,
    UNKNOWN,
    Featuriser,
    Subwords,
    Tokens,
    Words,
    WordSubwords,
    batches_by_length,
)

TEXTS = ["the sun , the rain", "rain rain rain !", "", "a sun", "wind"]


def subwords(longest: int = 8, special: bool = True) -> Subwords:
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "sun": 4, "rain": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return Subwords(tokenizer, longest, padding=1)


def lists(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in np.split(np.asarray(tokens.ids), tokens.offsets[1:-1])]


# -- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The SUN shines", ["the", "sun", "shines"]),
        ("don't, can’t!", ["don't", ",", "can’t", "!"]),
        ("rock 'n' roll", ["rock", "'", "n", "'", "roll"]),
        ("so...\t\nwell", ["so", ".", ".", ".", "well"]),
        ("naïve café №5 東京", ["naïve", "café", "№", "5", "東京"]),
        ("a [MASK] b [mask]", ["a", "b"]),
        ("[mast]", ["[", "mast", "]"]),
        (":-) 🙂", [":", "-", ")", "🙂"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    featuriser = Words.fit([text], 100)
    assert set(featuriser.vocabulary) == set(words)
    names = ["", "", *featuriser.vocabulary]
    known = [names[id_] for id_ in featuriser.encode([text])[0] if id_ != UNKNOWN]
    assert known == words


def test_the_most_frequent_words_are_kept_and_ties_go_by_name() -> None:
    texts = ["b b b c c a a d", "e [MASK] [MASK] [MASK] [MASK]"]
    assert Words.fit(texts, 100).vocabulary == ["b", "a", "c", "d", "e"]
    small = Words.fit(iter(texts), 5)  # of which padding and unknown words are two
    assert small.vocabulary == ["b", "a", "c"]
    assert small.size == 5
    assert small.encode(["c b a d x"]) == [[4, 2, 3, UNKNOWN, UNKNOWN]]


def test_a_mask_is_one_unknown_word() -> None:
    featuriser = Words.fit(["a b"], 10)
    assert featuriser.encode(["a [MASK] b"]) == [[2, UNKNOWN, 3]]


def test_texts_without_words_are_one_unknown_word() -> None:
    assert Words.fit(["a"], 10).encode(["", " \n", "a"]) == [[UNKNOWN], [UNKNOWN], [2]]


def test_long_texts_are_cut() -> None:
    assert Words.fit(["a b"], 10, longest=3).encode(["a b a b a", "b"]) == [[2, 3, 2], [3]]


def test_no_word_is_padding() -> None:
    featuriser = Words.fit(TEXTS, 6)
    ids = [id_ for ids in featuriser.encode(TEXTS) for id_ in ids]
    assert min(ids) > PADDING and max(ids) < featuriser.size


# -- subwords -------------------------------------------------------------------------------------------


def test_subwords_are_the_tokenizers_own() -> None:
    featuriser = subwords()
    assert featuriser.encode(["sun rain fog", ""]) == [[0, 4, 5, 3, 2], [0, 2]]
    assert featuriser.size == 6 and featuriser.padding == 1


@pytest.mark.parametrize("special", [["<mask>", "<unk>"], ["<unk>"], []])
def test_a_mask_is_what_the_tokenizer_calls_it(special: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["<pad>", *special]
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(special_tokens=names, initial_alphabet=alphabet))
    read = [tokenizer.id_to_token(id_) for id_ in Subwords(tokenizer, 20, 0).encode(["a [MASK] sun"])[0]]
    hidden = special[:1] or ["[", *"MASK", "]"]
    assert "".join(read) == f"ĠaĠ{''.join(hidden)}Ġsun"
    words = WordSubwords(tokenizer, 20, padding=0)
    marked = [tokenizer.id_to_token(id_ % words.size) for id_ in words.encode(["a [MASK] sun"])[0]]
    assert set(hidden) <= set(marked)


def test_long_texts_are_cut_within_their_special_tokens() -> None:
    assert subwords(longest=4).encode(["sun rain sun rain"]) == [[0, 4, 5, 2]]


def test_a_tokenizers_own_padding_and_truncation_are_overruled() -> None:
    tokenizer = subwords().tokenizer
    tokenizer.enable_padding(length=20, pad_id=1, pad_token="<pad>")
    tokenizer.enable_truncation(2)
    assert Subwords(tokenizer, 8, padding=1).encode(["sun", "sun rain"]) == [[0, 4, 2], [0, 4, 5, 2]]


def test_an_empty_text_without_special_tokens_is_padding() -> None:
    assert subwords(special=False).encode(["", "sun"]) == [[1], [4]]


# -- saving ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("featuriser", [Words.fit(['naïve 東京 "quoted" a'], 10, 7), subwords(longest=5)])
def test_saved_and_loaded(featuriser: Featuriser, tmp_path: Path) -> None:
    featuriser.save(tmp_path)
    loaded = Featuriser.load(tmp_path)
    texts = ["naïve 東京 sun", "rain " * 20, ""]
    assert type(loaded) is type(featuriser)
    assert loaded.encode(texts) == featuriser.encode(texts)
    assert (loaded.size, loaded.padding) == (featuriser.size, featuriser.padding)


@pytest.mark.parametrize("type_", ["os.path", "/etc/passwd", None, 3])
def test_a_type_is_one_of_those_known(type_: object, tmp_path: Path) -> None:
    (tmp_path / "featuriser.json").write_text(json.dumps({"type": type_}))
    with pytest.raises(
        HarnessError, match=r"unknown type .* in featuriser\.json .allowed: .*subwords, words"
    ):
        Featuriser.load(tmp_path)


def test_featurising_and_running_an_export_need_no_torch() -> None:
    code = "import sys, harness.featurise.featuriser, harness.exports.onnx; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- tables ---------------------------------------------------------------------------------------------


def test_tokens_hold_each_texts_ids() -> None:
    featuriser = Words.fit(TEXTS, 20)
    tokens = featuriser.tokens(TEXTS)
    assert lists(tokens) == featuriser.encode(TEXTS)
    assert tokens.lengths.tolist() == [5, 4, 1, 2, 1] and len(tokens) == 5
    assert len(featuriser.tokens([])) == 0


def test_a_batch_is_padded_to_its_longest() -> None:
    tokens = Tokens(np.array([5, 6, 7, 8, 9, 4], np.int32), np.array([0, 3, 4, 6]), padding=1)
    batch = tokens.batch(np.array([2, 1, 2]))
    assert batch.tolist() == [[9, 4], [8, 1], [9, 4]]
    assert batch.dtype == np.int64
    assert tokens.batch(np.array([1, 0])).tolist() == [[8, 1, 1], [5, 6, 7]]
    assert tokens.batch(np.array([2])).tolist() == [[9, 4]]


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    featuriser = Words.fit(TEXTS, 20)
    whole = featuriser.tokens(TEXTS)
    monkeypatch.setattr(featurise, "_CHUNK", 2)
    parts = featuriser.tokens(TEXTS)
    assert np.array_equal(parts.ids, whole.ids) and np.array_equal(parts.offsets, whole.offsets)


def test_a_large_table_lies_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(featurise, "_CHUNK", 2)
    monkeypatch.setattr(arrays, "IN_MEMORY", 20)
    first, second = Words.fit(TEXTS, 20), Words.fit(["wind"], 20)
    tables = [each.tokens(TEXTS, tmp_path) for each in (first, second, first)]  # as members of an ensemble do
    for featuriser, table in zip((first, second, first), tables, strict=True):
        assert isinstance(table.ids, np.memmap)
        assert lists(table) == featuriser.encode(TEXTS)
        assert isinstance(table.offsets, np.memmap)
    assert len(list(tmp_path.iterdir())) == 6
    assert not isinstance(first.tokens(TEXTS).ids, np.memmap)


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_scoring_batches(budget: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    tokens = Tokens(np.zeros(lengths.sum(), np.int32), np.concatenate([[0], np.cumsum(lengths)]))
    batches = list(batches_by_length(tokens, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in batches)
    assert all(np.diff(lengths[np.concatenate(batches)]) <= 0)
    assert list(batches_by_length(Words.fit(["a"], 3).tokens([]), 10)) == []
