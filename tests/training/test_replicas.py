"""Test data parallelism: batches in parts on several devices, which are all the CPU here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_micro_batches import Separable, fitted, same
from torch import nn

from harness.api import Batch
from harness.featurise.featuriser import Words
from harness.testing.tiny import CheckContext, tiny_examples
from harness.training import loop
from harness.training.checkpoint import Checkpoints
from harness.training.loop import train
from harness.training.micro_batches import Part
from harness.training.outputs import Signals
from harness.training.replicas import Replica, Replicas, gpus_for
from harness.training.settings import Training

pytestmark = pytest.mark.usefixtures("one_thread")


def on(devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings find a number of devices, but never more than they ask for."""
    monkeypatch.setattr(loop, "gpus_for", lambda device, wanted: [device] * min(devices, wanted))


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"accumulate": 2, "batch_size": 5}])
def test_the_result_does_not_depend_on_the_number_of_devices(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fitted(tmp_path, parts=3, **options)
    for devices in (2, 3, 8):
        on(devices, monkeypatch)
        assert same(alone, fitted(tmp_path, parts=3, **options))
    assert not same(alone, fitted(tmp_path, parts=2, **options))  # the component's own number counts


def test_replicas_follow_the_optimiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica computes with the weights of the last step, and is never trained by itself."""
    on(2, monkeypatch)
    made: list[Replicas] = []

    class Watched(Replicas):
        def __init__(self, replicas: Any) -> None:
            super().__init__(replicas)
            made.append(self)

    monkeypatch.setattr(loop, "Replicas", Watched)
    module = fitted(tmp_path, parts=2)
    (replicas,) = made
    assert replicas.replicas[0].module is module
    assert replicas.replicas[1].module is not module
    assert same(module, replicas.replicas[1].module)
    with pytest.raises(RuntimeError, match="shutdown"):  # its threads have ended
        replicas.of([])


def test_a_training_continues_on_several_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas get the weights of the checkpoint, not those that a new module starts with."""
    on(2, monkeypatch)
    expected = fitted(tmp_path / "whole", parts=2, epochs=4)
    context = CheckContext(tmp_path / "broken", checkpoints=tmp_path / "kept")
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: True))
    examples, _ = tiny_examples()
    words = Words.fit(examples.texts, 40)
    settings = Training(epochs=4, batch_size=8, learning_rate=0.05, micro_batches=2)
    from test_micro_batches import Network

    class Stopped(Exception):
        pass

    def stop(done: int, total: int, **scalars: float) -> None:
        if done >= total // 2 and scalars:
            raise Stopped

    monkeypatch.setattr(context, "progress", stop)
    with pytest.raises(Stopped):
        train(Network(words.size), words.tokens(examples.texts), examples, Separable(), settings, context)
    monkeypatch.setattr(context, "progress", lambda *told, **scalars: None)
    other = Network(words.size)
    nn.init.zeros_(other.output.weight)
    train(other, words.tokens(examples.texts), examples, Separable(), settings, context)
    assert same(expected, other)


def test_parts_are_computed_in_turn_and_added_in_order() -> None:
    modules = [nn.Linear(2, 1, bias=False) for _ in range(2)]
    for module in modules:
        nn.init.constant_(module.weight, 1.0)
    device = torch.device("cpu")
    signals: Any = Signals
    replicas = Replicas([Replica(device, module, signals, None) for module in modules])
    used: list[tuple[int, int]] = []

    def part(number: int) -> Any:
        def compute(where: Replica) -> Part:
            used.append((number, modules.index(where.module)))
            value = (where.module.weight * (number + 1)).sum()
            batch = Batch(None, 1)
            batch.parts["own"] = value.detach()
            return Part(value, value, batch)

        return compute

    parts, (gradient,) = replicas.of([part(number) for number in range(3)])
    assert sorted(used) == [(0, 0), (1, 1), (2, 0)]
    assert [float(one.value) for one in parts] == [2.0, 4.0, 6.0]
    assert [float(one.batch.parts["own"]) for one in parts] == [2.0, 4.0, 6.0]
    assert gradient is not None and gradient.tolist() == [[6.0, 6.0]]
    assert replicas.of([]) == ([], [None])
    with torch.no_grad():
        modules[0].weight.add_(1)
    replicas.spread()
    np.testing.assert_array_equal(modules[1].weight.detach().numpy(), [[2.0, 2.0]])
    replicas.close()


def test_the_gpus_that_a_process_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [str(one) for one in gpus_for(torch.device("cuda:0"), 2)] == ["cuda:0", "cuda:1"]
    assert [str(one) for one in gpus_for(torch.device("cuda:1"), 8)] == ["cuda:1", "cuda:0", "cuda:2"]
    assert [str(one) for one in gpus_for(torch.device("cuda:0"), 1)] == ["cuda:0"]
    assert [str(one) for one in gpus_for(torch.device("cpu"), 4)] == ["cpu"]
