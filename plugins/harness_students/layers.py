"""A transformer of some of another's layers."""

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
from harness.training.model import TorchModel
from harness_teachers.finetuning import (
    Classifier,
    TokenClassifier,
    TransformerModel,
    classifier,
    pretrained,
)
from harness_teachers.folders import CONFIG, encoder_of, featuriser_of, read_config
from harness_teachers.labelled import LabelledClassifier
from harness_teachers.states import layers_of, place_of_layers

if TYPE_CHECKING:
    from harness_students.transformer import Layers, TransformerStudent
    from harness_teachers.transformer import Pooling


def begin(
    student: TransformerStudent, classes: Sequence[str], context: Context, of_words: bool = False
) -> TorchModel:
    """The model that a student starts its training from, with the context's seed for what is random.

    It gives classes to texts, or to their words; where there are no classes, it is a language model.
    """
    torch.manual_seed(context.seed)
    if not classes:
        from harness_students.language import begin as begin_language_model

        return begin_language_model(student, context)
    if student.start == "teacher":
        module, featuriser = _of_teacher(student, classes, context)
    else:
        module, featuriser = _pretrained(student, len(classes), context, of_words)
    shape = {
        "pooling": module.pooling,
        "dropout": module.dropout.p,
        "labelled": isinstance(module, LabelledClassifier),
    }
    return TransformerModel(module, featuriser, classes, context, shape)


def load(folder: Path, context: Context) -> TorchModel:
    """Read what :meth:`TransformerModel.save` wrote of a student."""
    if not json.loads((folder / "model.json").read_text(encoding="utf-8"))["classes"]:
        from harness_teachers.language import load as load_language_model

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


def chosen(layers: Layers, count: int, otherwise: Layers) -> list[int]:
    """The places, from 0, of the layers to keep of `count`. Raises HarnessError where there are too few."""
    layers = otherwise if layers is None else layers
    half = max(1, count // 2)
    if layers == "first":
        return list(range(half))
    if layers == "last":
        return list(range(count - half, count))
    if isinstance(layers, tuple):
        wanted, most = [place - 1 for place in layers], max(layers)
    else:
        most = half if isinstance(layers, str) else count if layers is None else layers
        # 6 of 12 are 0, 2, 4, 7, 9 and 11, which are DistilBERT's.
        wanted = [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]
    if most > count:
        raise HarnessError(f"{most} layers cannot be taken of a transformer that has {count}")
    return wanted


def prune(encoder: Any, keep: Sequence[int]) -> None:
    """Leave these layers in an encoder, and tell its configuration.

    Raises HarnessError where no model of that configuration has such layers, as where ModernBERT's first,
    which lacks a part that the others have, is not among them: what was trained could not be read again.
    """
    parent, name = place_of_layers(encoder)
    layers = nn.ModuleList(getattr(parent, name)[place] for place in keep)
    setattr(parent, name, layers)
    _shorten(encoder.config, keep)
    with torch.device("meta"):
        parent, name = place_of_layers(type(encoder)(encoder.config))
    if getattr(parent, name).state_dict().keys() != layers.state_dict().keys():
        raise HarnessError(
            f"a model of type '{encoder.config.model_type}' cannot consist of its layers "
            f"{', '.join(str(place + 1) for place in keep)}: not all are made as those are whose places "
            "they would take"
        )


def _shorten(config: Any, keep: Sequence[int]) -> None:
    """Make a configuration that of a model which has these of the layers."""
    config.num_hidden_layers = len(keep)
    if types := getattr(config, "layer_types", None):  # global or local attention, say
        config.layer_types = [types[place] for place in keep]


def _of_teacher(
    student: TransformerStudent, classes: Sequence[str], context: Context
) -> tuple[Classifier, Subwords]:
    fitted = context.teacher
    if (
        not isinstance(fitted, TorchModel)
        or not isinstance(fitted.module, Classifier)
        or not isinstance(fitted.featuriser, Subwords)
    ):
        raise HarnessError(
            f"student '{student.name}' takes layers of a transformer, which its teacher is not"
        )
    teacher, featuriser = fitted.module, fitted.featuriser
    keep = chosen(student.layers, len(layers_of(teacher.encoder)), "every-second")
    if student.weights == "pretrained":
        module = deepcopy(teacher).float().requires_grad_(True)
        prune(module.encoder, keep)
        return module, featuriser
    config: Any = deepcopy(teacher.encoder.config)
    _shorten(config, keep)
    encoder = _fresh(config, teacher.pooling, len(classes), context)
    return classifier(encoder, teacher.pooling, featuriser, len(classes), teacher.dropout.p), featuriser


def _pretrained(
    student: TransformerStudent, classes: int, context: Context, of_words: bool
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
        _shorten(config, chosen(student.layers, config.num_hidden_layers, None))
        encoder = _fresh(config, pooling, classes, context)
    return classifier(encoder, pooling, featuriser, classes, start.dropout), featuriser


def _fresh(config: Any, pooling: Any, classes: int, context: Context) -> nn.Module:
    """An encoder of a configuration, with random weights."""
    config.save_pretrained(folder := context.scratch / "fresh")
    return encoder_of(pooling, classes, config=folder)
