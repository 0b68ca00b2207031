"""Masked language models as students, from some layers of a larger one."""

from __future__ import annotations

from copy import deepcopy

from harness import Context, HarnessError
from harness_students.pruning import Layers, Pruned, chosen, prune
from harness_transformers.language import (
    TransformerLanguageModel,
    fresh_language_model,
    language_model_of,
    pretrained_language_model,
)
from harness_transformers.states import layers_of
from harness_transformers.token_types import drop_types


def begin(student: Pruned, context: Context) -> TransformerLanguageModel:
    """Return the language model that a student starts from, without token types (Sanh et al., 2019).

    From a teacher it takes the embeddings, the head and, by default, every second layer. Raise HarnessError
    if the teacher is not a masked language model.
    """
    if student.start == "teacher":
        lent = language_model_of(context.teacher)
        if lent is None:
            raise HarnessError(
                f"cannot start student '{student.name}': its teacher is not a masked language model"
            )
        module, featuriser = deepcopy(lent[0]).float().requires_grad_(True), lent[1]
    else:
        module, featuriser = pretrained_language_model(student.start, context)
    usual: Layers = "every-second" if student.start == "teacher" else None
    keep = chosen(student.layers, len(layers_of(module.encoder)), usual)
    drop_types(module.encoder)
    prune(module.encoder, keep)
    if student.weights == "random":
        module = fresh_language_model(module.encoder.config, featuriser, context)
    return TransformerLanguageModel(module, featuriser, (), context)
