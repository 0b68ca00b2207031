"""Transformers that tag words: which piece stands for a word, and what is computed and learned of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from harness import Batch, HarnessError, Loss, Unavailable
from harness.api import MASK, Examples
from harness.featurise.featuriser import Featuriser, WordSubwords, WordTokens
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, FromLogits, FromStates
from harness.training.model import TorchModel
from harness_students.transformer import TransformerStudent
from harness_transformers import finetuning, folders
from harness_transformers.finetuning import TokenClassifier
from harness_transformers.transformer import MiniLM, Transformer

Folder = Callable[[str], Path]
KINDS = ["bert", "roberta", "distilbert"]
TEXTS = ["the sun's here , rain", "\u200d snow \ufe0f", "wind", "", "no-rain-no-wind she", "so much [MASK] !"]
CLASSES = ("O", "B-x", "I-x")


def examples() -> Examples:
    texts = ["the sun is here", "so much rain's wind today", "no , she said", "snow and more snow"]
    tags = [[0, 1, 0, 0], [0, 0, 1, 2, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    return Examples(texts, CLASSES, np.array([tag for each in tags for tag in each]), task_type=Tagging())


def teacher(folder: Path, **options: Any) -> Transformer:
    usual = {"epochs": 30, "batch_size": 2, "learning_rate": 1e-2, "longest": 16}
    return Transformer(model=str(folder), **{**usual, **options})


@pytest.fixture(scope="module")
def taught(folder_of: Folder, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A teacher of a kind, fitted to the examples, the same for all that ask; not to be changed."""

    @cache
    def fitted(kind: str) -> Any:
        given, own = examples(), CheckContext(tmp_path_factory.mktemp("taught"))
        return teacher(folder_of(kind)).fit(given, given, own)

    return fitted


def reader(folder: Path, longest: int = 16) -> WordSubwords:
    made = folders.featuriser_of(folder, folders.read_config(folder), longest, of_words=True)
    assert isinstance(made, WordSubwords)
    return made


def byte_level() -> Tokenizer:
    """A tokenizer as RoBERTa's, without its vocabulary: single bytes, and "Ġ" before words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{c: i for i, c in enumerate(alphabet, 4)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


# -- pieces of words -------------------------------------------------------------------------------------


def firsts(ids: list[int | None]) -> list[bool]:
    """Where a word begins, of what the tokenizers of Transformers say of each piece."""
    return [word is not None and word != before for before, word in zip([None, *ids], ids, strict=False)]


@pytest.mark.parametrize("kind", [*KINDS, "minilm"])
def test_the_first_piece_of_each_word_is_marked(kind: str, folder_of: Folder) -> None:
    try:
        folder = MiniLM().folder() if kind == "minilm" else folder_of(kind)
    except Unavailable as error:
        pytest.skip(str(error))
    made = reader(folder)
    words = [text.split(" ") for text in TEXTS]
    called = {MASK: made.mask_name, **dict.fromkeys(("", "\u200d", "\ufe0f"), made.unknown)}
    made_of = [[called.get(word, word) for word in each] for each in words]
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    due = reference(made_of, is_split_into_words=True)
    found = made.encode(TEXTS)
    for row, ids in enumerate(found):
        assert [number % made.size for number in ids] == due["input_ids"][row]
        assert [number >= made.size for number in ids] == firsts(due.word_ids(row))
        assert sum(number >= made.size for number in ids) == len(words[row])


def test_words_have_a_space_before_them_where_a_vocabulary_knows_it() -> None:
    made = WordSubwords(byte_level(), 64, 1)
    reference = transformers.RobertaTokenizerFast(tokenizer_object=made.tokenizer)
    (ids,) = made.encode(["no rain"])
    assert made.tokenizer.decode([number % made.size for number in ids]) == "<s> no rain</s>"
    assert [number >= made.size for number in ids] == firsts(
        reference([["no", "rain"]], is_split_into_words=True, add_special_tokens=True).word_ids(0)
    )
    (empty,) = made.encode([""])
    assert sum(number >= made.size for number in empty) == 1


def test_words_behind_the_cut_have_no_mark(folder_of: Folder) -> None:
    made = reader(folder_of("bert"), longest=6)
    texts = ["the sun's rain \u200d wind", "a \u200d it so much", "a"]
    tokens = made.tokens(texts)
    assert isinstance(tokens, WordTokens)
    assert tokens.lengths.tolist() == [6, 6, 3] and tokens.reached.tolist() == [2, 4, 1]
    assert tokens.outputs == 11 and tokens.targets(np.array([1])).tolist() == [5, 6, 7, 8]


def test_pieces_are_the_same_when_read_back(folder_of: Folder, tmp_path: Path) -> None:
    for made in (reader(folder_of("roberta")), WordSubwords(byte_level(), 32, 1)):
        made.save(tmp_path)
        again = Featuriser.load(tmp_path)
        assert isinstance(again, WordSubwords)
        assert again.encode(TEXTS) == made.encode(TEXTS) and again.size == made.size


# -- teachers --------------------------------------------------------------------------------------------


def of_reference(reference: Any, model: TorchModel, texts: list[str]) -> np.ndarray[Any, Any]:
    """The logits of each word's first piece by Transformers' own token classifier, text by text."""
    found = []
    for ids in model.featuriser.encode(texts):
        plain = torch.tensor([[number % model.featuriser.size for number in ids]])
        with torch.inference_mode():
            logits = reference(input_ids=plain).logits[0]
        found.append(logits[torch.tensor(ids) >= model.featuriser.size])
    return torch.cat(found).numpy()


@pytest.mark.parametrize("kind", [*KINDS, "minilm"])
def test_logits_are_those_of_the_usual_token_classifier(
    kind: str, folder_of: Folder, context: CheckContext
) -> None:
    try:
        folder = MiniLM().folder() if kind == "minilm" else folder_of(kind)
    except Unavailable as error:
        pytest.skip(str(error))
    made = reader(folder)
    torch.manual_seed(0)
    module = TokenClassifier(folders.encoder_of("mean", 3, folder=folder), made.padding, 3, 0.1, made.size)
    model = TorchModel(module, made, CLASSES, context)
    reference = transformers.AutoModelForTokenClassification.from_pretrained(
        folder, num_labels=3, attn_implementation="eager"
    ).eval()
    assert module.output is not None
    reference.classifier.load_state_dict(module.output.state_dict())
    np.testing.assert_allclose(model.predict(TEXTS), of_reference(reference, model, TEXTS), atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_teachers_learn_tags(
    kind: str, folder_of: Folder, taught: Callable[[str], Any], context: CheckContext, tmp_path: Path
) -> None:
    given = examples()
    made = teacher(folder_of(kind))
    model = taught(kind)
    logits = model.predict(given.texts)
    assert given.labels is not None and (logits.argmax(1) == given.labels).mean() > 0.9
    assert np.array_equal(made.fit(given, given, context).predict(given.texts), logits)
    (folder := tmp_path / "saved").mkdir()
    model.save(folder)
    read = made.load(folder, context)
    assert read.predict(TEXTS).shape == (sum(len(text.split(" ")) for text in TEXTS), 3)
    np.testing.assert_allclose(read.predict(TEXTS), model.predict(TEXTS), atol=1e-6)
    assert read.parameters() == model.parameters()


def test_training_the_seen_rows_alone_gives_the_same_model(
    folder_of: Folder, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = examples()
    made = teacher(folder_of("bert"), epochs=3)
    few = made.fit(given, given, context)
    narrowed = 0

    @contextmanager
    def all_rows(module: Any, *tables: Any) -> Any:
        nonlocal narrowed
        narrowed += 1
        yield tables

    monkeypatch.setattr(finetuning, "seen_rows_only", all_rows)
    every = made.fit(given, given, context)
    assert narrowed == 1
    np.testing.assert_allclose(few.predict(given.texts), every.predict(given.texts), atol=1e-5)


def test_marks_follow_the_rows_in_use(folder_of: Folder) -> None:
    made = reader(folder_of("bert"))
    encoder = folders.encoder_of("mean", 3, folder=folder_of("bert"))
    module = TokenClassifier(encoder, made.padding, 3, 0.0, made.size).eval()
    texts = ["the sun", "rain"]
    tokens = made.tokens(texts)
    before = module(torch.from_numpy(tokens.batch(np.arange(2))))
    with finetuning.seen_rows_only(module, tokens) as (own,):
        assert isinstance(own, WordTokens) and own.mark == module.size < made.size
        assert own.mark == len(tokens.used()) + 1  # and padding
        assert own.reached.tolist() == [2, 1]
        torch.testing.assert_close(module(torch.from_numpy(own.batch(np.arange(2)))), before)
    assert module.size == made.size


def test_each_word_has_a_hidden_state(folder_of: Folder, context: CheckContext) -> None:
    model = teacher(folder_of("bert"), epochs=1).fit(examples(), examples(), context)
    assert isinstance(model, TorchModel) and isinstance(model.module, TokenClassifier)
    states = model.hidden(TEXTS)
    assert states.shape == (sum(len(text.split(" ")) for text in TEXTS), 16)
    with torch.inference_mode():
        again = model.module.output(torch.from_numpy(states))  # type: ignore[misc]
    np.testing.assert_allclose(again, model.predict(TEXTS), atol=1e-5)


def test_students_learn_from_each_words_hidden_state(folder_of: Folder, context: CheckContext) -> None:
    given = examples()
    lent = teacher(folder_of("bert"), longest=5).fit(given, given, context)
    hidden = lent.hidden(given.texts).astype(np.float16)
    states = Examples(given.texts, CLASSES, hidden=hidden, task_type=Tagging())
    student = TransformerStudent(
        start=teacher(folder_of("bert"), longest=5), epochs=60, batch_size=2, learning_rate=1e-2
    )

    @dataclass(frozen=True)
    class Nearer(Loss):
        needs = frozenset({"hidden"})

        def __call__(self, student: Any, teacher: Any, batch: Batch) -> Any:
            assert batch.student["hidden"].shape == batch.teacher["hidden"].shape == (batch.size, 16)
            return (batch.student["hidden"] - batch.teacher["hidden"]).square().mean()

    model = student.fit(states, given, Nearer(), context)
    read = np.abs(hidden).sum(1) > 0  # words behind the cut have zeros
    assert not read.all() and np.abs(model.hidden(given.texts) - hidden)[read].mean() < 0.2


def test_the_exported_graph_tags_texts_of_any_length(
    folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = teacher(folder_of("bert"), epochs=1).fit(examples(), examples(), context)
    assert isinstance(model, TorchModel)
    model.export(tmp_path)
    tokens = model.featuriser.tokens(TEXTS)
    ids = tokens.batch(np.arange(len(TEXTS)))
    given = {"input_ids": ids, "attention_mask": (ids != tokens.padding).astype(np.int64)}
    (logits,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, given)
    assert logits.shape == (*ids.shape, 3)
    rows = tokens.targets(np.arange(len(TEXTS)))
    np.testing.assert_allclose(logits[tokens.picked(ids)], model.predict(TEXTS)[rows], atol=1e-4)


# -- students --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize("start", ["teacher", "bert"])
def test_students_learn_tags(
    start: str,
    weights: Any,
    folder_of: Folder,
    taught: Callable[[str], Any],
    context: CheckContext,
    tmp_path: Path,
) -> None:
    given = examples()
    context.teacher = lent = taught("bert")
    given = Examples(given.texts, CLASSES, None, lent.predict(given.texts), task_type=Tagging())
    held_out = examples()
    of: Any = "teacher" if start == "teacher" else teacher(folder_of(start))
    options: Any = {"epochs": 60, "batch_size": 2, "learning_rate": 1e-2, "layers": 1, "weights": weights}
    student = TransformerStudent(start=of, **options)
    model = student.fit(given, held_out, FromLogits(), context)
    assert given.logits is not None
    logits = model.predict(given.texts)
    assert (logits.argmax(1) == given.logits.argmax(1)).mean() > 0.9
    (folder := tmp_path / "saved").mkdir()
    model.save(folder)
    np.testing.assert_allclose(student.load(folder, context).predict(given.texts), logits, atol=1e-6)


@pytest.mark.parametrize("name", ["layers", "attention", "relations"])
def test_students_learn_from_states_of_each_token(
    name: str, folder_of: Folder, context: CheckContext
) -> None:
    given = examples()
    context.teacher = teacher(folder_of("bert"), epochs=1).fit(given, given, context)
    student = TransformerStudent(epochs=1, layers=1)
    model = student.fit(given, given, FromStates(frozenset({name})), context)
    assert model.predict(given.texts).shape == (len(given.labels), 3)  # type: ignore[arg-type]


def test_a_token_classifier_of_its_own_kind_is_needed(folder_of: Folder, context: CheckContext) -> None:
    context.teacher = SimpleNamespace()  # type: ignore[assignment]
    with pytest.raises(HarnessError, match="cannot take layers for student 'transformer': its teacher"):
        TransformerStudent(epochs=1).fit(examples(), examples(), FromLabels(), context)
