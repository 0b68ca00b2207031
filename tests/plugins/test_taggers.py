"""Taggers over words' features: what they see of a word, what they learn, and how they decide."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_taggers import SIZES

from harness.api import Examples, words_before
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Featuriser, WordTokens
from harness.task_types.entities import tagging
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, FromLogits
from harness.training.inference import predict
from harness.training.model import TorchModel
from harness_students.taggers import BiLstmTagger, CnnTagger
from harness_teachers.bilstm_crf import BiLstmCrf
from harness_teachers.sequences import SequenceModel
from harness_teachers.taggers import BiLstm, CrfTagger, Windows, WordVectors, windows
from harness_teachers.word_features import WordFeatures, shape

CLASSES = ("O", "B-per", "I-per", "B-loc", "I-loc")
SMALL = SIZES | {"epochs": 60, "batch_size": 8, "dropout": 0.0, "word_dropout": 0.3}
STUDENTS = [BiLstmTagger, CnnTagger]


def examples(names: str = "Ann Bo Cy", places: str = "Rome Oslo") -> Examples:
    """Sentences in which what stands before a name says which kind it is."""
    rows = []
    for name in names.split():
        for place in places.split():
            rows += [
                (f"I met {name} Lee in {place}", [0, 0, 1, 2, 0, 3]),
                (f"{name} left", [1, 0]),
                (f"they flew to New {place} with {name} today", [0, 0, 0, 3, 4, 0, 1, 0]),
                ("nothing", [0]),
            ]
    labels = np.array([tag for _, tags in rows for tag in tags], dtype=np.int64)
    return Examples([text for text, _ in rows], CLASSES, labels, task_type=Tagging())


def features(**options: int) -> WordFeatures:
    sizes = {"affixes": 9, "shapes": 5, "letters": 11, "characters": 4, "longest": 3}
    return WordFeatures.fit(["The sun the rain", "rain The snow"], 20, **{**sizes, **options})


# -- what is seen of a word ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("Rome", "Xxxx"),
        ("Washington", "Xxxxx"),
        ("NASA-2024", "XXXX-dddd"),
        ("@bo_1", "@xx_d"),
        ("12345678", "dddd"),
        ("ÉÀé日", "XXxx"),
        ("", ""),
    ],
)
def test_shapes(word: str, written: str) -> None:
    assert shape(word) == written


def test_each_word_has_its_ids() -> None:
    made = features()
    assert made.vocabulary == ["the", "rain"] and made.size == 4 + 9 + 9 + 5 + 11 and made.each == 8
    (ids,) = made.encode(["The rainy"])
    assert len(ids) == 16
    assert ids[0] == made.size + 2 and ids[8] == made.size + 1  # a known form, and an unknown one
    for place, (start, rows) in enumerate([(4, 9), (13, 9), (22, 5), (27, 11)], start=1):
        assert all(start <= ids[at + place] < start + rows for at in (0, 8))
    assert ids[7] == 0 and 0 not in ids[8:]  # "The" has three letters, "rainy" more than four are read of


def test_unseen_words_are_told_apart_by_how_they_are_written() -> None:
    made = features(affixes=5000, shapes=5000, letters=5000)
    (walked,), (talked,), (walks,), (upper,) = (
        made.encode([w]) for w in ("walked", "talked", "walks", "WALKED")
    )
    assert walked[0] == talked[0] == walks[0]
    assert walked[1] == walks[1] != talked[1]  # how they begin
    assert walked[2] == talked[2] != walks[2]  # how they end
    assert walked[3] != upper[3] and walked[1:3] == upper[1:3]
    assert walked[4:] != talked[4:]


def test_the_first_and_last_characters_are_read() -> None:
    made = features(letters=5000)
    of = {letter: made.encode([letter])[0][4] for letter in "abcdefg"}
    assert made.encode(["abcdefg"])[0][4:] == [of[letter] for letter in "abfg"]
    assert made.encode(["abcd"])[0][4:] == [of[letter] for letter in "abcd"]
    assert made.encode(["ab"])[0][4:] == [of["a"], of["b"], 0, 0]


def test_every_word_is_marked_until_a_text_is_cut() -> None:
    made = features()
    texts = ["a b c d e", "", "x"]
    tokens = made.tokens(texts)
    assert isinstance(tokens, WordTokens)
    assert tokens.reached.tolist() == [3, 1, 1] and tokens.outputs == 7
    assert tokens.lengths.tolist() == [24, 8, 8]


def test_features_are_the_same_when_saved_and_read_back(tmp_path: Path) -> None:
    made = features()
    made.save(tmp_path)
    again = Featuriser.load(tmp_path)
    assert again.encode(["The rainy Day"]) == made.encode(["The rainy Day"]) and again.size == made.size
    assert json.loads((tmp_path / "featuriser.json").read_text())["type"] == "word-features"


# -- modules -----------------------------------------------------------------------------------------------


def test_windows_are_rows_between_their_neighbours() -> None:
    rows = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert windows(rows).tolist() == [[[0, 1, 2], [1, 2, 3], [2, 3, 0]]]


def test_vectors_by_hand() -> None:
    torch.manual_seed(0)
    vectors = WordVectors(30, 6, 2, 0.5, 0.5).eval()
    ids = torch.tensor([[33, 5, 6, 7, 8, 9, 31, 5, 6, 7, 8, 0], [34, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0]])
    found, real = vectors(ids)
    assert real.tolist() == [[True, True], [True, False]] and found.shape == (2, 2, 10)
    table = vectors.embedding.weight
    a, b, zero = table[8], table[9], torch.zeros(2)
    seen = [vectors.characters(torch.cat(span)).relu() for span in ([zero, a, b], [a, b, zero])]
    due = torch.cat([table[3], table[5], table[6], table[7], torch.maximum(*seen)])
    torch.testing.assert_close(found[0, 0], due)
    alone = vectors.characters(torch.cat([zero, a, zero])).relu()
    torch.testing.assert_close(found[0, 1, 8:], alone)
    spread = vectors.spread(found)
    assert spread.shape == (2, 12, 10) and not spread[:, 1:6].any()
    assert torch.equal(spread[:, ::6], found)


def test_forms_are_dropped_while_training() -> None:
    torch.manual_seed(0)
    vectors = WordVectors(30, 6, 2, 0.5, 0.0)
    ids = torch.tensor([[33, 5, 6, 7, 8, 9] * 400 + [0] * 6])
    found, _ = vectors(ids)
    table = vectors.embedding.weight
    unknown = (found[0, :400, :2] == table[1]).all(1)
    assert torch.equal(unknown, ~(found[0, :400, :2] == table[3]).all(1))
    assert 0.4 < unknown.float().mean() < 0.6
    assert torch.equal(found[0, :400, 2:8], found[0, :1, 2:8].expand(400, 6)) and not found[0, 400, :2].any()


def test_both_directions_are_those_of_torch() -> None:
    torch.manual_seed(0)
    made = BiLstm(5, 3, 2)
    words, lengths = torch.randn(3, 6, 5), torch.tensor([6, 1, 4])
    reference = torch.nn.LSTM(5, 3, num_layers=2, bidirectional=True, batch_first=True)
    weights: dict[str, Any] = {}
    for layer, directions in enumerate(made.layers):
        for direction, lstm in zip(("", "_reverse"), directions, strict=True):  # type: ignore[call-overload]
            weights |= {f"{name[:-1]}{layer}{direction}": value for name, value in lstm.named_parameters()}
    reference.load_state_dict(weights)
    packed = torch.nn.utils.rnn.pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    due, _ = torch.nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    real = torch.arange(6) < lengths.unsqueeze(1)
    torch.testing.assert_close(made(words, real)[real], due[real])


def test_a_convolution_sees_as_far_as_it_has_layers() -> None:
    torch.manual_seed(0)
    made = Windows(4, 6, 2)
    words, real = torch.randn(1, 9, 4), torch.ones(1, 9, dtype=torch.bool)
    other = words.clone()
    other[0, 4] += 1
    changed = (made(words, real) != made(other, real)).any(2)[0]
    assert changed.tolist() == [False, False, True, True, True, True, True, False, False]
    shorter = made(words, torch.arange(9).unsqueeze(0) < 5)
    torch.testing.assert_close(shorter[:, :5], made(words[:, :5], real[:, :5]))


# -- students ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("student", STUDENTS)
def test_students_learn_tags(student: Any, context: CheckContext, tmp_path: Path) -> None:
    given, held_out = examples(), examples("Cy Bo", "Oslo")
    assert held_out.labels is not None
    model = student(**SMALL).fit(given, held_out, FromLabels(), context)
    logits = model.predict(held_out.texts)
    assert logits.shape == (len(held_out.labels), 5)
    found = tagging(held_out.labels, logits, CLASSES, words_before(held_out.texts))
    assert found["f1"] > 0.9
    again = student(**SMALL).fit(given, held_out, FromLabels(), context)
    assert np.array_equal(again.predict(held_out.texts), logits)
    (folder := tmp_path / "saved").mkdir()
    model.save(folder)
    read = student(**SMALL).load(folder, context)
    assert np.array_equal(read.predict(held_out.texts), logits) and read.parameters() == model.parameters()


@pytest.mark.parametrize("student", STUDENTS)
def test_words_do_not_depend_on_other_texts(student: Any, context: CheckContext) -> None:
    given = examples()
    model = student(**SMALL | {"epochs": 1}).fit(given, given, FromLabels(), context)
    texts = ["Ann met Bo", "x", "they all flew to New Rome with Ann today or so"]
    together = model.predict(texts)
    alone = np.concatenate([model.predict([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("student", STUDENTS)
def test_students_are_small(student: Any) -> None:
    made = student()
    rows = made.vocabulary + 2 * made.affixes + made.shapes + made.letters
    module = made.module(rows, 10)
    count = sum(weights.numel() for weights in module.parameters())
    assert f"{count:,} parameters" in student.__doc__ and count < 300_000


@pytest.mark.parametrize("student", STUDENTS)
def test_the_exported_graph_tags_texts_of_any_length(
    student: Any, context: CheckContext, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    given = examples()
    model = student(**SMALL | {"epochs": 1}).fit(given, given, FromLabels(), context)
    assert isinstance(model, TorchModel)
    export_module(model.module, model.featuriser, CLASSES, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    texts = ["they all flew to New Rome with Ann today or so", "x", "Ann met Bo"]
    tokens = model.featuriser.tokens(texts)
    ids = tokens.batch(np.arange(3))
    (logits,) = session.run(None, {"input_ids": ids})
    assert logits.shape == (*ids.shape, 5)
    np.testing.assert_allclose(logits[tokens.picked(ids)], model.predict(texts), atol=1e-5)


def test_students_learn_from_a_teachers_marginals(context: CheckContext) -> None:
    given = examples()
    teacher = BiLstmCrf(**SMALL).fit(given, given, context)
    logits = teacher.predict(given.texts)
    student = BiLstmTagger(**SMALL | {"epochs": 200, "word_dropout": 0.0}).fit(
        replace(given, labels=None, logits=logits), given, FromLogits(), context
    )
    assert (student.predict(given.texts).argmax(1) == logits.argmax(1)).mean() > 0.95


@pytest.mark.parametrize("kind", [BiLstmTagger, CnnTagger, BiLstmCrf])
def test_hidden_states_are_what_the_last_layer_sees_of_each_word(kind: Any, context: CheckContext) -> None:
    given = examples()
    made = kind(**SMALL | {"epochs": 1})
    model = made.fit(given, given, *([FromLabels()] if kind is not BiLstmCrf else []), context)
    hidden = torch.from_numpy(model.hidden(given.texts))
    with torch.inference_mode():
        due = model.module.output(hidden)
    ids = torch.from_numpy(model.featuriser.tokens(["Ann met Bo"]).batch(np.arange(1)))
    with torch.inference_mode():
        shown = model.module.outputs(ids, {"hidden"})
    assert shown["hidden"].shape == (1, ids.shape[1], hidden.shape[1])
    if kind is BiLstmCrf:  # its logits are marginals
        found = predict(model.module, model.featuriser.tokens(given.texts), context, output="emissions")
    else:
        found = model.predict(given.texts)
    np.testing.assert_allclose(found, due, atol=1e-5)


# -- bilstm-crf --------------------------------------------------------------------------------------------


def test_the_teacher_learns_whole_texts(context: CheckContext, tmp_path: Path) -> None:
    given, held_out = examples(), examples("Cy Bo", "Oslo")
    assert held_out.labels is not None
    model = BiLstmCrf(**SMALL).fit(given, held_out, context)
    logits = model.predict(held_out.texts)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, rtol=1e-4)
    tags = model.decide(held_out.texts, logits)
    assert tags.shape == (len(logits),) and tags.dtype == np.int64
    found = tagging(held_out.labels, logits, CLASSES, words_before(held_out.texts), predicted=tags)
    assert found["f1"] > 0.9
    again = BiLstmCrf(**SMALL).fit(given, held_out, context)
    assert np.array_equal(again.predict(held_out.texts), logits)
    (folder := tmp_path / "saved").mkdir()
    model.save(folder)
    read = BiLstmCrf(**SMALL).load(folder, context)
    assert np.array_equal(read.predict(held_out.texts), logits)
    assert np.array_equal(read.decide(held_out.texts, logits), tags)


def test_decisions_are_those_of_the_best_sequence(context: CheckContext, monkeypatch: Any) -> None:
    """Text by text, by the tested search, whatever the size of the blocks; what is cut off is outside."""
    from harness_teachers import sequences

    given = examples()
    model = BiLstmCrf(**SMALL | {"epochs": 1, "longest": 5}).fit(given, given, context)
    assert isinstance(model, SequenceModel) and isinstance(model.module, CrfTagger)
    with torch.no_grad():  # so that words' best tags are often not the best sequence's
        generator = torch.Generator().manual_seed(0)
        for weights in (model.module.crf.transitions, model.module.vectors.embedding.weight):
            torch.nn.init.normal_(weights, generator=generator)
    due: list[int] = []
    for text in given.texts:
        tokens = model.featuriser.tokens([text])
        with torch.inference_mode():
            found = model.module.outputs(torch.from_numpy(tokens.batch(np.arange(1))), {"emissions"})
        emissions = found["emissions"][:, :: model.featuriser.each]  # type: ignore[attr-defined]
        due += model.module.crf.best(emissions, torch.tensor([emissions.shape[1]]))[0].tolist()
        due += [0] * (len(text.split(" ")) - emissions.shape[1])
    monkeypatch.setattr(sequences, "_AT_ONCE", 3)
    logits = model.predict(given.texts)
    assert model.decide(given.texts, logits).tolist() == due != logits.argmax(1).tolist()


def test_words_without_gold_tags_may_be_any(context: CheckContext) -> None:
    given = examples()
    assert given.labels is not None
    labels = given.labels.copy()
    labels[::3] = -1
    model = BiLstmCrf(**SMALL).fit(replace(given, labels=labels), given, context)
    tags = model.decide(given.texts, model.predict(given.texts))
    assert (tags == given.labels).mean() > 0.9
