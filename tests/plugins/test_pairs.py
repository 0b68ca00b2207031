"""Pairs of texts: encoded and scored as transformers itself does it, and kept as pairs by augmenters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harness.api import PAIR_SEPARATOR, Batch, Examples, HarnessError, TaskType
from harness.exports.onnx import OnnxModel
from harness.featurise.featuriser import Featuriser, Subwords, Words
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression
from harness.testing.tiny import CheckContext, tiny_examples
from harness_augmenters.combine import Chain
from harness_augmenters.pos import PartOfSpeechReplace
from harness_augmenters.spans import NGram, Sentence
from harness_augmenters.words import Drop, Mask, Replace
from harness_students.ngrams import HashedNgrams
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.gold import GoldLabels
from harness_transformers.transformer import MiniLM, Transformer

Folder = Callable[[str], Path]
PAIRS = [
    ("the sun is here", "no rain , she said"),
    ("so much wind", "snow"),
    ("i like the rain " * 9, "a sun"),
]
JOINED = [PAIR_SEPARATOR.join(pair) for pair in PAIRS]
SINGLE = ["the sun is here", "snow [SEP"]
HALVES = ["[SEP] a", "a [SEP]", "a[SEP]b"]  # no pairs
LONGEST = 20


def theirs(folder: Path, given: Sequence[Any]) -> list[dict[str, list[int]]]:
    """What transformers makes of texts and pairs."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    cut = {"truncation": "longest_first", "max_length": LONGEST, "return_token_type_ids": True}
    pairs = [one if isinstance(one, tuple) else (one,) for one in given]
    return [dict(tokenizer(*pair, **cut)) for pair in pairs]


def featuriser(folder: Path) -> Subwords:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Subwords(tokenizer.backend_tokenizer, LONGEST, tokenizer.pad_token_id)


@pytest.mark.parametrize("kind", ["bert", "roberta", "minilm"])
def test_pairs_are_encoded_as_transformers_does(kind: str, folder_of: Folder) -> None:
    folder = MiniLM().folder() if kind == "minilm" else folder_of(kind)
    found = featuriser(folder).encode([*JOINED, *SINGLE, *HALVES])
    assert found == [one["input_ids"] for one in theirs(folder, [*PAIRS, *SINGLE, *HALVES])]
    assert max(map(len, found)) == LONGEST  # the long one was cut


def test_what_lies_between_the_texts(folder_of: Folder) -> None:
    bert, roberta = (featuriser(folder_of(kind)) for kind in ("bert", "roberta"))
    assert (bert.separator, roberta.separator) == (3, None)
    first, second = roberta.encode([JOINED[1]])[0], bert.encode([JOINED[1]])[0]
    assert first.count(2) == 3 and second.count(3) == 2
    assert bert.state()["separator"] == 3 and Subwords.restore(bert.state()).separator == 3


def test_a_template_without_anything_between_reads_one_text(folder_of: Folder) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(featuriser(folder_of("bert")).state()["tokenizer"])
    tokenizer.post_processor = None  # type: ignore[assignment]
    plain = Subwords(tokenizer, LONGEST, 0)
    assert not plain.pairs and plain.separator is None
    assert plain.encode([JOINED[1]])[0] == tokenizer.encode(JOINED[1]).ids


@pytest.mark.parametrize("pooling", ["head", "mean", "cls"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pairs_are_scored_as_transformers_does(
    kind: str, pooling: Any, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    teacher = Transformer(model=str(folder_of(kind)), epochs=1, pooling=pooling, longest=LONGEST, dropout=0.0)
    labels = np.array([0, 1, 1, 0, 1])
    examples = Examples([*JOINED, *SINGLE], ("no", "yes"), labels)
    model: Any = teacher.fit(examples, examples, context)
    logits = model.predict([*JOINED, *SINGLE])
    assert np.abs(by_hand(model, folder_of(kind)) - logits).max() < 1e-5
    # Types matter to BERT, and they are derived where a model is loaded or exported too.
    (saved := tmp_path / "saved").mkdir()
    model.save(saved)
    assert np.abs(teacher.load(saved, context).predict([*JOINED, *SINGLE]) - logits).max() < 1e-6
    (exported := tmp_path / "exported").mkdir()
    model.export(exported)
    assert np.abs(OnnxModel(exported).predict([*JOINED, *SINGLE]) - logits).max() < 1e-4
    if kind == "bert":
        model.module.separator = None
        assert np.abs(model.predict(JOINED) - logits[: len(JOINED)]).max() > 1e-3


def by_hand(model: Any, folder: Path) -> NDArray[np.float32]:
    """The logits, one text or pair at a time, by transformers' own tokenizer and the bare encoder."""
    module, rows = model.module, []
    for one in theirs(folder, [*PAIRS, *SINGLE]):
        given = {name: torch.tensor([ids]) for name, ids in one.items()}
        if module.encoder.config.model_type == "roberta":
            del given["token_type_ids"]
        with torch.no_grad():
            out = module.encoder(**given)
            if module.output is None:
                rows.append(out.logits[0])
            else:
                states = out.last_hidden_state[0]
                rows.append(module.output(states[0] if module.pooling == "cls" else states.mean(0)))
    return torch.stack(rows).numpy()


def test_minilm_scores_pairs_as_transformers_does(context: CheckContext) -> None:
    folder = MiniLM().folder()
    teacher = MiniLM(epochs=1, longest=LONGEST, dropout=0.0)
    examples = Examples([*JOINED, *SINGLE], ("score",), np.linspace(0, 5, 5, dtype=np.float32))
    model: Any = teacher.fit(examples, examples, context)
    assert np.abs(by_hand(model, folder) - model.predict([*JOINED, *SINGLE])).max() < 1e-4


def test_words_see_the_separator_as_one_known_token() -> None:
    words = Words.fit([*JOINED, *JOINED], 100)
    assert "[sep]" in words.vocabulary
    a, separator, b = (words.encode([text])[0] for text in ("so much wind", PAIR_SEPARATOR, "snow"))
    assert words.encode([JOINED[1]]) == [a + separator + b] and len(separator) == 1
    restored = Featuriser._known["words"].restore(words.state())
    assert restored.encode(JOINED) == words.encode(JOINED)


def test_hashed_ngrams_see_the_separator_as_one_token() -> None:
    ngrams = HashedNgrams(1000, 1, 3, 5, 128)
    assert len(ngrams.encode([PAIR_SEPARATOR])[0]) == 1
    a, separator, b = (ngrams.encode([text])[0] for text in ("wind", PAIR_SEPARATOR, "snow"))
    assert ngrams.encode(["wind [SEP] snow"]) == [a + separator + b]


def test_gold_scores_teach_by_their_squared_error() -> None:
    student = torch.tensor([[1.0], [2.0]], requires_grad=True)
    loss = GoldLabels(Regression())(student, None, Batch(torch.tensor([float("nan"), 5.0]), 2))
    loss.backward()
    assert loss.item() == 9 and student.grad is not None and student.grad[:, 0].tolist() == [0, -6]


@pytest.mark.parametrize(
    ("task_type", "width", "none"), [(Regression(), 1, torch.nan), (Classification(), 3, -1)]
)
def test_a_batch_without_gold_labels_teaches_nothing(task_type: TaskType, width: int, none: float) -> None:
    student = torch.randn(2, width, requires_grad=True)
    loss = GoldLabels(task_type)(student, None, Batch(torch.tensor([none, none]), 2))
    loss.backward()
    assert loss.item() == 0 and student.grad is not None and not student.grad.any()


def test_a_checkpoint_has_one_label_where_it_scores(folder_of: Folder, context: CheckContext) -> None:
    examples = tiny_examples(Regression())
    scorer = Checkpoint(model=str(folder_of("scorer")), regression=True)
    assert scorer.task_types == {"regression"} and Checkpoint(model="x").task_types == {"classification"}
    assert scorer.fit(*examples, context).predict(JOINED).shape == (len(JOINED), 1)
    with pytest.raises(HarnessError, match="was not fine-tuned to score: it has the labels It's snow, "):
        Checkpoint(model=str(folder_of("classifier"))).fit(*examples, context)


AUGMENTERS = [
    Mask(probability=0.5, copies=20),
    Replace(probability=0.5, copies=20),
    Drop(probability=0.5, copies=20),
    NGram(copies=20),
    Sentence(copies=20),
    PartOfSpeechReplace(probability=0.5, copies=20, classes=2),
    Chain(of=(Drop(probability=0.3), Mask(), NGram(maximum=3)), copies=20),
]
CORPUS = [
    "a b c d e [SEP] v w x y z",
    "a b. c d! e [SEP] v w. x y z",
    "just one text here, of two. indeed",
    "a [SEP] v w x",
    "a b c [SEP] v",
    "a [SEP] v",
] * 5


@pytest.mark.parametrize("augmenter", AUGMENTERS, ids=lambda a: a.name)
def test_augmenters_keep_pairs(augmenter: Any) -> None:
    made = list(augmenter(CORPUS, np.random.default_rng(0)))
    assert {row % 6 for row, _ in made} >= {0, 1, 2} - ({0, 2} if isinstance(augmenter, Sentence) else set())
    for row, text in made:
        assert text.count("[SEP]") == CORPUS[row].count("[SEP]")
        if PAIR_SEPARATOR not in CORPUS[row]:
            continue
        for mine, given in zip(text.split(PAIR_SEPARATOR), CORPUS[row].split(PAIR_SEPARATOR), strict=True):
            assert mine.strip()
            if not isinstance(augmenter, Replace | PartOfSpeechReplace):  # no word has moved across
                assert {*mine.split()} <= {*given.split(), "[MASK]"}


def test_what_drop_leaves_of_a_pair() -> None:
    def made(text: str) -> set[str]:
        return {new for _, new in Drop(probability=0.0, copies=200)([text], np.random.default_rng(0))}

    assert made("a [SEP] v") == set()
    assert made("a [SEP] v w") == {"a [SEP] v", "a [SEP] w"}
    assert made("a b [SEP] v") == {"a [SEP] v", "b [SEP] v"}
    assert made("a b [SEP] v [SEP]") == {  # only the first separates
        *("a [SEP] v [SEP]", "b [SEP] v [SEP]", "a b [SEP] v", "a b [SEP] [SEP]"),
    }
    sure = {new for _, new in Drop(probability=1.0, copies=200)(["a b [SEP] v w"], np.random.default_rng(0))}
    assert sure == {f"{a} [SEP] {v}" for a in "ab" for v in "vw"}


def test_ngrams_of_both_texts_of_a_pair() -> None:
    texts = ["a b c [SEP] v", " [SEP] v w"]
    made = {text for _, text in NGram(minimum=2, copies=300)(texts[:1], np.random.default_rng(0))}
    assert made == {"a b [SEP] v", "b c [SEP] v"}
    assert {text for _, text in NGram(copies=300)(texts[1:], np.random.default_rng(0))} == {
        " [SEP] v",
        " [SEP] w",
    }
    assert not list(NGram()(["a [SEP] v"], np.random.default_rng(0)))


def test_one_sentence_of_a_pair() -> None:
    texts = ["One here. Two there. [SEP] Three.", "One. [SEP] Two."]
    made = list(Sentence(copies=9)(texts, np.random.default_rng(0)))
    assert sorted(made) == [(0, "One here. [SEP] Three."), (0, "Two there. [SEP] Three.")]


def test_the_separator_is_never_drawn() -> None:
    corpus = ["a b e f [SEP] b g", "c [SEP] d", "lone words that many others replace"] * 20
    for augmenter in (
        Replace(probability=1.0, copies=5),
        PartOfSpeechReplace(probability=1.0, copies=5, classes=2),
    ):
        new = [text for row, text in augmenter(corpus, np.random.default_rng(0)) if row % 3 == 2]
        assert new and not any("[SEP]" in text for text in new)
