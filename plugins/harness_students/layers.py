"""Transformers as students, from some layers of a larger one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness import Context, HarnessError
from harness.featurise.featuriser import Subwords, WordSubwords
from harness.task_types.base import Examples
from harness.training.model import TorchModel
from harness_students.pruning import Pruned, chosen, prune, shorten
from harness_transformers.finetuning import (
    Classifier,
    TokenClassifier,
    TransformerModel,
    classifier,
    pretrained,
)
from harness_transformers.folders import CONFIG, encoder_of, featuriser_of, read_config
from harness_transformers.labelled import LabelledClassifier
from harness_transformers.states import layers_of

if TYPE_CHECKING:
    from harness_transformers.pretrained import Pooling


def begin(student: Pruned, examples: Examples, context: Context) -> TorchModel:
    """Return the model that a student starts from; the context's seed determines what is random.

    The type of task determines whether it classifies texts, classifies words or predicts masked tokens. Raise
    HarnessError if the teacher has no layers to take.
    """
    torch.manual_seed(context.seed)
    classes, marks = examples.classes, examples.task_type.marks
    if marks == "masks":
        from harness_students.language import begin as begin_language_model

        if student.vocabulary:
            raise HarnessError(
                "expected no vocabulary of a language model, which answers with subwords of its own, got "
                f"{student.vocabulary}; remove `vocabulary`"
            )
        return begin_language_model(student, context)
    if student.start == "teacher":
        module, featuriser = _of_teacher(student, classes, context)
    else:
        module, featuriser = _pretrained(student, len(classes), context, marks == "words")
    if student.vocabulary:
        from harness_students.trimming import trim

        featuriser = trim(module, featuriser, student.vocabulary, examples, context)
    shape = {
        "pooling": module.pooling,
        "dropout": module.dropout.p,
        "labelled": isinstance(module, LabelledClassifier),
    }
    return TransformerModel(module, featuriser, classes, context, shape)


def load(folder: Path, context: Context) -> TorchModel:
    """Load a student that :meth:`TransformerModel.save` wrote."""
    if not json.loads((folder / "model.json").read_text(encoding="utf-8"))["classes"]:
        from harness_transformers.language import load as load_language_model

        return load_language_model(folder, context)
    reads = json.loads((folder / "featuriser.json").read_text(encoding="utf-8"))
    padding, separator = reads["padding"], reads["separator"]

    def build(size: int, classes: int, pooling: Any, dropout: float, labelled: bool) -> nn.Module:
        config = folder / CONFIG
        if reads["type"] == WordSubwords.type:
            encoder = encoder_of("mean", classes, config=config)
            return TokenClassifier(encoder, padding, classes, dropout, size)
        if labelled:
            encoder = encoder_of("head", read_config(config).num_labels, config=config)
            return LabelledClassifier(encoder, padding, range(classes), separator)
        encoder = encoder_of(pooling, classes, config=config)
        return Classifier(encoder, pooling, padding, classes, dropout, separator)

    return TransformerModel.load(folder, context, build)


def _of_teacher(student: Pruned, classes: Sequence[str], context: Context) -> tuple[Classifier, Subwords]:
    fitted = context.teacher
    if (
        not isinstance(fitted, TorchModel)
        or not isinstance(fitted.module, Classifier)
        or not isinstance(fitted.featuriser, Subwords)
    ):
        raise HarnessError(
            f"cannot take layers for student '{student.name}': its teacher is not a transformer"
        )
    teacher, featuriser = fitted.module, fitted.featuriser
    keep = chosen(student.layers, len(layers_of(teacher.encoder)), "every-second")
    if student.weights == "pretrained":
        module = deepcopy(teacher).float().requires_grad_(True)
        prune(module.encoder, keep)
        return module, featuriser
    config: Any = deepcopy(teacher.encoder.config)
    shorten(config, keep)
    encoder = _fresh(config, teacher.pooling, len(classes), context)
    return classifier(encoder, teacher.pooling, featuriser, len(classes), teacher.dropout.p), featuriser


def _pretrained(
    student: Pruned, classes: int, context: Context, of_words: bool
) -> tuple[Classifier, Subwords]:
    start = student.start
    assert not isinstance(start, str)
    pooling: Pooling = "mean" if of_words else start.pooling
    if student.weights == "pretrained" or start.prior is not None:
        encoder, featuriser = pretrained(start, context, classes, pooling, of_words)
        config: Any = encoder.config
    else:
        folder = start.folder()
        config = read_config(folder)
        featuriser = featuriser_of(folder, config, start.longest, of_words)
    if student.weights == "pretrained":
        if student.layers is not None:
            prune(encoder, chosen(student.layers, len(layers_of(encoder)), None))
    else:
        shorten(config, chosen(student.layers, config.num_hidden_layers, None))
        encoder = _fresh(config, pooling, classes, context)
    return classifier(encoder, pooling, featuriser, classes, start.dropout), featuriser


def _fresh(config: Any, pooling: Any, classes: int, context: Context) -> nn.Module:
    """Return an encoder of a configuration, with random weights."""
    config.save_pretrained(folder := context.scratch / "fresh")
    return encoder_of(pooling, classes, config=folder)
