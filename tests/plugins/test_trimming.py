"""Transformer students that know the subwords of their texts only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pretrained
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness import Examples, HarnessError, catalog
from harness.api import TaskType
from harness.exports.onnx import OnnxModel
from harness.plan.planner import build
from harness.suite.reader import parse
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness_students.layers import begin, load
from harness_students.transformer import TransformerStudent
from harness_transformers.transformer import Transformer

FolderOf = Callable[[str], Path]
TEXTS = ["the sun is here", "the rain is here and the wind", "snow again", "i like the sun", "no wind"] * 4
OTHERS = ["underwater islands", "another thread on the roadside", "shoreland like no other"] * 4


def trained(kind: str) -> Tokenizer:
    """A tokenizer of a kind that knows the words of TEXTS and OTHERS."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    options: dict[str, Any] = {"special_tokens": special, "vocab_size": 400, "show_progress": False}
    if kind == "wordpiece":
        made, trainer = models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(**options)
    elif kind == "unigram":
        made, trainer = models.Unigram(), trainers.UnigramTrainer(unk_token="<unk>", **options)
    else:
        made, trainer = models.BPE(), trainers.BpeTrainer(**options)
    tokenizer = Tokenizer(made)
    if kind == "wordpiece":
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    elif kind == "unigram":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS * 3 + OTHERS, trainer)
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = (
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        if kind == "bpe"
        else processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B:1 </s>:1", special_tokens=ends)
    )
    return tokenizer


@pytest.fixture
def folder(folder_of: FolderOf, tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a tiny model over a tokenizer of a kind."""

    def made(kind: str) -> Path:
        import transformers

        pretrained.make("roberta", where := tmp_path / kind)
        tokenizer = trained(kind)
        names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(where)
        model = transformers.RobertaModel.from_pretrained(where)
        model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
        model.save_pretrained(where)
        return where

    return made


def begun(student: TransformerStudent, context: CheckContext, texts: list[str] = TEXTS) -> Any:
    return begin(student, Examples(texts, ("no", "yes")), context)


@pytest.mark.parametrize(("kind", "most"), [("wordpiece", 60), ("unigram", 36), ("bpe", 64)])
def test_frequent_texts_are_read_as_before_and_others_in_smaller_pieces(
    kind: str, most: int, folder: Callable[[str], Path], context: CheckContext, tmp_path: Path
) -> None:
    start = Transformer(model=str(folder(kind)), pooling="mean", longest=30)
    whole = begun(TransformerStudent(start=start), context)
    small = begun(TransformerStudent(start=start, vocabulary=most), context)
    small.module.output.load_state_dict(whole.module.output.state_dict())
    rows, _ = small.module.encoder.get_input_embeddings().weight.shape
    assert rows == small.featuriser.size <= most < whole.featuriser.size
    assert small.module.encoder.config.vocab_size == rows
    assert {token for text in TEXTS for token in small.featuriser.tokenizer.encode(text).tokens} == {
        token for text in TEXTS for token in whole.featuriser.tokenizer.encode(text).tokens
    }
    np.testing.assert_allclose(small.predict(TEXTS), whole.predict(TEXTS), atol=1e-6)
    ids, before = (len(model.featuriser.tokens(OTHERS).ids) for model in (small, whole))
    assert ids > before
    (saved := tmp_path / "saved").mkdir()
    small.save(saved)
    again = load(saved, context)
    np.testing.assert_array_equal(again.predict(OTHERS), small.predict(OTHERS))
    (exported := tmp_path / "exported").mkdir()
    small.export(exported)
    told = OnnxModel(exported).predict(OTHERS)
    np.testing.assert_allclose(told, small.predict(OTHERS), atol=1e-4)


@pytest.mark.parametrize("lent", [False, True])
@pytest.mark.parametrize("task_type", [Classification(), Tagging()])
def test_it_learns_with_few_subwords(
    task_type: TaskType, lent: bool, folder_of: FolderOf, context: CheckContext, tmp_path: Path
) -> None:
    transfer, validation = tiny_examples(task_type)
    bert = Transformer(model=str(folder_of("bert")), longest=16, epochs=1)
    if lent:
        context.teacher = bert.fit(transfer, validation, context)
    settings: dict[str, Any] = {"layers": 1, "epochs": 2, "learning_rate": 1e-2, "batch_size": 8}
    student = TransformerStudent(start="teacher" if lent else bert, vocabulary=20, **settings)
    model: Any = student.fit(transfer, validation, FromLabels(task_type), context)
    assert model.module.encoder.get_input_embeddings().num_embeddings == model.featuriser.size <= 20
    (saved := tmp_path / "saved").mkdir()
    model.save(saved)
    again: Any = student.load(saved, context)
    np.testing.assert_array_equal(again.predict(validation.texts), model.predict(validation.texts))


def test_pairs_keep_their_two_types(folder_of: FolderOf, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("bert")), pooling="mean")
    whole = begun(TransformerStudent(start=start), context)
    small = begun(TransformerStudent(start=start, vocabulary=20), context)
    small.module.output.load_state_dict(whole.module.output.state_dict())
    pairs = ["the sun [SEP] is here", "snow [SEP] again"]
    np.testing.assert_allclose(small.predict(pairs), whole.predict(pairs), atol=1e-6)


def test_a_vocabulary_that_is_too_small_is_told(folder: Callable[[str], Path], context: CheckContext) -> None:
    start = Transformer(model=str(folder("wordpiece")), longest=30)
    with pytest.raises(HarnessError, match=r"expected a vocabulary of at least \d+ subwords .*, got 9"):
        begun(TransformerStudent(start=start, vocabulary=9), context)


def test_a_language_model_keeps_its_subwords(folder_of: FolderOf, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("masked-bert")))
    examples, _ = tiny_examples(MaskedLanguageModelling())
    with pytest.raises(HarnessError, match=r"expected no vocabulary of a language model, .*, got 20"):
        begin(TransformerStudent(start=start, vocabulary=20), examples, context)


def test_embeddings_with_other_uses_stay(folder_of: FolderOf, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("bert")), pooling="mean")
    model = begun(TransformerStudent(start=start), context)
    encoder = model.module.encoder
    encoder.again = torch.nn.Linear(16, encoder.config.vocab_size, bias=False)
    encoder.again.weight = encoder.get_input_embeddings().weight
    context.teacher = model
    examples = Examples(TEXTS, ("no", "yes"))
    encoder.get_input_embeddings().__class__ = type("Scaled", (torch.nn.Embedding,), {})
    with pytest.raises(HarnessError, match="its embeddings have other uses too; remove `vocabulary`"):
        begin(TransformerStudent(vocabulary=20, layers=1), examples, context)


def test_losses_on_inner_states_are_told_apart_in_a_plan() -> None:
    installed = catalog.load()
    text = """
        [suite]
        name = "few"
        [[task]]
        use = "emotion"
        [[teacher]]
        use = "minilm"
        [[student]]
        use = "transformer"
        layers = 2
        vocabulary = 3000
        [[loss]]
        use = "kl"
        [[loss]]
        use = "attention"
    """
    plan = build(parse(dedent(text), installed), installed)
    by_loss = {cell.loss.name: cell.status for cell in plan.cells if cell.role == "distilled" and cell.loss}
    assert by_loss == {"kl": "ok", "attention": "incompatible"}
