"""Words replaced by their neighbours in a pretrained model's embeddings."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.api import PAIR_SEPARATOR
from harness_augmenters import embeddings
from harness_augmenters.combine import Chain, Mix
from harness_augmenters.embeddings import (
    EmbeddingReplace,
    frequent,
    like,
    nearest,
    whole_words,
    word_vectors,
)
from harness_augmenters.languages import check_language, frequent_words, language_of
from harness_augmenters.words import Mask
from harness_teachers.precomputed import Precomputed
from harness_transformers.transformer import MiniLM, Transformer

# Degrees on a circle: each word's neighbours can be read off. Subwords are those of BERT.
ANGLES = {"sun": -3, "rain": 10, "wind": 30, "snow": 60, "hail": 100, "fo": 40, "##g": 80, "storm": 180}


def saved(folder: Path, vectors: Mapping[str, Sequence[float]], name: str = "word_embeddings.weight") -> Path:
    """A model folder with a table of 2-D embeddings and a tokenizer, and nothing else."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = ["[UNK]", *vectors]
    table = np.array([[5.0, 5.0], *vectors.values()], dtype=np.float32)
    model = models.WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(1)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    other = np.zeros((3, 2), dtype=np.float32)
    save_file(
        {f"embeddings.{name}": table, "a.b.word_embeddings.weight": other}, folder / "model.safetensors"
    )
    return folder


@pytest.fixture
def circle(tmp_path: Path) -> Transformer:
    radius = np.linspace(0.5, 3, len(ANGLES))  # lengths do not count
    at = np.radians(list(ANGLES.values()))
    points = np.stack([radius * np.cos(at), radius * np.sin(at)], axis=1).tolist()
    return Transformer(model=str(saved(tmp_path / "circle", dict(zip(ANGLES, points, strict=True)))))


def corpus_of(*words: str) -> list[str]:
    return [" ".join(words)] * 2


def changes(augmenter: harness.Augmenter, texts: Sequence[str], seed: int = 0) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row, text in augmenter(texts, np.random.default_rng(seed)):
        pairs = zip(texts[row].split(), text.split(), strict=True)
        found.update((old, new) for old, new in pairs if old != new)
    return found


def test_exact_neighbours_on_a_circle(circle: Transformer) -> None:
    words = [word for word in ANGLES if not word.startswith(("fo", "#"))]
    found = nearest(word_vectors(circle.folder(), words), 2)
    assert {word: {words[i] for i in row} for word, row in zip(words, found.tolist(), strict=True)} == {
        "sun": {"rain", "wind"},
        "rain": {"sun", "wind"},
        "wind": {"rain", "snow"},
        "snow": {"wind", "hail"},
        "hail": {"snow", "wind"},
        "storm": {"hail", "snow"},
    }
    assert [words[row[0]] for row in found.tolist()] == ["rain", "sun", "rain", "wind", "snow", "hail"]
    asked = nearest(word_vectors(circle.folder(), words), 2, 3)  # of the first three, among all
    np.testing.assert_array_equal(asked, found[:3])


def test_words_that_only_the_model_has_come_in(circle: Transformer) -> None:
    assert set(whole_words(circle.folder())) == {"sun", "rain", "wind", "snow", "hail", "fo", "storm"}
    corpus = corpus_of("sun,", "hail", "nobody")
    own = changes(EmbeddingReplace(embeddings=circle, neighbours=2, probability=1.0, copies=50), corpus)
    assert set(own) == {("sun,", "hail,"), ("hail", "sun")}
    every = EmbeddingReplace(embeddings=circle, neighbours=2, among="model", probability=1.0, copies=50)
    assert set(changes(every, corpus)) == {
        ("sun,", "rain,"),
        ("sun,", "wind,"),
        ("hail", "snow"),
        ("hail", "fo"),
    }


def test_new_words_of_one_language(tmp_path: Path) -> None:
    """A multilingual model has the words of other languages beside those of the texts."""
    words = ["sonne", "sun", "regen", "rainy", "hagel", "hail", "schnee", "snow"]
    at = np.radians([0, 1, 10, 11, 20, 21, 30, 31])
    points = np.stack([np.cos(at), np.sin(at)], axis=1).tolist()
    model = Transformer(model=str(saved(tmp_path / "two", dict(zip(words, points, strict=True)))))

    def found(language: str) -> set[str]:
        augmenter = EmbeddingReplace(
            1.0, copies=50, neighbours=3, among="model", embeddings=model, language=language
        )
        augmenter.check()
        return {new for old, new in changes(augmenter, corpus_of("sun", "snow")) if old == "sun"}

    assert found("") == {"sonne", "regen", "rainy"}
    assert found("en") == {"rainy", "hail", "snow"}
    assert found("de") == {"sonne", "regen", "hagel"}


def test_the_language_of_the_texts(tmp_path: Path) -> None:
    """With "auto", new words are of the texts' own language; of any, if it cannot be told."""
    words = ["sonne", "sun", "regen", "rainy", "schnee", "snow"]
    at = np.radians([0, 1, 10, 11, 20, 21])
    points = np.stack([np.cos(at), np.sin(at)], axis=1).tolist()
    model = Transformer(model=str(saved(tmp_path / "two", dict(zip(words, points, strict=True)))))
    augmenter = EmbeddingReplace(
        1.0, copies=50, neighbours=2, among="model", embeddings=model, language="auto"
    )
    augmenter.check()

    def found(*texts: str) -> set[str]:
        return {new for old, new in changes(augmenter, texts * 2) if old == "sun"}

    assert found("it is what it was and the sun is in the sky") == {"rainy", "snow"}
    assert found("das ist die sun und es ist nicht das was es war") == {"sonne", "regen"}
    assert found("sun qx zv qx zv qx zv qx zv") == {"sonne", "regen"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Het eten was lekker, maar de bediening liet te wensen over.", "nl"),
        ("Le repas était bon, mais le service laissait à désirer.", "fr"),
        ("La comida estaba buena, pero el servicio dejaba mucho que desear.", "es"),
        ("THE FOOD WAS GOOD, BUT THE SERVICE LEFT A LOT TO BE DESIRED.", "en"),
        ("qx zv", ""),
        ("", ""),
    ],
)
def test_languages_are_recognised(text: str, expected: str) -> None:
    assert language_of([text]) == expected
    assert language_of([]) == ""


def test_the_list_of_words_is_part_of_the_identity(circle: Transformer) -> None:
    plain, dutch = (EmbeddingReplace(among="model", embeddings=circle, language=code) for code in ("", "nl"))
    assert re.fullmatch(rf"{re.escape(plain.base())} wordfreq [\d.]+, nl", dutch.base())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "nl"}, "language = 'nl' needs among = \"model\""),
        (
            {"language": "nll", "among": "model"},
            r"unknown language 'nll'; did you mean 'nl'\? allowed are auto, ar, ",
        ),
        ({"language": "??", "among": "model"}, r"unknown language '\?\?'; allowed are auto, ar, "),
    ],
)
def test_languages_without_words(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddingReplace(**settings).check()


def test_words_of_a_language_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    check_language("tlh")  # nobody can tell
    with pytest.raises(harness.Unavailable, match=r"pip install 'distil-harness\[languages\]'"):
        frequent_words("nl", 10)


def test_a_word_of_several_subwords_is_their_mean(circle: Transformer) -> None:
    table = {word: word_vectors(circle.folder(), [word])[0] for word in ("fo", "sun", "fog", "sung")}
    ids = list(ANGLES)
    fo = np.radians(40), np.linspace(0.5, 3, 8)[ids.index("fo")]
    g = np.radians(80), np.linspace(0.5, 3, 8)[ids.index("##g")]
    mean = [(fo[1] * f(fo[0]) + g[1] * f(g[0])) / 2 for f in (np.cos, np.sin)]
    np.testing.assert_allclose(table["fog"], mean, rtol=1e-5)
    assert not np.allclose(table["sung"], table["sun"])


def test_nearest_against_all_pairs() -> None:
    vectors = np.random.default_rng(0).normal(size=(2500, 7)).astype(np.float32)  # more than two blocks
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = (unit @ unit.T).astype(np.float64)
    np.fill_diagonal(cosine, -np.inf)
    expected = np.argsort(-cosine, axis=1)[:, :5]
    found = nearest(vectors, 5)
    values = np.take_along_axis(cosine, found, 1)
    np.testing.assert_allclose(values, np.take_along_axis(cosine, expected, 1), atol=1e-6)
    assert (np.diff(values, axis=1) <= 1e-6).all()
    assert nearest(vectors[:3], 15).shape == (3, 2)
    assert nearest(vectors[:1], 15).shape == (1, 0) and nearest(vectors[:0], 15).shape == (0, 0)


def test_words_become_their_neighbours_all_as_often(circle: Transformer) -> None:
    texts = ["sun rain wind snow hail storm"] * 3000
    augmenter = EmbeddingReplace(1.0, neighbours=2, embeddings=circle)
    found = changes(augmenter, texts)
    assert {new for old, new in found if old == "sun"} == {"rain", "wind"}
    assert {new for old, new in found if old == "storm"} == {"hail", "snow"}
    assert found.total() == 18_000
    assert abs(found["sun", "rain"] - 1500) < 5 * np.sqrt(3000 / 4)
    some = changes(EmbeddingReplace(embeddings=circle), texts)
    assert abs(some.total() - 7200) < 5 * np.sqrt(18_000 * 0.4 * 0.6) + 3000 * 0.6**6


def test_rare_and_unknown_words_stay(circle: Transformer) -> None:
    texts = [*corpus_of("sun", "rain", "xyz", "...", "xyy"), "snow hail"]
    found = changes(EmbeddingReplace(1.0, copies=20, embeddings=circle), texts)
    assert set(found) == {("sun", "rain"), ("rain", "sun")}
    assert not changes(EmbeddingReplace(1.0, embeddings=circle), corpus_of("sun", "xyz"))
    assert not changes(EmbeddingReplace(1.0, embeddings=circle), [])


def test_case_and_punctuation_stay(circle: Transformer) -> None:
    texts = [*corpus_of("sun", "Rain"), 'SUN Sun, "sun" Rain! rain RAIN? (rain)']
    found = changes(EmbeddingReplace(1.0, embeddings=circle), texts)
    assert set(found) == {
        ("sun", "Rain"),  # as it is mostly written
        ("Rain", "Sun"),
        ("SUN", "RAIN"),
        ("Sun,", "Rain,"),
        ('"sun"', '"Rain"'),
        ("Rain!", "Sun!"),
        ("rain", "sun"),
        ("RAIN?", "SUN?"),
        ("(rain)", "(sun)"),
    }


def test_what_separates_a_pair_stays(circle: Transformer) -> None:
    texts = [PAIR_SEPARATOR.join(["sun rain", "rain sun"])] * 3
    found = changes(EmbeddingReplace(1.0, embeddings=circle), texts)
    assert set(found) == {("sun", "rain"), ("rain", "sun")} and found.total() == 12


@pytest.mark.parametrize(
    ("new", "old", "usual", "expected"),
    [
        ("London", "town", "town", "London"),
        ("London", "paris", "Paris", "london"),
        ("town", "Paris", "Paris", "Town"),
        ("town", "PARIS", "Paris", "TOWN"),
        ("you", "I", "I", "You"),
        ("iPhone", "phone", "phone", "iPhone"),
    ],
)
def test_case(new: str, old: str, usual: str, expected: str) -> None:
    assert like(new, old, usual) == expected


def test_frequent_words_are_counted_without_case_and_punctuation() -> None:
    texts = ["Paris, paris! (Paris) once", "the -- the", "THE it's it's"]
    assert frequent(texts) == ["Paris", "the", "it's"]


@pytest.mark.parametrize("name", embeddings.TABLES)
def test_tables_of_other_names(name: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", {"sun": (1.0, 2.0), "rain": (3.0, 4.0)}, name)
    assert word_vectors(folder, ["rain", "sun", "fog"]).tolist() == [[3, 4], [1, 2], [0, 0]]


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "distilbert", "bart"])
def test_the_table_is_the_models_own(kind: str, folder_of: Any, tmp_path: Path) -> None:
    import transformers

    model = transformers.AutoModel.from_pretrained(folder_of(kind))
    expected = model.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(embeddings._table(folder_of(kind)), expected)
    np.testing.assert_array_equal(embeddings._table_by_torch(folder_of(kind)), expected)
    model.bfloat16().save_pretrained(tmp_path)  # a type that numpy does not have
    np.testing.assert_allclose(embeddings._table(tmp_path), expected, atol=0.01)


def test_a_model_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(harness.HarnessError, match="cannot load"):
        embeddings._table(tmp_path)
    with pytest.raises(harness.HarnessError, match="cannot load a fast tokenizer"):
        word_vectors(tmp_path, ["sun"])


def test_the_base_is_the_embeddings(circle: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    augmenter = EmbeddingReplace(embeddings=circle)
    assert augmenter.base() == circle.base()
    assert EmbeddingReplace().base() == MiniLM.SHA256
    assert circle.base() in Chain((Mask(), augmenter)).base()
    assert circle.base() in Mix((Mask(), augmenter), copies=1).base()
    with pytest.raises(harness.Unavailable):
        EmbeddingReplace(embeddings=Transformer(model="nobody/nothing", revision="0" * 40)).base()


def test_embeddings_are_of_a_teacher_with_weights() -> None:
    with pytest.raises(ValueError, match="with pretrained weights, such as minilm or transformer, got p"):
        EmbeddingReplace(embeddings=Precomputed(file=Path("a.jsonl"))).check()
    EmbeddingReplace().check()


def test_minilm_knows_what_is_alike() -> None:
    groups = [
        ["happy", "glad", "joyful", "cheerful", "delighted"],
        ["terrible", "awful", "horrible", "dreadful"],
        ["girlfriend", "boyfriend", "wife", "husband"],
        ["london", "paris", "berlin", "madrid"],
        ["monday", "tuesday", "friday", "sunday"],
    ]
    words = [word for group in groups for word in group]
    found = nearest(word_vectors(MiniLM().folder(), words), 3)
    group_of = {word: group for group in groups for word in group}
    near = {word: {words[i] for i in row} for word, row in zip(words, found.tolist(), strict=True)}
    assert near["happy"] <= {"glad", "joyful", "cheerful", "delighted"}
    shares = [len(near[word] & set(group_of[word])) / 3 for word in words]
    assert np.mean(shares) > 0.9


def test_damaged_weights(folder_of: Any, tmp_path: Path) -> None:
    for path in folder_of("bert").iterdir():
        (tmp_path / path.name).write_bytes(
            path.read_bytes()[: 500 if path.suffix == ".safetensors" else None]
        )
    with pytest.raises(harness.HarnessError, match=r"^cannot load the model in \S+: .+$"):
        word_vectors(tmp_path, ["sun"])
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(harness.HarnessError, match=r"cannot load the tokenizer in "):
        word_vectors(tmp_path, ["sun"])
