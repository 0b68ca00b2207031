"""Exports of transformers are loaded by Transformers, and answer there what the models do."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from shipped import ship

from harness import Context, Model, TaskType
from harness.api import SCORE, Examples
from harness.runtime import load
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness_multilabel.task_type import MultiLabel
from harness_students.transformer import TransformerStudent
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.finetuning import fine_tune
from harness_transformers.transformer import Transformer

Folder = Callable[[str], Path]
CLASS, TAGS, HIDDEN = Classification(), Tagging(), MaskedLanguageModelling()
SHORT: dict[str, Any] = {"longest": 16, "epochs": 1, "learning_rate": 1e-3}
TEXTS = ["the sun is here", "so much rain today !", "i like snow and more wind", "wind", "rain " * 30]
OWN = {  # architecture and pooling → its class in Transformers
    ("bert", "head"): "BertForSequenceClassification",
    ("bert", "mean"): "PooledClassifier",
    ("roberta", "head"): "RobertaForSequenceClassification",
    ("roberta", "cls"): "PooledClassifier",
    ("distilbert", "head"): "DistilBertForSequenceClassification",
    ("modernbert", "mean"): "PooledClassifier",
}


def fitted(kind: str, task_type: TaskType, folder_of: Folder, context: Context, **options: Any) -> Model:
    train, validation = tiny_examples(task_type)
    return Transformer(model=str(folder_of(kind)), **SHORT, **options).fit(train, validation, context)


@pytest.fixture(scope="module")
def shipped(
    folder_of: Folder, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], tuple[Model, Path]]:
    """A classifier of an architecture and a pooling, and the folder that was shipped."""

    @cache
    def made(kind: str, pooling: str) -> tuple[Model, Path]:
        folder = tmp_path_factory.mktemp(f"{kind}-{pooling}")
        model = fitted(kind, CLASS, folder_of, CheckContext(folder), pooling=pooling)
        return model, ship(model, folder, CLASS)

    return made


def tokenized(folder: Path, texts: list[str]) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(texts, truncation=True, padding=True, return_tensors="pt")


def loaded(folder: Path, kind: str, **options: Any) -> Any:
    import transformers

    model, told = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True, **options)
    assert not told["missing_keys"] and not told["mismatched_keys"]
    return model.eval()


@pytest.mark.parametrize(("kind", "pooling"), OWN)
def test_a_classifier_has_the_same_logits_in_transformers(
    kind: str, pooling: str, shipped: Callable[[str, str], tuple[Model, Path]]
) -> None:
    model, folder = shipped(kind, pooling)
    trusted = {"trust_remote_code": True} if pooling != "head" else {}
    other = loaded(folder, "AutoModelForSequenceClassification", **trusted)
    assert type(other).__name__ == OWN[kind, pooling]
    given = tokenized(folder, TEXTS)
    assert given["input_ids"].shape == (5, 16)
    with torch.no_grad():
        found = other(**given).logits.numpy()
    np.testing.assert_allclose(found, model.predict(TEXTS), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(load(folder, "onnx").predict(TEXTS), found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "pooling"), OWN)
def test_the_graph_has_the_inputs_of_transformers(
    kind: str, pooling: str, shipped: Callable[[str, str], tuple[Model, Path]]
) -> None:
    import onnxruntime
    from tokenizers import Tokenizer

    model, folder = shipped(kind, pooling)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [one.name for one in session.get_outputs()] == ["logits"]
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(TEXTS)
    given = {
        "input_ids": np.array([one.ids for one in encoded]),
        "attention_mask": np.array([one.attention_mask for one in encoded]),
    }
    (logits,) = session.run(["logits"], given)
    np.testing.assert_allclose(logits, model.predict(TEXTS), rtol=1e-3, atol=1e-4)


def test_a_pipeline_answers_as_predict_does(shipped: Callable[[str, str], tuple[Model, Path]]) -> None:
    from transformers import pipeline

    model, folder = shipped("bert", "head")
    ask = pipeline("text-classification", str(folder))
    found = ask(TEXTS, truncation=True, batch_size=2)
    exported = load(folder)
    assert [one["label"] for one in found] == [exported.label(text) for text in TEXTS]
    chances = torch.from_numpy(model.predict(TEXTS)).softmax(1).max(1).values
    assert [one["score"] for one in found] == pytest.approx(chances.tolist(), abs=1e-4)
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "single_label_classification" and "_name_or_path" not in config
    assert config["id2label"] == {str(number): name for number, name in enumerate(exported.classes)}


def test_a_pooled_classifier_is_never_loaded_without_its_code(
    shipped: Callable[[str, str], tuple[Model, Path]],
) -> None:
    """Otherwise Transformers would draw a random head, and answer."""
    from transformers import AutoModelForSequenceClassification

    _, folder = shipped("bert", "mean")
    with pytest.raises(RuntimeError, match="mismatched"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_weights_are_stored_once(shipped: Callable[[str, str], tuple[Model, Path]]) -> None:
    _, folder = shipped("bert", "head")
    stored = folder.parent / "store" / "export" / "e1"
    assert not list(stored.glob("model.safetensors")) and (stored / "weights.json").is_file()
    with safe_open(stored / "rest.safetensors", framework="numpy") as rest:
        assert not [*rest.keys()]
    with safe_open(folder / "model.safetensors", framework="numpy") as whole:
        assert "bert.encoder.layer.0.attention.self.query.weight" in [*whole.keys()]
    assert not {"weights.json", "rest.safetensors", "pooled.py"} & {path.name for path in folder.iterdir()}


def test_one_form_is_shipped_without_weights(folder_of: Folder, tmp_path: Path) -> None:
    model = fitted("bert", CLASS, folder_of, CheckContext(tmp_path), pooling="mean")
    folder = ship(model, tmp_path, CLASS, form="onnx-int8")
    assert [path.name for path in (folder / "onnx").iterdir()] == ["model_quantized.onnx"]
    assert not (folder / "model.safetensors").exists() and not (folder / "pooled.py").exists()
    assert load(folder).form == "onnx-int8" and (folder / "config.json").is_file()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_tagger_has_the_same_tags_in_transformers(kind: str, folder_of: Folder, tmp_path: Path) -> None:
    from transformers import pipeline

    model = fitted(kind, TAGS, folder_of, CheckContext(tmp_path))
    folder = ship(model, tmp_path, TAGS)
    text = "the sun is here so much rain today i like snow and"
    found = pipeline("token-classification", str(folder), ignore_labels=[])(text)
    assert [one["word"] for one in found] == text.split()
    logits = torch.from_numpy(model.predict([text])).softmax(1).max(1)
    tags = [load(folder).classes[number] for number in logits.indices]
    assert [one["entity"] for one in found] == tags
    assert [one["score"] for one in found] == pytest.approx(logits.values.tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "student"])
def test_a_language_model_has_the_same_tokens_in_transformers(
    kind: str, folder_of: Folder, tmp_path: Path
) -> None:
    import onnxruntime
    from transformers import pipeline

    context = CheckContext(tmp_path)
    if kind == "student":  # it has no token types
        start = Transformer(model=str(folder_of("masked-bert")), longest=16)
        student = TransformerStudent(start=start, layers=1, epochs=1, learning_rate=1e-3)
        model = student.fit(*tiny_examples(HIDDEN), FromLabels(), context)
    else:
        model = fitted(f"masked-{kind}", HIDDEN, folder_of, context)
    folder = ship(model, tmp_path, HIDDEN)
    found = pipeline("fill-mask", str(folder), top_k=3)("the <mask> is here")
    chances = torch.from_numpy(model.predict(["the [MASK] is here"]))[0].softmax(0).topk(3)
    assert [one["token"] for one in found] == chances.indices.tolist()
    assert [one["score"] for one in found] == pytest.approx(chances.values.tolist(), abs=1e-4)
    # Without a mark, the graph returns the logits of every token.
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    given = {name: value.numpy() for name, value in tokenized(folder, ["the <mask> is here", "sun"]).items()}
    given = {one.name: given[one.name] for one in session.get_inputs()}
    (logits,) = session.run(["logits"], given)
    assert logits.shape == (*given["input_ids"].shape, model.featuriser.size)  # type: ignore[attr-defined]
    place = given["input_ids"][0].tolist().index(tokenized(folder, ["<mask>"])["input_ids"][0, 1])
    np.testing.assert_allclose(
        logits[0, place], model.predict(["the [MASK] is here"])[0], rtol=1e-3, atol=1e-4
    )


def test_several_labels_are_told_by_the_configuration(folder_of: Folder, tmp_path: Path) -> None:
    from transformers import pipeline

    task_type = MultiLabel()
    train, validation = task_type.tiny()
    teacher = Transformer(model=str(folder_of("bert")), **SHORT)
    model = fine_tune(teacher, train, validation, CheckContext(tmp_path))
    folder = ship(model, tmp_path, task_type)
    found = pipeline("text-classification", str(folder), top_k=None)(TEXTS[:1])[0]
    chances = torch.from_numpy(model.predict(TEXTS[:1]))[0].sigmoid().tolist()
    expected = dict(zip(train.classes, chances, strict=True))
    assert {one["label"]: one["score"] for one in found} == pytest.approx(expected, abs=1e-4)


def test_a_score_is_answered_as_a_number(folder_of: Folder, tmp_path: Path) -> None:
    from transformers import pipeline

    train, validation = Regression().tiny()
    assert train.classes == SCORE
    teacher = Transformer(model=str(folder_of("distilbert")), **SHORT)
    model = fine_tune(teacher, train, validation, CheckContext(tmp_path))
    folder = ship(model, tmp_path, Regression())
    found = pipeline("text-classification", str(folder))(TEXTS[:2])
    assert [one["score"] for one in found] == pytest.approx(model.predict(TEXTS[:2])[:, 0].tolist(), abs=1e-4)


def test_a_checkpoints_labels_are_in_the_order_of_the_task(folder_of: Folder, tmp_path: Path) -> None:
    from transformers import pipeline

    classes = ("it's rain", "it's sun")
    given = Examples(TEXTS, classes, np.array([0, 1, 0, 1, 0]), task_type=CLASS)
    model = Checkpoint(model=str(folder_of("classifier")), longest=16).fit(
        given, given, CheckContext(tmp_path)
    )
    folder = ship(model, tmp_path, CLASS)
    found = pipeline("text-classification", str(folder), top_k=None)(TEXTS[:1])[0]
    expected = torch.from_numpy(model.predict(TEXTS[:1]))[0].softmax(0).tolist()
    assert {one["label"]: one["score"] for one in found} == pytest.approx(
        dict(zip(classes, expected, strict=True)), abs=1e-4
    )


def test_pairs_have_the_same_logits_in_transformers(
    shipped: Callable[[str, str], tuple[Model, Path]],
) -> None:
    from transformers import AutoTokenizer

    model, folder = shipped("bert", "head")
    other = loaded(folder, "AutoModelForSequenceClassification")
    pair = AutoTokenizer.from_pretrained(folder)("the sun is here", "so much rain", return_tensors="pt")
    assert pair["token_type_ids"].sum() > 0
    with torch.no_grad():
        found = other(**pair).logits.numpy()
    np.testing.assert_allclose(
        found, model.predict(["the sun is here [SEP] so much rain"]), rtol=1e-3, atol=1e-4
    )
