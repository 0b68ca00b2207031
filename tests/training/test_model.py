"""What a torch student's author inherits, and how parameters are counted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import harness
from harness.api import Examples, Parameters
from harness.featurise.featuriser import Words
from harness.testing.checks import check_component
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLogits, tiny_examples
from harness.training.model import TorchModel, TorchStudent, count_parameters
from harness.training.settings import training_of


class Pooled(nn.Module):
    """Maximum of embeddings, then a layer with dropout."""

    def __init__(self, size: int, width: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        self.output = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, classes))

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.embedding(ids).masked_fill((ids == 0).unsqueeze(-1), -1e4)
        return self.output(hidden.amax(1))  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Pool(TorchStudent):
    """All that an author writes."""

    name = "pool"

    width: Annotated[int, harness.Gt(0)] = 4
    epochs: Annotated[int, harness.Gt(0)] = 2

    def featuriser(self, transfer: Examples) -> Words:
        return Words.fit(transfer.texts, 30)

    def module(self, size: int, classes: int) -> nn.Module:
        return Pooled(size, self.width, classes)


@pytest.fixture
def context(tmp_path: Path) -> CheckContext:
    (scratch := tmp_path / "scratch").mkdir()
    return CheckContext(scratch)


def fitted(context: CheckContext, **options: int) -> TorchModel:
    train, validation = tiny_examples()
    model = Pool(**options).fit(train, validation, FromLogits(), context)
    assert isinstance(model, TorchModel)
    return model


def test_a_featuriser_and_a_module_make_a_student() -> None:
    check_component(Pool())


def test_the_seed_is_that_of_the_weights_too(context: CheckContext) -> None:
    texts = tiny_examples()[1].texts
    torch.manual_seed(5)
    first = fitted(context).predict(texts)
    torch.manual_seed(6)
    assert np.array_equal(fitted(context).predict(texts), first)
    context.seed = 1
    assert not np.array_equal(fitted(context).predict(texts), first)


def test_parameters_of_the_student_are_settings_of_its_training() -> None:
    student = Pool(epochs=7, batch_size=3, learning_rate=0.25, warmup=0.5, weight_decay=0.125, min_examples=9)
    settings = training_of(student)
    for name in ("epochs", "batch_size", "learning_rate", "warmup", "weight_decay", "min_examples"):
        assert getattr(settings, name) == getattr(student, name)
    assert settings.schedule == "one-cycle"  # the student has no such parameter


def test_a_model_is_in_evaluation(context: CheckContext) -> None:
    model = fitted(context)
    assert not model.module.training
    assert np.array_equal(model.predict(ODD_TEXTS), model.predict(ODD_TEXTS))


def test_saved_as_safetensors_and_json(context: CheckContext, tmp_path: Path) -> None:
    model = fitted(context, width=6)
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json", "featuriser.json"}
    with safe_open(folder / "model.safetensors", "np") as stored:
        assert set(stored.keys()) == set(model.module.state_dict())
    loaded = Pool(width=6).load(folder, context)
    assert isinstance(loaded, TorchModel) and loaded.classes == model.classes
    assert np.array_equal(loaded.predict(ODD_TEXTS), model.predict(ODD_TEXTS))
    assert loaded.parameters() == model.parameters()


def test_weights_of_another_architecture_are_refused(context: CheckContext, tmp_path: Path) -> None:
    (folder := tmp_path / "model").mkdir()
    fitted(context, width=6).save(folder)
    with pytest.raises(RuntimeError):
        Pool(width=5).load(folder, context)


def test_more_classes_than_training_has(context: CheckContext) -> None:
    train, validation = tiny_examples()
    assert train.logits is not None
    wider = replace(train, classes=(*train.classes, "none"), logits=np.pad(train.logits, ((0, 0), (0, 1))))
    model = Pool().fit(wider, validation, FromLogits(), context)
    assert model.predict(["sun"]).shape == (1, 4)


def test_importing_loads_no_torch() -> None:
    code = (
        "import sys, harness, harness.training.model; harness.TorchStudent; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- counting -------------------------------------------------------------------------------------------


class Tied(nn.Module):
    """Its output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.output = nn.Linear(4, 10)
        self.output.weight = self.embedding.weight
        self.register_buffer("mean", torch.zeros(99))


def frozen(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Pooled(10, 4, 3), Parameters(40 + 15, 40 + 15, 40)),
        (Tied(), Parameters(40 + 10, 40 + 10, 40)),
        (nn.Sequential(nn.EmbeddingBag(7, 3), frozen(nn.Linear(3, 2))), Parameters(21 + 8, 21, 21)),
        (nn.Sequential(frozen(nn.Embedding(7, 3)), nn.LayerNorm(3)), Parameters(27, 6, 21)),
        (nn.ReLU(), Parameters(0, 0, 0)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_parameters_are_counted_once(module: nn.Module, expected: Parameters) -> None:
    assert count_parameters(module) == expected


def test_tied_weights_are_saved_and_loaded(tmp_path: Path, context: CheckContext) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tied = Tied()

        def forward(self, ids: Tensor) -> Tensor:
            return self.tied.output(self.tied.embedding(ids).mean(1))  # type: ignore[no-any-return]

    words = Words.fit(["a b c d e f g h"], 10)
    model = TorchModel(Model(), words, [str(number) for number in range(10)], context)
    model.save(tmp_path)
    loaded = TorchModel.load(tmp_path, context, lambda size, classes: Model())
    assert np.array_equal(loaded.predict(["a b", "c"]), model.predict(["a b", "c"]))
    assert loaded.parameters().total == 50


def test_views_of_weights_are_saved_with_them(tmp_path: Path, context: CheckContext) -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.register_buffer("first", self.embedding.weight.data[:3])
            self.register_buffer("flat", self.embedding.weight.data.view(-1))
            self.register_buffer("halves", torch.arange(6.0))
            self.register_buffer("none", torch.zeros(0))

    module = Viewed()
    TorchModel(module, Words.fit(["a"], 10), ["a"], context).save(tmp_path)
    loaded = TorchModel.load(tmp_path, context, lambda size, classes: Viewed())
    for name, value in module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], value)


def test_equal_weights_are_saved_in_equal_bytes(tmp_path: Path, context: CheckContext) -> None:
    module = nn.ModuleList([Tied(), Tied(), Tied()])
    model = TorchModel(module, Words.fit(["a"], 10), ["a"], context)
    found = set()
    for number in range(6):
        (folder := tmp_path / str(number)).mkdir()
        model.save(folder)
        found.add((folder / "model.safetensors").read_bytes())
    assert len(found) == 1
    with safe_open(folder / "model.safetensors", "np") as stored:
        assert sum("weight" in name for name in set(stored.keys())) == 3  # each of them once
