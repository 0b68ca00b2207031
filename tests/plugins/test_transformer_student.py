"""Transformer students: where their layers come from, and what they learn by."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import torch

import harness
from harness import HarnessError, catalog
from harness.exports.onnx import OnnxModel
from harness.plan import planner as plan
from harness.suite.reader import load as read_suite
from harness.testing.tiny import ODD_TEXTS, CheckContext, tiny_examples
from harness.training.model import TorchModel
from harness_losses.attention import Attention, Relations
from harness_losses.labels import CrossEntropy
from harness_losses.soft import SoftTargets
from harness_losses.states import HiddenCosine, HiddenMse
from harness_losses.weighted import Weighted
from harness_students.layers import begin
from harness_students.pruning import chosen
from harness_students.recurrent import BiGru
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_teachers.precomputed import Precomputed
from harness_teachers.pupil import Pupil
from harness_transformers import presets
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.states import layers_of
from harness_transformers.transformer import FineTuned, MiniLM, Transformer

Folder = Callable[[str], Path]
KINDS = ["bert", "roberta", "distilbert"]
POOLINGS: list[Any] = ["head", "mean", "cls"]
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}


Teach = Callable[..., CheckContext]


def taught(folder: Path, context: CheckContext, **options: Any) -> CheckContext:
    """The context with a teacher of a folder fitted in it."""
    found = Transformer(model=str(folder), **QUICK | {"learning_rate": 1e-2} | options)
    return replace(context, teacher=found.fit(*tiny_examples(), context))


@pytest.fixture(scope="module")
def teach(folder_of: Folder, tmp_path_factory: pytest.TempPathFactory) -> Teach:
    """The context with a fitted teacher of a kind in it, the same for all that ask; not to be changed."""

    @cache
    def fitted(kind: str, pooling: Any) -> Any:
        own = CheckContext(tmp_path_factory.mktemp("taught"))
        return taught(folder_of(kind), own, pooling=pooling).teacher

    def lent(kind: str, context: CheckContext, pooling: Any = "head") -> CheckContext:
        return replace(context, teacher=fitted(kind, pooling))

    return lent


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- which layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "count", "expected"),
    [
        ("every-second", 12, [0, 2, 4, 7, 9, 11]),  # Sanh et al. (2019), in their code
        ("every-second", 6, [0, 2, 5]),
        ("every-second", 1, [0]),
        ("first", 12, [0, 1, 2, 3, 4, 5]),
        ("last", 7, [4, 5, 6]),
        (4, 12, [0, 4, 7, 11]),
        (1, 6, [0]),
        (6, 6, [0, 1, 2, 3, 4, 5]),
        ((1, 12), 12, [0, 11]),
        ((3, 2), 4, [2, 1]),
        (None, 4, [0, 3]),
    ],
)
def test_layers_are_chosen(layers: Any, count: int, expected: list[int]) -> None:
    assert chosen(layers, count, "every-second") == expected


def test_all_layers_of_others_are_kept() -> None:
    assert chosen(None, 4, None) == [0, 1, 2, 3]


@pytest.mark.parametrize("layers", [7, (1, 7)])
def test_more_layers_than_there_are_cannot_be_taken(layers: Any) -> None:
    with pytest.raises(HarnessError, match=r"expected layers up to 6, .*, got 7"):
        chosen(layers, 6, None)


@pytest.mark.parametrize("layers", [0, [], [0, 1], [1, 1], "second"])
def test_layers_that_mean_nothing_are_refused(layers: Any) -> None:
    with pytest.raises(HarnessError):
        catalog.load().build("student", {"use": "transformer", "layers": layers})


# -- a teacher's layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_begins_as_the_teachers_layers_embeddings_and_head(
    kind: str, pooling: Any, teach: Teach, context: CheckContext
) -> None:
    lent = teach(kind, context, pooling=pooling)
    teacher: Any = lent.teacher
    before = weights(teacher.module)
    model = begin(TransformerStudent(layers=(2,)), tiny_examples()[0], lent)
    ours, theirs = model.module, teacher.module
    assert len(layers_of(ours.encoder)) == 1 == ours.encoder.config.num_hidden_layers  # type: ignore[union-attr]
    assert len(layers_of(theirs.encoder)) == 2 == theirs.encoder.config.num_hidden_layers
    assert same(layers_of(ours.encoder)[0], layers_of(theirs.encoder)[1])
    others = {name: value for name, value in weights(ours).items() if ".layer." not in name}
    assert others and all(torch.equal(value, before[name]) for name, value in others.items())
    assert model.featuriser.state() == teacher.featuriser.state()
    learned = TransformerStudent(layers=(2,), **QUICK).fit(*tiny_examples(), SoftTargets(), lent)
    assert isinstance(learned, TorchModel) and not same(learned.module, ours)
    assert all(torch.equal(value, before[name]) for name, value in weights(theirs).items())


def test_all_layers_of_a_teacher_are_the_teacher(teach: Teach, context: CheckContext) -> None:
    lent = teach("bert", context)
    assert lent.teacher is not None
    texts = tiny_examples()[1].texts
    model = begin(TransformerStudent(layers=2), tiny_examples()[0], lent)
    np.testing.assert_array_equal(model.predict(texts), lent.teacher.predict(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_keep_the_architecture_alone(kind: str, teach: Teach, context: CheckContext) -> None:
    lent = teach(kind, context, pooling="mean")
    teacher: Any = lent.teacher
    train, _ = tiny_examples()
    copied = begin(TransformerStudent(layers=1), train, lent).module
    fresh = begin(TransformerStudent(layers=1, weights="random"), train, lent)
    shapes = [{name: v.shape for name, v in weights(each).items()} for each in (copied, fresh.module)]
    assert shapes[0] == shapes[1]
    assert not same(layers_of(fresh.module.encoder)[0], layers_of(teacher.module.encoder)[0])
    again = begin(TransformerStudent(layers=1, weights="random"), train, lent)
    assert same(again.module, fresh.module)
    other = begin(TransformerStudent(layers=1, weights="random"), train, replace(lent, seed=1))
    assert not same(other.module, fresh.module)


def test_a_checkpoints_head_stays_in_the_tasks_order(
    folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    train, validation = tiny_examples()
    fitted = Checkpoint(model=str(folder_of("classifier"))).fit(train, validation, context)
    lent = replace(context, teacher=fitted)
    student = TransformerStudent(layers=2, **QUICK)
    model = begin(student, train, lent)
    np.testing.assert_array_equal(model.predict(validation.texts), fitted.predict(validation.texts))
    model.save(tmp_path)
    loaded = student.load(tmp_path, context)
    np.testing.assert_allclose(loaded.predict(validation.texts), fitted.predict(validation.texts), rtol=1e-5)


def test_a_student_of_a_student(folder_of: Folder, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("bert")))
    assistant = TransformerStudent(start=start, **QUICK)
    teacher = Pupil(student=assistant)
    student = TransformerStudent(layers=1, **QUICK)
    assert student.refuses(teacher) == "" and student.aligned(teacher)
    lent = replace(context, teacher=teacher.fit(*tiny_examples(), context))
    loss = Weighted((SoftTargets(), HiddenMse(of="layers")))
    assert teacher.gives >= loss.needs
    model = student.fit(*tiny_examples(), loss, lent)
    assert model.predict(["sun"]).shape == (1, 3)


def test_what_is_no_transformer_lends_no_layers(context: CheckContext) -> None:
    train, validation = tiny_examples()
    fitted = Mlp(epochs=1, min_examples=0).fit(train, validation, CrossEntropy(), context)
    for teacher in (None, fitted):
        with pytest.raises(HarnessError, match="its teacher is not a transformer"):
            TransformerStudent().fit(train, validation, SoftTargets(), replace(context, teacher=teacher))


# -- a pretrained one ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["head", "mean"])
def test_a_pretrained_transformer_is_pruned_too(
    pooling: Any, folder_of: Folder, context: CheckContext
) -> None:
    start = Transformer(model=str(folder_of("distilbert")), pooling=pooling)
    assert not TransformerStudent(start=start).borrows
    assert TransformerStudent(start=start).base() == start.base() != ""
    train, _ = tiny_examples()
    whole = begin(TransformerStudent(start=start), train, context).module
    assert len(layers_of(whole.encoder)) == 2
    part = begin(TransformerStudent(start=start, layers=(2,)), train, context).module
    assert same(layers_of(part.encoder)[0], layers_of(whole.encoder)[1])
    fresh = begin(TransformerStudent(start=start, layers=1, weights="random"), train, context).module
    assert len(layers_of(fresh.encoder)) == 1
    assert not same(layers_of(fresh.encoder)[0], layers_of(whole.encoder)[0])


@pytest.mark.parametrize(
    ("kind", "pooling", "borrowed"),
    [
        (kind, pooling, (row + column) % 2 == 0)
        for row, kind in enumerate(KINDS)
        for column, pooling in enumerate(POOLINGS)
    ],
)
def test_a_folder_of_its_own_is_all_that_a_model_needs(
    kind: str, pooling: Any, borrowed: bool, tmp_path: Path, context: CheckContext
) -> None:
    folder = pretrained.make(kind, tmp_path / "start")
    student = TransformerStudent(layers=1, **QUICK)
    lent = context
    if borrowed:
        lent = taught(folder, context, pooling=pooling)
    else:
        student = replace(student, start=Transformer(model=str(folder), pooling=pooling))
    model = student.fit(*tiny_examples(), SoftTargets(), lent)
    assert isinstance(model, TorchModel)
    for name in ("model", "exported"):
        (tmp_path / name).mkdir()
    model.save(tmp_path / "model")
    for path in folder.iterdir():
        path.unlink()
    loaded = student.load(tmp_path / "model", context)
    texts = [*tiny_examples()[1].texts, *ODD_TEXTS]
    expected = model.predict(texts)
    np.testing.assert_allclose(loaded.predict(texts), expected, rtol=1e-6, atol=1e-6)
    assert loaded.parameters() == model.parameters()
    model.export(tmp_path / "exported")
    found = OnnxModel(tmp_path / "exported").predict(texts)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    config = json.loads((tmp_path / "model" / "config" / "config.json").read_text())
    assert config.get("num_hidden_layers", config.get("n_layers")) == 1


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_layers_that_attend_globally_or_locally(
    weights: Any, folder_of: Folder, tmp_path: Path, context: CheckContext
) -> None:
    start = Transformer(model=str(folder_of("modernbert")))
    student = TransformerStudent(start=start, layers=(1, 2, 6), weights=weights, **QUICK)
    model = student.fit(*tiny_examples(), SoftTargets(), context)
    model.save(tmp_path)
    types = json.loads((tmp_path / "config" / "config.json").read_text())["layer_types"]
    assert types == ["full_attention", "sliding_attention", "sliding_attention"]
    texts = tiny_examples()[1].texts
    found = student.load(tmp_path, context).predict(texts)
    np.testing.assert_allclose(found, model.predict(texts), rtol=1e-6, atol=1e-6)


def test_layers_that_no_model_has_in_these_places(folder_of: Folder, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("modernbert")))  # whose first layer alone has no norm
    with pytest.raises(HarnessError, match="cannot keep the layers 4, 5, 6 of a model of type 'modernbert'"):
        begin(TransformerStudent(start=start, layers="last"), tiny_examples()[0], context)


def test_three_layers_of_minilm(context: CheckContext) -> None:
    start = MiniLM(longest=16)
    try:
        start.folder()
    except harness.Unavailable as error:
        pytest.skip(str(error))
    train, _ = tiny_examples()
    whole = begin(TransformerStudent(start=start), train, context)
    part = begin(TransformerStudent(start=start, layers=3), train, context)
    ours, theirs = layers_of(part.module.encoder), layers_of(whole.module.encoder)
    assert len(theirs) == 6 and len(ours) == 3
    assert all(same(ours[place], theirs[taken]) for place, taken in enumerate((0, 2, 5)))
    layer = sum(value.numel() for value in theirs[0].parameters())
    assert whole.parameters().total - part.parameters().total == 3 * layer
    ids = torch.from_numpy(part.featuriser.tokens(["the sun"]).batch(np.arange(1)))
    found = part.module.outputs(ids, {"layers", "attention", "relations"})  # type: ignore[operator]
    length = ids.shape[1]
    assert [state.shape for state in found["layers"]] == [(1, length, 384)] * 4
    assert [maps.shape for maps in found["attention"]] == [(1, 12, length, length)] * 3
    assert [state.shape for state in found["relations"]] == [(1, length, 384)] * 3


# -- learning from inner states -----------------------------------------------------------------------------

LOSSES: list[harness.Loss] = [
    Weighted((SoftTargets(), HiddenCosine(of="layers"))),
    HiddenMse(of="layers", map="final"),
    Attention(),
    Attention(form="kl"),
    Relations(heads=2),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_on_inner_states_is_learned_in_step(
    kind: str, loss: harness.Loss, teach: Teach, context: CheckContext
) -> None:
    lent = teach(kind, context)
    teacher: Any = lent.teacher
    train, validation = tiny_examples()
    student = TransformerStudent(layers=1, weights="random", **QUICK | {"learning_rate": 5e-3, "epochs": 8})
    assert loss.needs <= student.learns_from

    def value(model: Any) -> float:
        tokens = model.featuriser.tokens(train.texts)
        ids = torch.from_numpy(tokens.batch(np.arange(len(train))))
        assert train.logits is not None
        with torch.no_grad():
            own, theirs = (each.outputs(ids, loss.needs) for each in (model.module.eval(), teacher.module))
        batch = harness.Batch(None, len(ids), own, theirs, ids != tokens.padding)
        return float(loss(own["logits"], torch.tensor(train.logits), batch))

    before = value(begin(student, train, lent))
    after = value(student.fit(train, validation, loss, lent))
    assert after < 0.8 * before


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_inner_states_in_mixed_precision(loss: harness.Loss, teach: Teach, context: CheckContext) -> None:
    lent = replace(teach("bert", context), precision="bf16")
    student = TransformerStudent(layers=1, class_weights="balanced", accumulate=2, **QUICK)
    train, validation = tiny_examples()
    model = student.fit(train, validation, loss, lent)
    assert isinstance(model, TorchModel)
    assert all(value.dtype != torch.bfloat16 for value in model.module.parameters())
    assert np.isfinite(model.predict(validation.texts)).all()


def test_the_teacher_in_step_reads_its_own_ids(folder_of: Folder, context: CheckContext) -> None:
    """The student's embedding is cut to the words in use, whose ids are then others."""
    lent = taught(folder_of("bert"), context, pooling="mean")
    teacher: Any = lent.teacher
    seen: set[int] = set()
    teacher.module.encoder.get_input_embeddings().register_forward_pre_hook(
        lambda layer, given: seen.update(given[0].flatten().tolist())
    )
    train, validation = tiny_examples()
    TransformerStudent(layers=1, **QUICK).fit(train, validation, HiddenMse(of="layers"), lent)
    assert seen == {id_ for ids in teacher.featuriser.encode([*train.texts]) for id_ in ids} | {
        teacher.featuriser.padding
    }


def test_recorded_hidden_states_may_come_from_any_architecture(
    folder_of: Folder, context: CheckContext
) -> None:
    train, validation = tiny_examples()
    hidden = np.random.default_rng(0).standard_normal((len(train), 24)).astype(np.float16)
    start = Transformer(model=str(folder_of("roberta")), pooling="mean")
    for student in (TransformerStudent(start=start, **QUICK), Mlp(epochs=1), BiGru(epochs=1)):
        given = replace(train, hidden=hidden)
        model = replace(student, min_examples=0).fit(given, validation, HiddenCosine(), context)
        assert model.predict(["sun"]).shape == (1, 3)


def test_tokens_are_compared_where_tokenizers_are_written_differently(
    tmp_path: Path, context: CheckContext
) -> None:
    one, other = pretrained.make("bert", tmp_path / "one"), pretrained.make("distilbert", tmp_path / "other")
    path = other / "tokenizer.json"
    table = json.loads(path.read_text())
    table["normalizer"] = {"type": "Sequence", "normalizers": [table["normalizer"]]}
    path.write_text(json.dumps(table))
    lent = taught(one, context)
    student = TransformerStudent(start=Transformer(model=str(other)), **QUICK)
    student.fit(*tiny_examples(), Attention(), lent)
    table["normalizer"] = {"type": "Sequence", "normalizers": []}  # capitals are unknown words now
    path.write_text(json.dumps(table))
    shouted = replace(tiny_examples()[0], texts=[t.upper() for t in tiny_examples()[0].texts])
    with pytest.raises(HarnessError, match="its tokens differ from its teacher's"):
        student.fit(shouted, tiny_examples()[1], Attention(), lent)


# -- what fits together -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "teacher", "expected"),
    [
        ("teacher", presets.RobertaBase(), True),
        ("teacher", presets.DistilbertSst2(), True),
        ("teacher", Precomputed(file=Path("answers.jsonl")), False),
        (presets.DistilbertBaseUncased(), presets.BertBaseUncased(), True),
        (MiniLM(), presets.BertBaseUncased(), True),
        (MiniLM(), presets.DistilbertSst2(), True),
        (presets.DistilrobertaBase(), presets.RobertaBase(), True),
        (presets.DistilbertBaseUncased(), presets.RobertaBase(), False),
        (presets.DistilbertBaseUncased(longest=64), presets.BertBaseUncased(), False),
        (presets.DistilbertBaseUncased(), presets.BertBaseUncased(model="another"), False),
        (presets.XlmRobertaBase(), presets.XlmRobertaBase(epochs=9), True),
        (Transformer(model="some/model"), Transformer(model="some/model"), True),
        (Transformer(model="some/model"), Transformer(model="other/model"), False),
        (presets.DistilbertBaseUncased(), Pupil(student=Mlp()), False),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_alignment_follows_from_the_tokenizers(start: Any, teacher: Any, expected: bool) -> None:
    assert TransformerStudent(start=start).aligned(teacher) is expected
    if start == "teacher":
        assert bool(TransformerStudent().refuses(teacher)) is not expected
    assert isinstance(start, str | FineTuned)


SUITE = """
[suite]
name = "states"
latency = false
[[task]]
use = "emotion"
[[teacher]]
use = "minilm"
[[teacher]]
use = "student"
student = { use = "mlp" }
[[student]]
use = "mlp"
[[student]]
use = "tfidf-logreg"
[[student]]
use = "transformer"
[[augmenter]]
use = "none"
[[loss]]
use = "hidden-mse"
[[loss]]
use = "hidden-mse"
of = "layers"
"""


def test_what_does_not_fit_is_a_row_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "states.toml").write_text(SUITE)
    packages = catalog.load()
    built = plan.build(read_suite(tmp_path / "states.toml", packages), packages, source="sample")
    found = {
        (cell.teacher.name, cell.student.name, cell.loss.of): cell.reason
        for cell in built.cells
        if cell.role == "distilled" and cell.teacher and cell.student and isinstance(cell.loss, HiddenMse)
    }
    pupil = (
        "student 'transformer' takes layers of a transformer, but teacher 'student' is not one; "
        'set `start` to a pretrained model, such as { use = "distilbert-base-uncased" }'
    )
    assert found["minilm", "mlp", "hidden"] == "" == found["student", "mlp", "hidden"]
    assert found["minilm", "transformer", "hidden"] == "" == found["minilm", "transformer", "layers"]
    for teacher in ("minilm", "student"):
        assert found[teacher, "mlp", "layers"] == (
            "loss 'hidden-mse' needs layers, but student 'mlp' cannot learn from layers"
        )
        assert found[teacher, "tfidf-logreg", "hidden"] == (
            "loss 'hidden-mse' needs hidden, but student 'tfidf-logreg' cannot learn from hidden"
        )
    assert found["student", "transformer", "hidden"] == pupil
    assert found["student", "transformer", "layers"] == (
        "loss 'hidden-mse' needs layers, which teacher 'student' does not give"
    )
    baselines = [
        cell for cell in built.cells if cell.role == "baseline" and cell.student == built.suite.students[2]
    ]
    assert {cell.teacher.name: cell.reason for cell in baselines if cell.teacher} == {
        "minilm": "",
        "student": pupil,
    }
