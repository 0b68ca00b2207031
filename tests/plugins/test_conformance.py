"""Every component that our plugins register passes the checks that we give to authors of others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness import catalog
from harness.api import Component
from harness.catalog import Entry
from harness.testing.checks import check_basics, check_component, check_imports, check_task
from harness.testing.rules import known_types
from harness.testing.tiny import cases_of
from harness_students.transformer import TransformerStudent
from harness_teachers.t5 import T5Base, T5Small
from harness_transformers.transformer import MiniLM, Transformer

Folder = Callable[[str], Path]

INSTALLED = catalog.load()
OURS = [entry for entry in INSTALLED.entries.values() if entry.package == catalog.DISTRIBUTION]
SMALL: dict[str, Any] = {"use": "mlp", "vocabulary": 40, "width": 4, "min_examples": 0, "epochs": 1}
TINY: dict[str, Any] = {"use": "transformer", "model": "masked-bert", "longest": 16}
LANGUAGE: dict[str, Any] = {
    "use": "masked-lm",
    "vocabulary": 256,
    "width": 8,
    "layers": 2,
    "heads": 2,
    "feedforward": 16,
    "longest": 16,
    "epochs": 1,
}
TAGGER: dict[str, Any] = {
    "vocabulary": 40,
    "affixes": 30,
    "shapes": 10,
    "letters": 30,
    "width": 4,
    "hidden": 6,
    "min_examples": 0,
    "epochs": 1,
    "longest": 32,
}
DISTILLED: dict[str, Any] = {
    "use": "language-model",
    "task": {"use": "tweets"},
    "teacher": LANGUAGE,
    "student": {"use": "transformer", "epochs": 1},
    "loss": {"use": "cross-entropy"},
    "longest": 16,
    "epochs": 1,
}
DEVICES = ("cpu", "cuda:0") if torch.cuda.is_available() else ("cpu",)
OWN_FILES = (
    "file",
    "file-regression",
    "file-multilabel",
    "conll-file",
    "text-file",
)  # tasks on these can be read anywhere
MEMBERS = [{"use": "mask", "probability": 0.5}, {"use": "ngram"}]

# What components need, or what makes them quick on a few texts. Paths are below the test's folder.
TABLES: dict[str, list[dict[str, Any]]] = {
    "file": [{"train": "data.csv"}],
    "file-regression": [{"train": "scores.csv"}],
    "file-multilabel": [{"train": "labels.csv"}],
    "conll-file": [{"train": "data.conll"}],
    "text-file": [{"train": "data.txt", "shortest": 1}],
    "hub": [{"id": "nobody/nothing", "revision": "0" * 40}],
    "hub-regression": [{"id": "nobody/nothing", "revision": "0" * 40}],
    "chain": [{"of": MEMBERS, "copies": 2}],
    "mix": [{"of": MEMBERS, "copies": 2}, {"of": MEMBERS, "weights": [1, 2], "size": 40}],
    "mask": [{"copies": 3}, {"probability": 0.0, "force": False}],
    "replace": [{"copies": 3}],
    "embedding-replace": [{"embeddings": TINY}],
    "back-translate": [{"longest": 12}],
    "unlabelled": [{}, {"file": "data.csv", "size": 5}],
    "hidden-cosine": [{}, {"of": "layers"}],
    "hidden-mse": [{}, {"of": "layers", "tokens": "first", "normalise": True}],
    "attention": [{}, {"form": "kl"}],
    "weighted": [{"of": [{"use": "kl"}, {"use": "cross-entropy"}], "weights": [0.7, 0.3]}],
    "cross-entropy": [{}, {"label_smoothing": 0.1}],
    "tfidf-logreg": [{}, {"ngrams": 1, "vocabulary": 30, "strength": 1.0}],
    "mlp": [SMALL, SMALL | {"hidden": 4, "dropout": 0.2}],
    "cnn": [
        SMALL,
        SMALL | {"spans": [3], "filters": 4},
        SMALL | {"initial": TINY},
        SMALL | {"embeddings": TINY, "components": 6, "projection": 4, "word_dropout": 0.1},
    ],
    "bilstm": [
        {"min_examples": 0, "epochs": 1},
        {"min_examples": 0, "epochs": 1, "embeddings": TINY, "projection": 4, "feedforward": 4},
    ],
    "tang-bilstm": [{"min_examples": 0, "epochs": 1, "width": 4, "hidden": 3, "feedforward": 5}],
    "static": [
        {"min_examples": 0, "epochs": 1, "embeddings": TINY, "width": 8},
        {"min_examples": 0, "epochs": 1, "embeddings": TINY, "width": 0, "hidden": 4, "weighting": "zipf"},
    ],
    "bilstm-tagger": [TAGGER, TAGGER | {"layers": 2, "characters": 3}],
    "cnn-tagger": [TAGGER],
    "bilstm-crf": [TAGGER],
    "spacy-textcat": [
        {"architecture": architecture, "epochs": 1, "width": 8, "rows": 20, "buckets": 64}
        for architecture in ("ensemble", "bow", "cnn")
    ],
    "minilm": [{"epochs": 1, "longest": 16}],
    "linear-probe": [{"encoder": TINY}],
    "transformer": [
        {"model": "masked-bert", "epochs": 1, "pooling": "head"},
        {"model": "masked-roberta", "epochs": 1, "pooling": "mean"},
        {"model": "masked-distilbert", "epochs": 1, "pooling": "cls"},
        {"model": "masked-mpnet", "epochs": 1, "pooling": "mean"},
    ],
    "t5": [
        {"model": "t5", "epochs": 1},
        {"model": "t5", "epochs": 1, "by": "encoder", "prefix": "no ", "second": "and "},
    ],
    "student transformer": [
        {"epochs": 1, "layers": 1},
        {"epochs": 1, "layers": [2, 1], "start": TINY},
        {"epochs": 1, "weights": "random", "start": TINY | {"model": "masked-distilbert"}},
        {"epochs": 1, "layers": 1, "start": TINY | {"model": "masked-mpnet"}},
        {"epochs": 1, "layers": 1, "start": DISTILLED},
    ],
    "masked-lm": [LANGUAGE],
    "language-model": [
        DISTILLED,
        {"task": {"use": "tweets"}, "teacher": LANGUAGE, "pooling": "cls", "epochs": 1},
    ],
    "checkpoint": [{"model": "classifier"}, {"model": "scorer", "regression": True}],
    "precomputed": [{"file": "answers.jsonl.gz"}, {"file": "answers.jsonl.gz", "outputs": "scores"}],
    "ensemble": [{"of": [{"use": "student", "student": SMALL}] * 2}],
    "student": [{"student": SMALL}],
    "assistant": [
        {"teacher": {"use": "student", "student": SMALL}, "student": SMALL, "loss": {"use": "kl"}},
        {
            "teacher": TINY | {"epochs": 1},
            "student": {"use": "transformer", "epochs": 1, "layers": 1},
            "loss": {"use": "kl"},
        },
    ],
}


def cases() -> list[Any]:
    found = []
    for entry in OURS:
        table = {"min_examples": 0, "epochs": 1}
        names = {parameter.name for parameter in entry.parameters()}
        default = {name: value for name, value in table.items() if name in names}
        tables = TABLES.get(f"{entry.kind} {entry.name}") or TABLES.get(entry.name, [default])
        for number, given in enumerate(tables):
            title = f"{entry.kind}-{entry.name}" + (f"-{number}" if number else "")
            found.append(pytest.param(entry, {key: v for key, v in given.items() if key != "use"}, id=title))
    return found


def build(entry: Entry, table: dict[str, Any], folder_of: Folder) -> Component:
    parameters = {parameter.name: parameter for parameter in entry.parameters()}
    if entry.kind == "teacher" and "model" in parameters:
        table = {**table, "model": str(folder_of(table.get("model", "bert"))), "revision": "main"}
    for name in ("embeddings", "initial", "encoder", "start", "teacher"):
        if isinstance(lent := table.get(name), dict) and "model" in lent:
            table = {**table, name: {**lent, "model": str(folder_of(lent["model"]))}}
    if entry.name == "back-translate":
        table = {**table, "forth": str(folder_of("translator")), "back": str(folder_of("translator"))}
    return INSTALLED.build(entry.kind, {"use": entry.name, **table})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files of data and of outputs; no data and no network besides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    rows = [f"text {number},{'yes' if number % 2 else 'no'}" for number in range(60)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "scores.csv").write_text(
        "\n".join(["text,label", *(f"text {n},{n / 12}" for n in range(60))])
    )
    many = [f"text {number},{'|'.join('abc'[: number % 4])}" for number in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["text,labels", *many]))
    (tmp_path / "data.txt").write_text("\n".join(f"text {n} to model" for n in range(60)))
    (tmp_path / "data.conll").write_text("".join(f"text O\n{n} B-number\n\n" for n in range(60)))
    cases = [case for task_type in known_types(INSTALLED).values() for case in cases_of(task_type)]
    texts = sorted({text for case in cases for text in (*case.train.texts, *case.texts)})
    classes = sorted({name for case in cases for name in case.train.classes})
    answers = np.random.default_rng(0).random((len(texts), len(classes)))
    with gzip.open(tmp_path / "answers.jsonl.gz", "wt") as stream:
        for text, logits in zip(texts, answers.tolist(), strict=True):
            row = {"text": text} | dict(zip(classes, logits, strict=True))
            stream.write(json.dumps(row) + "\n")
    return tmp_path


def test_all_plugins_load() -> None:
    assert INSTALLED.failures == ()
    assert {entry.kind for entry in OURS} == set(catalog.HOOKS.values())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("entry", "table"), cases())
def test_component(
    entry: Entry,
    table: dict[str, Any],
    device: str,
    folder_of: Folder,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    component = build(entry, table, folder_of)
    if device != "cpu" and not component.runs_on_gpu:
        pytest.skip("it runs on no GPU")
    if isinstance(component, MiniLM):  # the checks ask nothing of its size
        part = folder_of("minilm")
        monkeypatch.setattr(MiniLM, "folder", lambda self: part)
    if isinstance(component, harness.Task) and entry.name not in OWN_FILES:
        check_basics(component, INSTALLED)
        with suppress(harness.Unavailable):  # not every task has a sample
            check_task(component, "sample")
    elif entry.file.endswith("presets.py") or isinstance(component, T5Small | T5Base):
        # Other defaults of a class that is checked.
        check_basics(component, INSTALLED)
    else:
        teacher = None
        if isinstance(component, TransformerStudent):
            teacher = Transformer(model=str(folder_of("masked-bert")), epochs=1, longest=16)
        check_component(component, INSTALLED, teacher, device)


def test_a_plan_needs_no_torch(folder_of: Folder, folder: Path) -> None:
    check_imports(*(build(*case.values, folder_of) for case in cases()))
