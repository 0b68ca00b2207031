"""Base classes of torch models: an author of a student adds a featuriser and a module."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Interval

from harness.api import Context, Examples, HarnessError, Loss, Model, Parameters, Student
from harness.task_types.base import ONE_ROW
from harness.training.settings import ClassWeights, Schedule, training_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from harness.featurise.featuriser import Featuriser, Tokens


WEIGHTS, SETTINGS = "model.safetensors", "model.json"


@dataclass(frozen=True, kw_only=True)
class TorchStudent(Student):
    """A student with a torch module: subclasses provide a featuriser and the module."""

    task_types: ClassVar[frozenset[str]] = ONE_ROW
    accelerated: ClassVar[bool] = True
    exports: ClassVar[bool] = True

    epochs: Annotated[int, Gt(0)] = 6
    batch_size: Annotated[int, Gt(0)] = 128
    learning_rate: Annotated[float, Gt(0)] = 5e-3  # the peak of the schedule
    schedule: Schedule = "one-cycle"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.2  # share of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.0
    epsilon: Annotated[float, Gt(0)] = 1e-8  # of AdamW, in the denominator
    accumulate: Annotated[int, Gt(0)] = 1  # batches whose gradients are added for one step
    class_weights: ClassWeights = (
        "uniform"  # "balanced": equal weight for every class; "square-root": in between
    )
    patience: Annotated[int, Ge(0)] = 0  # validations without a better score before stopping; 0: never
    min_examples: Annotated[int, Ge(0)] = (
        0  # fewest training examples over all epochs: a small set gets more epochs
    )

    @property
    def runs_on_gpu(self) -> bool:
        """Return True: any torch module can run on a GPU."""
        return True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "featuriser" in vars(cls) and "tokeniser" not in vars(cls):
            cls.tokeniser = Student.tokeniser  # type: ignore[method-assign]  # not that of another `featuriser`

    def featuriser(self, transfer: Examples) -> Featuriser:
        """Return a featuriser, fitted on the transfer set: by default that of :meth:`tokeniser`."""
        if (tokeniser := self.tokeniser()) is None:
            raise NotImplementedError
        return tokeniser.fit(transfer)

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """Return an untrained module from ids (B, L) below `size`, 0 for padding, to logits (B, classes).

        If `learns_from` has more than labels and logits, the module has the method ``outputs`` that
        :func:`harness.training.loop.train` requires.
        """
        raise NotImplementedError

    def ids_within(self, parameters: int, classes: int) -> int:
        """Return the largest `size` for which :meth:`module` has at most `parameters` parameters.

        Return a number below 1 if there is none. The number of parameters must grow linearly with `size`, as
        with an embedding for each id.
        """
        import torch

        with torch.device("meta"):  # shapes without memory
            fewer, more = (count_parameters(self.module(size, classes)).total for size in (8, 9))
        return 8 + (parameters - fewer) // (more - fewer)

    def fit(self, transfer: Examples, validation: Examples, loss: Loss, context: Context) -> Model:
        """Return a model trained on the transfer set; the validation set chooses the best epoch."""
        import torch

        made = context.tokens.featuriser(transfer) if context.tokens is not None else None
        featuriser = self.featuriser(transfer) if made is None else made
        torch.manual_seed(context.seed)
        module = self.module(featuriser.size, len(transfer.classes))
        self.begin(module, featuriser, transfer, context)
        return self.learn(
            TorchModel(module, featuriser, transfer.classes, context), transfer, validation, loss
        )

    def begin(
        self, module: torch.nn.Module, featuriser: Featuriser, transfer: Examples, context: Context
    ) -> None:
        """Set initial values of the module before it is trained; by default, it keeps its own."""

    def learn(self, model: TorchModel, transfer: Examples, validation: Examples, loss: Loss) -> TorchModel:
        """Train a model in place and return it; the teacher runs during training if the loss needs it.

        Raise HarnessError if the teacher's tokens are not the student's.
        """
        from harness.training.loop import train
        from harness.training.outputs import unrecorded

        context, featuriser = model.context, model.featuriser
        held_out = tokens_of(featuriser, validation.texts, context)
        tokens = tokens_of(featuriser, transfer.texts, context)
        teacher = None
        if unrecorded(loss, transfer) and context.teacher is not None:
            fitted = context.teacher
            if not isinstance(fitted, TorchModel) or not _same(fitted.featuriser, tokens, model, transfer):
                raise HarnessError(
                    f"cannot train '{self.name}' with this loss: its tokens differ from its teacher's"
                )
            teacher = fitted.module, tokens
        elif transfer.logits is not None:
            tokens = tokens.taught(transfer.logits)
        # A language model may predict any token, so it needs all embeddings.
        lent = (
            nullcontext((tokens, held_out))
            if tokens.redrawn
            else self.narrowed(model.module, tokens, held_out)
        )
        with lent as (own, scored):
            settings, watched = training_of(self), (scored, validation)
            train(model.module, own, transfer, loss, settings, context, watched, teacher)
        return model

    def narrowed(
        self, module: torch.nn.Module, *tables: Tokens
    ) -> AbstractContextManager[tuple[Tokens, ...]]:
        """Return a context in which the module may have fewer embeddings, and the tables to train with."""
        return nullcontext(tables)

    def load(self, folder: Path, context: Context) -> Model:
        """Return the model saved in a folder."""
        return TorchModel.load(folder, context, self.module)


def tokens_of(featuriser: Featuriser, texts: Sequence[str], context: Context) -> Tokens:
    """Return the ids of texts: those that a step has made, or new ones."""
    made: Tokens | None = None if context.tokens is None else context.tokens.find(featuriser, texts)
    return featuriser.tokens(texts, context.scratch) if made is None else made


def _same(featuriser: Featuriser, tokens: Tokens, model: TorchModel, transfer: Examples) -> bool:
    """Return whether a featuriser turns the texts into the model's own tokens."""
    import numpy as np

    if featuriser.state() == model.featuriser.state():
        return True
    found = featuriser.tokens(transfer.texts, model.context.scratch)
    alike = found.padding == tokens.padding and np.array_equal(found.offsets, tokens.offsets)
    return alike and np.array_equal(found.ids, tokens.ids)


class TorchModel(Model):
    """A module with the featuriser of its texts and the names of its classes.

    ``shape`` has the further arguments that the module was built with, as JSON values. A student that took
    them from elsewhere needs them to load the model.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        featuriser: Featuriser,
        classes: Sequence[str],
        context: Context,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        self.module = module.to(context.device).eval()
        self.featuriser = featuriser
        self.classes = tuple(classes)
        self.context = context
        self.shape = dict(shape or {})

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, (R, C)."""
        from harness.training.inference import predict

        return predict(self.module, self.featuriser.tokens(texts), self.context)

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the hidden states of texts, (R, H); raise Unsupported if the module has none."""
        from harness.training.inference import predict

        if not hasattr(self.module, "outputs"):
            return super().hidden(texts)
        return predict(self.module, self.featuriser.tokens(texts), self.context, output="hidden")

    def save(self, folder: Path) -> None:
        """Save the weights as safetensors, and the featuriser and the classes as JSON."""
        from safetensors.torch import save_file

        # `save_model` of safetensors lists tied weights in an order that varies between calls, so equal
        # models would not have equal bytes.
        state = self.module.state_dict()
        copies = {name: state[name].to("cpu", copy=True).contiguous() for name in _names_once(state)}
        save_file(copies, folder / WEIGHTS)
        self.featuriser.save(folder)
        settings = {"classes": self.classes, "size": self.featuriser.size, "shape": self.shape}
        (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, context: Context, build: Any) -> TorchModel:
        """Return the model that :meth:`save` wrote; `build(size, classes, **shape)` makes the module."""
        from safetensors.torch import load_model

        from harness.featurise.featuriser import Featuriser

        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        module = build(settings["size"], len(settings["classes"]), **settings["shape"])
        load_model(module, str(folder / WEIGHTS), device=context.device)
        return cls(module, Featuriser.load(folder), settings["classes"], context, settings["shape"])

    def parameters(self) -> Parameters:
        """Return the numbers of parameters; tied weights count once."""
        return count_parameters(self.module)

    def export(self, folder: Path) -> None:
        """Write the module as ONNX, with its featuriser and its labels."""
        # Imported by name, so that a change to the export does not cause models to be trained again.
        export_module = import_module("harness.exports.onnx").export_module
        export_module(self.module, self.featuriser, self.classes, folder)


def _names_once(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of tensors, but only one name for tied weights, or for a tensor and its views."""
    sharing: dict[Any, list[str]] = {}
    for name, value in state.items():
        sharing.setdefault(value.untyped_storage().data_ptr() if value.numel() else name, []).append(name)

    def whole(name: str) -> bool:
        return state[name].numel() * state[name].element_size() == state[name].untyped_storage().nbytes()

    # Without a tensor that covers the memory, all are parts of it, as with a recurrent layer on a GPU.
    return [name for names in sharing.values() for name in ([*filter(whole, names)][:1] or names)]


def count_parameters(module: torch.nn.Module) -> Parameters:
    """Return the numbers of all, of trainable and of embedding parameters of a module."""
    from torch import nn

    tables = {
        id(p): p.numel()
        for layer in module.modules()
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        for p in layer.parameters()
    }
    every = list(module.parameters())  # torch lists shared ones once
    return Parameters(
        total=sum(p.numel() for p in every),
        trainable=sum(p.numel() for p in every if p.requires_grad),
        embedding=sum(tables.values()),
    )
