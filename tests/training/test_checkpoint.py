"""A training that is killed goes on where it was, and ends in the very bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from components import CPU, Told, no_event
from masked_models import TEXTS, featuriser, small_bert
from torch import Tensor, nn

import harness
from harness.api import Batch, Context, Examples, Loss, Model
from harness.featurise.featuriser import Words
from harness.plan.planner import Step
from harness.run.job import perform
from harness.run.local import LocalWorkers
from harness.storage.store import Store
from harness.task_types.classification import Classification
from harness.testing.tiny import FromLabels, tiny_examples
from harness.training import checkpoint
from harness.training import loop as training
from harness.training.checkpoint import seconds_before
from harness.training.loop import train
from harness.training.model import TorchStudent
from harness.training.settings import Training
from harness_losses import CrossEntropy, SoftTargets, Triple, Weighted

EXAMPLES, VALIDATION = tiny_examples()
RAW = Examples(TEXTS * 5, ())


@pytest.fixture(autouse=True)
def always_kept(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is kept after each step."""
    monkeypatch.setattr(checkpoint, "EVERY_S", -1.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    monkeypatch.setattr(training, "_SCORED", 1)  # a validation each epoch


def context_in(folder: Path, **options: Any) -> Told:
    """A context that keeps states in a folder."""
    return Told(folder, checkpoints=folder / "kept", **options)


class Recurrent(nn.Module):
    """Dropout, shared numbers, a buffer that learns, and one that is no part of what is saved."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 6)
        self.gru = nn.GRU(6, 5, batch_first=True, bidirectional=True)
        self.norm = nn.BatchNorm1d(10)
        self.output = nn.Sequential(nn.Dropout(0.3), nn.Linear(10, 6), nn.Linear(6, 3))
        self.back = nn.Linear(6, size, bias=False)
        self.back.weight = self.embedding.weight
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.gru(self.embedding(ids))
        return self.output(self.norm(states.amax(1))) * self.scale  # type: ignore[no-any-return]


class Killed(BaseException):
    """Stands for a signal that leaves no time for anything."""


@dataclass(frozen=True)
class Dies(Loss):
    """Another loss, until a call that it does not outlive."""

    name = "dies"
    of: Loss
    calls: list[int]

    def __repr__(self) -> str:
        return repr(self.of)

    @property
    def needs(self) -> frozenset[str]:
        return self.of.needs

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        self.calls[0] -= 1
        if not self.calls[0]:
            raise Killed
        return self.of(student, teacher, batch)


SETTINGS = Training(
    epochs=4, batch_size=4, accumulate=2, learning_rate=3e-2, weight_decay=0.1, class_weights="balanced"
)
SUM = Weighted((SoftTargets(), CrossEntropy(), SoftTargets(1.0)), (1.0, 0.5, 0.2))


def classified(context: Told, loss: Loss, settings: Training = SETTINGS) -> dict[str, Tensor]:
    words = Words.fit(EXAMPLES.texts, 40)
    torch.manual_seed(1)
    module = Recurrent(words.size)
    held_out = words.tokens(VALIDATION.texts), VALIDATION
    train(module, words.tokens(EXAMPLES.texts), EXAMPLES, loss, settings, context, held_out)
    return module.state_dict()


def modelled(context: Told, loss: Loss) -> dict[str, Tensor]:
    """A language model, narrower than its teacher, so that a map is learned along."""
    reads, teacher, module = featuriser(), small_bert(0), small_bert(1, width=8, layers=1)
    tokens = reads.tokens(RAW.texts)
    settings = Training(epochs=3, batch_size=4, learning_rate=1e-2, epsilon=1e-6)
    train(module, tokens, RAW, loss, settings, context, (tokens, RAW), (teacher, tokens))
    return module.state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("fitted", "loss", "deaths"),
    [
        # 30 texts in 8 batches and 4 steps an epoch
        (classified, SUM, [1, 2, 7, 9, 3]),
        (classified, FromLabels(), [8, 9, 8]),
        (modelled, Triple(mse=0.1), [1, 6, 9, 2]),
    ],
    ids=["weighted", "epoch", "language"],
)
def test_the_bits_of_a_training_that_was_killed_again_and_again(
    fitted: Any, loss: Loss, deaths: list[int], tmp_path: Path
) -> None:
    whole, parts = context_in(tmp_path / "a"), context_in(tmp_path / "b")
    expected = fitted(whole, loss)
    steps = []
    for calls in deaths:
        with pytest.raises(Killed):
            fitted(parts, Dies(loss, [calls]))
        index = list((tmp_path / "b" / "kept").glob("*.json"))
        steps += [json.loads(path.read_text())["place"]["step"] for path in index]
    assert steps == sorted(steps) and steps[-1] > 2  # it did go on each time
    parts.measured.clear()
    assert same(fitted(parts, loss), expected)
    assert parts.measured == whole.measured
    assert not parts.warnings and not whole.warnings
    assert seconds_before(tmp_path / "b" / "kept") > 0 == seconds_before(tmp_path / "a" / "kept")
    assert len(list((tmp_path / "b" / "kept").glob("*.safetensors"))) == 1


def test_patience_and_the_best_weights_outlive_a_kill(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=30, patience=2, learning_rate=0.3, schedule="constant")
    whole, parts = context_in(tmp_path / "a"), context_in(tmp_path / "b")
    expected = classified(whole, SUM, settings)
    epochs = len(whole.measured)
    assert 2 < epochs < 30  # it stopped, with the weights of an earlier epoch
    with pytest.raises(Killed):
        classified(parts, Dies(SUM, [8 * epochs - 3]), settings)
    assert same(classified(parts, SUM, settings), expected)
    assert parts.measured[-epochs:] == whole.measured


def left_behind(context: Told) -> tuple[Path, Path]:
    """The index and the numbers of a training that was killed in its second epoch."""
    with pytest.raises(Killed):
        classified(context, Dies(SUM, [12]))
    assert context.checkpoints is not None
    (index,), (numbers,) = (list(context.checkpoints.glob(f"*.{end}")) for end in ("json", "safetensors"))
    return index, numbers


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda index, numbers: numbers.write_bytes(numbers.read_bytes()[:-7]), "its checksum is wrong"),
        (lambda index, numbers: numbers.unlink(), "No such file"),
        (lambda index, numbers: index.write_text("{"), "Expecting"),
        (lambda index, numbers: index.write_text("{}"), "identity"),
        (
            lambda index, numbers: index.write_text(
                json.dumps({**json.loads(index.read_text()), "identity": {"seed": 9}})
            ),
            "it belongs to another training",
        ),
    ],
    ids=["cut", "gone", "torn", "empty", "foreign"],
)
def test_a_damaged_or_foreign_state_is_told_of_and_not_used(damage: Any, reason: str, tmp_path: Path) -> None:
    context = context_in(tmp_path / "b")
    damage(*left_behind(context))
    context.measured.clear()
    found = classified(context, SUM)
    (warning,) = context.warnings
    assert warning.startswith("cannot use the checkpoint: ")
    assert reason in warning
    whole = context_in(tmp_path / "a")
    assert same(found, classified(whole, SUM)) and context.measured == whole.measured
    assert context.checkpoints is not None and not seconds_before(context.checkpoints)


def test_a_training_with_other_settings_does_not_go_on_from_it(tmp_path: Path) -> None:
    context, other = context_in(tmp_path / "b"), replace(SETTINGS, learning_rate=1e-3)
    left_behind(context)
    assert same(classified(context, SUM, other), classified(context_in(tmp_path / "a"), SUM, other))
    assert not context.warnings


def test_another_precision_does_not_go_on_from_it(tmp_path: Path) -> None:
    context = context_in(tmp_path / "b")
    left_behind(context)
    context.measured.clear()
    context.precision = "bf16"
    classified(context, SUM)
    assert not context.warnings and context.measured[0][1]["epoch"] == 1
    assert context.checkpoints is not None and not seconds_before(context.checkpoints)


def test_seconds_that_cannot_be_kept_cost_a_warning(tmp_path: Path) -> None:
    context = context_in(tmp_path / "b")
    index, _ = left_behind(context)
    (index.with_suffix(".resumed") / "file").mkdir(parents=True)
    found = classified(context, SUM)
    (warning,) = context.warnings
    assert warning.startswith("cannot count the seconds of the killed training: ")
    assert same(found, classified(context_in(tmp_path / "a"), SUM)) and not seconds_before(index.parent)


def test_a_state_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    context, whole = context_in(tmp_path / "b"), context_in(tmp_path / "a")
    (tmp_path / "file").write_text("")
    context.checkpoints = tmp_path / "file" / "kept"
    assert same(classified(context, SUM), classified(whole, SUM))
    (warning,) = context.warnings
    assert warning.startswith("cannot write a checkpoint: ")


def test_short_trainings_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_S", 60.0)
    classified(context_in(tmp_path), SUM)
    assert not (tmp_path / "kept").exists()


# -- a worker that is killed --------------------------------------------------------------------------------


@dataclass(frozen=True)
class KillsOnce(Loss):
    """A loss whose worker is killed at one of its calls, the first time that it comes so far."""

    name = "kills-once"
    journal: str
    at: int

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        journal = Path(self.journal)
        with journal.open("a") as stream:
            stream.write("x")
        if journal.stat().st_size == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return CrossEntropy()(student, teacher, batch)


@dataclass(frozen=True, kw_only=True)
class SmallReader(TorchStudent):
    """A small model that keeps its state after each step."""

    name = "small-reader"

    epochs: int = 3
    batch_size: int = 5

    def featuriser(self, transfer: Examples) -> Words:
        return Words.fit(transfer.texts, 40)

    def module(self, size: int, classes: int) -> nn.Module:
        return Recurrent(size)

    def fit(self, transfer: Examples, validation: Examples, loss: Loss, context: Context) -> Model:
        checkpoint.EVERY_S, checkpoint._SHARE, training._SCORED = -1.0, 0, 1
        return super().fit(transfer, validation, loss, context)


@dataclass(frozen=True)
class Few(harness.Task):
    """Texts of three classes."""

    name = "few"

    def read(self, source: harness.Source) -> dict[str, pa.Table]:
        assert EXAMPLES.labels is not None
        known = [row for row, label in enumerate(EXAMPLES.labels) if label >= 0]
        texts = [EXAMPLES.texts[row] for row in known]
        rows = pa.table({"text": texts, "label": [f"class {EXAMPLES.labels[row]}" for row in known]})
        return dict.fromkeys(("train", "validation", "test"), rows)


def step(kind: str, needs: dict[str, str], **components: Any) -> Step:
    settings = {"source": "local", "fingerprint": "1", "seed": 5}
    parts = {**components, "task_type": Classification()}
    return Step(kind, f"{kind}-key", kind, parts, settings, {"origin": "a test"}, needs, kind, kind)


def performed(store: Path, *steps: Step) -> Sequence[Any]:
    """The last events of some steps, one after another, in one worker after another."""
    executor = LocalWorkers(store, (CPU,))
    ends = []
    try:
        for each in steps:
            executor.submit(executor.free()[0], each)
            while not (found := [e for e in executor.wait(1.0) if e.type not in ("progress", "warning")]):
                pass
            ends += found
    finally:
        executor.close()
    return ends


def test_a_worker_that_is_killed_costs_no_bit(tmp_path: Path) -> None:
    data = step("data", {}, task=Few())

    def student(name: str, at: int) -> Step:
        loss = KillsOnce(str(tmp_path / name), at)
        return step("student", {"data": data.key}, student=SmallReader(), loss=loss)

    whole, parts = tmp_path / "a" / "store", tmp_path / "b" / "store"
    for each in (data, student("one", 0)):
        perform(each, Store(whole), CPU, no_event)  # in this process, undisturbed
    killed = student("two", 13)
    ends = performed(parts, data, killed, killed)
    assert [end.type for end in ends] == ["done", "failed", "done"]
    assert "SIGKILL" in ends[1].details["reason"]
    batches = len((tmp_path / "one").read_text())
    assert batches > 13 and len((tmp_path / "two").read_text()) == batches + 1  # one of them was done twice
    found = [Store(root).find("student", killed.key) for root in (whole, parts)]
    assert found[0] is not None and found[1] is not None
    assert found[0].files == found[1].files  # with their checksums
    assert found[0].result == found[1].result  # with the history
    assert not (parts / "checkpoints" / killed.key).exists()
