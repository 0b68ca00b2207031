"""Export a transformer so that other programs load it: Transformers, Optimum and transformers.js.

Beside the graph and the tokenizer, the export gets ``config.json``, and what is needed to write
``model.safetensors`` with the names of Transformers' classes; see :mod:`harness.exports.weights`. If no class
of Transformers computes what the model does, a linear layer on pooled states is exported with its code,
``pooled.py``. Everything is loaded and compared with the model before it is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.operators import reshape_from_tensor_shape, shape_as_tensor

from harness.exports.beside import save_beside
from harness.exports.onnx import export_module, trace
from harness.exports.weights import CODE, CONFIG, describe
from harness.featurise.featuriser import Subwords
from harness.training.model import TorchModel
from harness_transformers import pooled
from harness_transformers.finetuning import Classifier, TokenClassifier
from harness_transformers.labelled import LabelledClassifier
from harness_transformers.language import MaskedLanguageModel
from harness_transformers.padding import attended, embeddings_of

_INPUTS = ("input_ids", "attention_mask")
_TEXTS = ("a b c d e f", "a")
_EQUAL = 1e-4  # largest difference between outputs of both models, relative to the outputs


class _Standard(NamedTuple):
    """A model of Transformers: its configuration, and its tensors by name."""

    config: Any
    tensors: dict[str, Tensor]
    code: Path | None = None  # the module with its class, if Transformers has none


def export(model: TorchModel, folder: Path) -> None:
    """Write the export of a fitted transformer. Raise Unsupported if torch cannot export it to ONNX."""
    module, featuriser = model.module, model.featuriser
    if not isinstance(module, Classifier | MaskedLanguageModel):  # such as T5, which writes its answers
        export_module(module, featuriser, model.classes, folder)
        return
    assert isinstance(featuriser, Subwords)
    device = next(module.parameters()).device
    try:
        module.to("cpu").eval()
        given = _Marked(module) if isinstance(module, MaskedLanguageModel) else _Attending(module)
        trace(given.eval(), featuriser, folder, _INPUTS)
        padding = _padding(module, featuriser)
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # new models draw random weights
            found = _standard(module, model.classes, padding)
            if found is not None and not _is_equal(found, module, featuriser, padding):
                found = None
        typed = isinstance(module, Classifier) and module.separator is not None
        inputs = (*_INPUTS, "token_type_ids") if typed else _INPUTS
        save_beside(featuriser, model.classes, folder, padding, inputs)
        config = _labelled(module.encoder.config, model.classes, padding) if found is None else found.config
        (folder / CONFIG).write_text(_as_json(config), encoding="utf-8")
        if found is not None:
            describe(found.tensors, module.state_dict(), folder)
            if found.code is not None:
                (folder / CODE).write_bytes(found.code.read_bytes())
    finally:
        module.to(device)


class _Attending(nn.Module):
    """A module of ids (B, L) as one of ids and an attention mask (B, L): 0 for padding, else 1."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(ids.masked_fill(mask == 0, self.model.padding))  # type: ignore[no-any-return]


class _Marked(nn.Module):
    """A language model of ids and an attention mask (B, L): the logits (1, R, V) of marked ids.

    Without any mark, they are those of all ids, (B, L, V).
    """

    def __init__(self, model: MaskedLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        model = self.model
        marked = ids >= model.size  # (B, L)
        told = marked.any()
        read, mask = attended(
            ids.masked_fill(mask == 0, model.padding) % model.size, model.padding, model.filler
        )
        encoder: Any = model.encoder
        states = encoder(input_ids=read, attention_mask=mask).last_hidden_state
        logits = model._logits(states[marked | ~told])  # (R, V), or (B · L, V)
        width = torch.tensor([logits.shape[-1]])
        rows = torch.where(told, torch.tensor([1, -1]), shape_as_tensor(ids))
        return reshape_from_tensor_shape(logits, torch.cat([rows, width]))


def _padding(module: Classifier | MaskedLanguageModel, featuriser: Subwords) -> int | None:
    """Return the id with which other programs pad; None if no special token has an embedding.

    Padding of the harness may have an id that has no embedding. Any id can stand for it, because padding is
    masked; but only a special token can be named without changing how texts are split.
    """
    if module.filler is None:
        return featuriser.padding
    special = featuriser.tokenizer.get_added_tokens_decoder()
    rows = embeddings_of(module.encoder)
    return min((number for number, token in special.items() if token.special and number < rows), default=None)


def _labelled(config: Any, classes: Sequence[str], padding: int | None) -> Any:
    """Return a copy of a configuration with the names of the classes."""
    config = deepcopy(config)
    if classes:
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: number for number, name in enumerate(classes)}
    if padding is not None and getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = padding
    return config


def _as_json(config: Any) -> str:
    found = json.loads(config.to_json_string())
    found.pop("_name_or_path", None)  # a folder of this machine
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _standard(
    module: Classifier | MaskedLanguageModel, classes: Sequence[str], padding: int | None
) -> _Standard | None:
    """Return the model of Transformers that should compute the same, or None."""
    config = _labelled(module.encoder.config, classes, padding)
    try:
        if isinstance(module, MaskedLanguageModel):
            return _of_language_model(module, config)
        if isinstance(module, TokenClassifier):
            return _of_tagger(module, config)
        if module.output is None:
            return _of_head(module, config)
        return _of_pooled(module, config)
    except (ValueError, AttributeError, KeyError):  # Transformers has no such class for the architecture
        return None


def _of_language_model(module: MaskedLanguageModel, config: Any) -> _Standard:
    typeless = getattr(config, "type_vocab_size", None) == 0
    if typeless:
        config.type_vocab_size = 2
    made = _new("AutoModelForMaskedLM", config)
    base, decoder = made.base_model_prefix, made.get_output_embeddings()
    tensors = _below(base, module.encoder)
    if typeless:
        types = f"{base}.embeddings.token_type_embeddings.weight"
        tensors[types] = torch.zeros_like(made.state_dict()[types])
    for kind, own in ((nn.Linear, module.head.dense), (nn.LayerNorm, module.head.norm)):
        (name,) = [name for name, part in _above(made) if isinstance(part, kind) and part is not decoder]
        tensors |= _below(name, own)
    rows = decoder.weight.shape[0]
    bias = torch.cat([module.head.bias.detach(), torch.zeros(rows)])[:rows]
    state = made.state_dict()
    if decoder.bias is not None:
        place = decoder.bias.data_ptr()
        tensors |= {name: bias for name, value in state.items() if value.data_ptr() == place}
    return _Standard(config, tensors)


def _of_tagger(module: TokenClassifier, config: Any) -> _Standard:
    made = _new("AutoModelForTokenClassification", config)
    assert module.output is not None
    return _Standard(
        config, _below(made.base_model_prefix, module.encoder) | _below(_last(made), module.output)
    )


def _of_head(module: Classifier, config: Any) -> _Standard:
    own: Any = module.encoder
    config.architectures = [type(own).__name__]
    tensors = {name: value.detach() for name, value in own.state_dict().items()}
    if isinstance(module, LabelledClassifier):
        last = _last(own)
        tensors |= {
            name: value.index_select(0, module.order)
            for name, value in tensors.items()
            if name.startswith(f"{last}.")
        }
    return _Standard(config, tensors)


def _of_pooled(module: Classifier, config: Any) -> _Standard:
    from transformers import AutoModelForSequenceClassification

    assert module.output is not None
    tensors = _below("encoder", module.encoder) | _below("output", module.output)
    if type(config) in AutoModelForSequenceClassification._model_mapping:
        # Without the code of the export, Transformers would take a class of its own, with random weights for
        # its head. A tensor of a wrong shape makes it fail instead.
        with torch.device("meta"):
            other = AutoModelForSequenceClassification.from_config(config)
        base = {f"{other.base_model_prefix}.{name}" for name in module.encoder.state_dict()}
        tensors[next(name for name in other.state_dict() if name not in base)] = torch.zeros(0)
    config.pooling = module.pooling
    config.architectures = [pooled.PooledClassifier.__name__]
    module_name = CODE.removesuffix(".py")
    config.auto_map = {"AutoModelForSequenceClassification": f"{module_name}.{config.architectures[0]}"}
    return _Standard(config, tensors, Path(pooled.__file__))


def _new(kind: str, config: Any) -> Any:
    """Return a new model of a configuration, whose `architectures` then name its class."""
    import transformers

    made = getattr(transformers, kind).from_config(config)
    config.architectures = [type(made).__name__]
    return made


def _below(name: str, part: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a part of a model, by their names in the model."""
    return {f"{name}.{own}": value.detach() for own, value in part.state_dict().items()}


def _above(model: Any) -> list[tuple[str, nn.Module]]:
    """Return the named modules of a model's head."""
    base = set(model.base_model.modules())
    return [(name, part) for name, part in model.named_modules() if part not in base]


def _last(model: Any) -> str:
    """Return the name of the linear layer that gives a model's logits."""
    count = model.config.num_labels
    linear = [name for name, part in _above(model) if isinstance(part, nn.Linear)]
    return [name for name in linear if model.get_submodule(name).out_features == count][-1]


def _is_equal(
    found: _Standard, module: Classifier | MaskedLanguageModel, featuriser: Subwords, padding: int | None
) -> bool:
    """Return whether a new model of the configuration, with these tensors, has the outputs of the module."""
    import transformers

    (name,) = found.config.architectures
    kind: Any = pooled.PooledClassifier if found.code is not None else getattr(transformers, name)
    other = kind(found.config).eval()
    own = other.state_dict()
    given = {name: value for name, value in found.tensors.items() if name in own and value.numel()}
    tied = {own[name].data_ptr() for name in given}
    if any(value.data_ptr() not in tied for name, value in own.items() if name not in given):
        return False  # a part of it would stay random
    other.load_state_dict(given, strict=False)
    table = featuriser.tokens(_TEXTS).batch(np.arange(len(_TEXTS)))
    ids = torch.from_numpy(table) % featuriser.size  # (2, L), without marks
    mask = (ids != featuriser.padding).long()
    read = ids if padding is None else ids.masked_fill(mask == 0, padding)
    expected = module(ids)
    if padding is None:
        read, mask, expected = read[:1], mask[:1], expected[:1]
    answered = other(input_ids=read, attention_mask=mask).logits[..., : expected.shape[-1]]
    expected = expected[..., : answered.shape[-1]]
    if expected.dim() == 3:  # of words or tokens: those of padding mean nothing
        expected, answered = expected[mask > 0], answered[mask > 0]
    return bool((answered - expected).abs().max() <= _EQUAL * max(1.0, float(expected.abs().max())))
