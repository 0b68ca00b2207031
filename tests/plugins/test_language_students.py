"""Students that tell hidden tokens, and language models that are fine-tuned after they were made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness import HarnessError, catalog
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness.training.model import TorchModel
from harness_losses.labels import CrossEntropy
from harness_losses.soft import SoftTargets
from harness_losses.states import HiddenMse
from harness_students.layers import begin
from harness_students.recurrent import BiGru
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_tasks.tweets import Tweets
from harness_teachers.pupil import Pupil
from harness_transformers import presets
from harness_transformers.language_model import FromLanguageModel
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.states import layers_of
from harness_transformers.transformer import MiniLM, Transformer

HIDDEN = MaskedLanguageModelling()
TAGS = 5  # of the tiny examples of tagging

Folder = Callable[[str], Path]
KINDS = ["masked-bert", "masked-roberta", "masked-distilbert"]
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
TEACHER = MaskedLM(
    vocabulary=256, width=16, layers=4, heads=2, feedforward=32, longest=24, epochs=1, batch_size=8
)
RAW = harness.Examples(["the sun"], ())
SEEN = ["the [MASK] is here", "so much [MASK] [MASK] !", "no rain today"]


def taught(folder: Path, context: CheckContext, **options: Any) -> CheckContext:
    """The context with a language model of a folder as its teacher."""
    teacher = Transformer(model=str(folder), longest=16, **{**QUICK, "learning_rate": 1e-2, **options})
    return replace(context, teacher=teacher.fit(*tiny_examples(HIDDEN), context))


@pytest.fixture
def lent(context: CheckContext) -> CheckContext:
    """The context with a small language model as its teacher."""
    return replace(context, teacher=TEACHER.fit(*tiny_examples(HIDDEN), context))


@pytest.fixture
def prior(lent: CheckContext) -> CheckContext:
    """The context with a student of that as the model to start from."""
    made = TransformerStudent(**QUICK).fit(*tiny_examples(HIDDEN), CrossEntropy(), lent)
    return replace(lent, teacher=None, prior=made)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def module_of(model: Any) -> Any:
    assert isinstance(model, TorchModel)
    return model.module


# -- a teacher's layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_all_layers_of_a_teacher_are_the_teacher(kind: str, folder_of: Folder, context: CheckContext) -> None:
    given = taught(folder_of(kind), context)
    assert given.teacher is not None
    model = begin(TransformerStudent(layers=2), RAW, given)
    np.testing.assert_allclose(model.predict(SEEN), given.teacher.predict(SEEN), rtol=1e-5, atol=1e-5)
    types = 2 * 16 if kind != "masked-distilbert" else 0
    assert given.teacher.parameters().total - model.parameters().total == types


def test_it_begins_as_every_second_layer_with_embeddings_and_head(lent: CheckContext) -> None:
    teacher = module_of(lent.teacher)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    module = module_of(begin(TransformerStudent(), RAW, lent))
    ours, theirs = layers_of(module.encoder), layers_of(teacher.encoder)
    assert len(ours) == 2 and len(theirs) == 4 == teacher.encoder.config.num_hidden_layers
    assert same(ours[0], theirs[0]) and same(ours[1], theirs[3])
    assert same(module.head, teacher.head)
    assert same(module.encoder.embeddings, teacher.encoder.embeddings)
    some = module_of(begin(TransformerStudent(layers=(3, 2)), RAW, lent))
    assert same(layers_of(some.encoder)[0], theirs[2]) and same(layers_of(some.encoder)[1], theirs[1])
    model = TransformerStudent(**QUICK).fit(*tiny_examples(HIDDEN), SoftTargets(), lent)
    assert not same(module_of(model), module)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_half_the_layers_are_counted_without_the_others(lent: CheckContext) -> None:
    assert lent.teacher is not None
    layer = sum(p.numel() for p in layers_of(module_of(lent.teacher).encoder)[0].parameters())
    counts = lent.teacher.parameters(), begin(TransformerStudent(), RAW, lent).parameters()
    assert counts[0].total - counts[1].total == 2 * layer and counts[0].embedding == counts[1].embedding


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_keep_the_architecture_alone(
    kind: str, folder_of: Folder, context: CheckContext
) -> None:
    given = taught(folder_of(kind), context)
    copied, fresh, again = (
        module_of(begin(TransformerStudent(layers=1, weights=weights), RAW, given))
        for weights in ("pretrained", "random", "random")
    )
    shapes = [{name: v.shape for name, v in each.state_dict().items()} for each in (copied, fresh)]
    assert shapes[0] == shapes[1]
    assert same(fresh, again) and not same(fresh.head, copied.head)
    other = begin(TransformerStudent(layers=1, weights="random"), RAW, replace(given, seed=1))
    assert not same(module_of(other), fresh)


def test_a_pretrained_one_of_the_same_width_is_a_start(folder_of: Folder, context: CheckContext) -> None:
    given = taught(folder_of("masked-bert"), context)
    start = Transformer(model=str(folder_of("masked-bert")), longest=16)
    student = TransformerStudent(start=start, layers=1, **QUICK)
    whole, part = (begin(replace(student, layers=layers), RAW, context) for layers in (None, 1))
    assert len(layers_of(module_of(whole).encoder)) == 2 and len(layers_of(module_of(part).encoder)) == 1
    assert module_of(whole).encoder.config.type_vocab_size == 0
    model = student.fit(*tiny_examples(HIDDEN), HiddenMse(of="layers", map="final"), given)
    assert np.isfinite(model.predict(SEEN)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_folder_of_its_own_is_all_that_a_model_needs(
    kind: str, weights: Any, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    student = TransformerStudent(layers=1, weights=weights, **QUICK)
    model = student.fit(*tiny_examples(HIDDEN), SoftTargets(), taught(folder_of(kind), context))
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    loaded = student.load(tmp_path / "model", context)
    np.testing.assert_array_equal(loaded.predict(SEEN), model.predict(SEEN))
    assert loaded.parameters() == model.parameters()
    config = json.loads((tmp_path / "model" / "config" / "config.json").read_text())
    assert config.get("type_vocab_size", 0) == 0


def test_steps_in_mixed_precision(lent: CheckContext) -> None:
    student = TransformerStudent(accumulate=2, **QUICK)
    model = student.fit(*tiny_examples(HIDDEN), SoftTargets(), replace(lent, precision="bf16"))
    assert all(value.dtype == torch.float32 for value in module_of(model).parameters())
    assert np.isfinite(model.predict(SEEN)).all()


def test_what_is_no_language_model_lends_no_layers(folder_of: Folder, context: CheckContext) -> None:
    fitted = Transformer(model=str(folder_of("bert")), **QUICK).fit(*tiny_examples(), context)
    for teacher in (None, fitted):
        given = replace(context, teacher=teacher)
        with pytest.raises(
            HarnessError, match="cannot start student 'transformer': its teacher is not a masked"
        ):
            TransformerStudent().fit(*tiny_examples(HIDDEN), CrossEntropy(), given)


@pytest.mark.parametrize(
    ("layers", "what"),
    [(5, "5 layers"), ((1, 7), "layer 7"), (4, ""), ((1, 4), ""), ("first", ""), (None, "")],
)
def test_more_layers_than_there_are_is_told_while_planning(layers: Any, what: str) -> None:
    student = TransformerStudent(layers=layers)
    told = f"student 'transformer' takes {what}, but teacher 'masked-lm' has only 4" if what else ""
    assert student.refuses(TEACHER) == told
    if what:
        with pytest.raises(ValueError, match=told):
            FromLanguageModel(task=Tweets(), teacher=TEACHER, student=student, loss=SoftTargets()).check()


def test_a_student_of_a_student(folder_of: Folder, context: CheckContext) -> None:
    start = Transformer(model=str(folder_of("masked-bert")), longest=16)
    teacher = Pupil(student=TransformerStudent(start=start, **QUICK))
    assert "language-modelling" in teacher.task_types and TransformerStudent().refuses(teacher) == ""
    given = replace(context, teacher=teacher.fit(*tiny_examples(HIDDEN), context))
    model = TransformerStudent(layers=1, **QUICK).fit(*tiny_examples(HIDDEN), SoftTargets(), given)
    assert len(layers_of(module_of(model).encoder)) == 1


# -- from one task to another ------------------------------------------------------------------------------

DISTILLED = TransformerStudent(**QUICK)
START = FromLanguageModel(
    task=Tweets(), teacher=TEACHER, student=DISTILLED, loss=CrossEntropy(), longest=24, **QUICK
)


def test_its_prior_is_the_language_model() -> None:
    assert START.prior == harness.Recipe(Tweets(), TEACHER, DISTILLED, CrossEntropy())
    assert FromLanguageModel(task=Tweets(), teacher=TEACHER).prior == harness.Recipe(Tweets(), TEACHER)
    for student in (TransformerStudent(start=START), Static(embeddings=START), BiGru(embeddings=START)):
        assert student.prior == START.prior and not student.borrows
        assert Pupil(student=student).prior == START.prior
    for other in (TransformerStudent(), TransformerStudent(start=MiniLM()), Static(), BiGru(), MiniLM()):
        assert other.prior is None


def test_a_classifier_starts_from_its_encoder(prior: CheckContext) -> None:
    source = module_of(prior.prior)
    before = {name: value.clone() for name, value in source.state_dict().items()}
    still = replace(START, learning_rate=1e-12).fit(*tiny_examples(), prior)
    module = module_of(still)
    for name, value in source.encoder.state_dict().items():
        torch.testing.assert_close(module.encoder.state_dict()[name], value, msg=name)
    texts = list(tiny_examples()[1].texts)
    ids = torch.from_numpy(still.featuriser.tokens(texts).batch(np.arange(len(texts))))  # type: ignore[attr-defined]
    mask = (ids != 0).float()[..., None]
    with torch.no_grad():
        states = source.encoder(input_ids=ids, attention_mask=mask[..., 0].long()).last_hidden_state
        pooled = (states * mask).sum(1) / mask.sum(1)
        expected = module.output(pooled)
    np.testing.assert_allclose(still.predict(texts), expected.numpy(), rtol=1e-4, atol=1e-5)
    learned = replace(START, epochs=20, learning_rate=1e-2).fit(*tiny_examples(), prior)
    labels = tiny_examples()[1].labels
    assert labels is not None and (learned.predict(texts).argmax(1) == labels).mean() > 0.6
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_words_are_tagged_from_its_encoder(prior: CheckContext) -> None:
    train, validation = tiny_examples(Tagging())
    model = START.fit(train, validation, prior)
    assert model.predict(["no Pacific !"]).shape == (3, TAGS)


def test_its_tokenizer_reads_as_much_as_the_encoder_can(prior: CheckContext) -> None:
    assert module_of(prior.prior).encoder.config.max_position_embeddings == 24
    for longest, expected in ((8, 8), (24, 24), (128, 24)):
        model: Any = replace(START, longest=longest).fit(*tiny_examples(), prior)
        assert model.featuriser.longest == expected and model.featuriser.type == "subwords"
        assert len(model.featuriser.encode(["sun " * 60])[0]) == expected


def test_it_may_be_trained_on_other_texts(prior: CheckContext) -> None:
    still = replace(START, learning_rate=1e-12).fit(*tiny_examples(HIDDEN), prior)
    assert prior.prior is not None
    np.testing.assert_allclose(still.predict(SEEN), prior.prior.predict(SEEN), rtol=1e-4, atol=1e-4)


def test_a_student_starts_from_it(prior: CheckContext) -> None:
    source = module_of(prior.prior)
    labelled, _ = tiny_examples()
    student = TransformerStudent(start=START, **QUICK)
    whole = module_of(begin(student, labelled, prior))
    assert len(layers_of(whole.encoder)) == 2  # all that are left
    assert same(whole.encoder, source.encoder)
    part = module_of(begin(replace(student, layers=(2,)), labelled, prior))
    assert len(layers_of(part.encoder)) == 1 and same(layers_of(part.encoder)[0], layers_of(whole.encoder)[1])
    fresh = begin(replace(student, layers=1, weights="random"), labelled, prior)
    assert {name: v.shape for name, v in module_of(fresh).state_dict().items()} == {
        name: v.shape for name, v in part.state_dict().items()
    }
    assert not same(layers_of(module_of(fresh).encoder)[0], layers_of(part.encoder)[0])
    on = begin(student, RAW, prior)  # a language model again
    np.testing.assert_allclose(on.predict(SEEN), prior.prior.predict(SEEN), rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]


def test_its_model_needs_the_language_model_no_more(prior: CheckContext, tmp_path: Path) -> None:
    texts = ["the sun is here", "", "sun " * 60]
    fitted: list[tuple[Any, Any]] = [
        (START, START.fit(*tiny_examples(), prior)),
        (
            TransformerStudent(start=START, layers=1, **QUICK),
            TransformerStudent(start=START, layers=1, **QUICK).fit(*tiny_examples(), FromLabels(), prior),
        ),
    ]
    for number, (component, model) in enumerate(fitted):
        (folder := tmp_path / str(number)).mkdir()
        model.save(folder)
        loaded = component.load(folder, replace(prior, prior=None))
        np.testing.assert_array_equal(loaded.predict(texts), model.predict(texts))
        assert loaded.parameters() == model.parameters()


def test_inner_states_are_learned_in_step_from_a_teacher_of_the_same_tokens(
    lent: CheckContext, prior: CheckContext
) -> None:
    whole = FromLanguageModel(task=Tweets(), teacher=TEACHER, longest=24, **QUICK)
    student = TransformerStudent(start=START, **QUICK)
    assert student.aligned(whole)
    fitted = whole.fit(*tiny_examples(), replace(lent, prior=lent.teacher))
    given = replace(prior, teacher=fitted)
    model = student.fit(*tiny_examples(), HiddenMse(of="layers"), given)
    assert np.isfinite(model.predict(["the sun is here"])).all()


def test_embeddings_of_a_language_model_are_taken(prior: CheckContext) -> None:
    table = module_of(prior.prior).encoder.get_input_embeddings().weight
    student = BiGru(embeddings=START, epochs=1, min_examples=0, freeze=True)
    model = student.fit(*tiny_examples(), FromLabels(), prior)
    torch.testing.assert_close(module_of(model).embedding.weight[: len(table)], table)
    static = Static(embeddings=START, width=8, epochs=1, min_examples=0)
    assert static.fit(*tiny_examples(), FromLabels(), prior).predict(["sun"]).shape == (1, 3)


# -- what fits together ------------------------------------------------------------------------------------


def of(**options: Any) -> FromLanguageModel:
    return FromLanguageModel(task=Tweets(), **{"teacher": TEACHER, **options})


@pytest.mark.parametrize(
    ("start", "teacher", "expected"),
    [
        (START, START, True),
        (START, of(longest=24), True),
        (START, of(longest=25), False),
        (of(longest=64), of(longest=64, teacher=replace(TEACHER, layers=2)), True),
        (of(longest=64), of(longest=64, teacher=replace(TEACHER, vocabulary=300)), False),
        (of(longest=24), FromLanguageModel(task=Tweets(urls=False), teacher=TEACHER, longest=24), False),
        (of(teacher=MiniLM()), MiniLM(), True),
        (of(teacher=MiniLM()), presets.BertBaseUncased(), True),
        (of(teacher=MiniLM()), presets.RobertaBase(), False),
        (
            of(
                teacher=MiniLM(), student=TransformerStudent(start=presets.RobertaBase()), loss=CrossEntropy()
            ),
            presets.RobertaBase(),
            True,
        ),
        (MiniLM(), TEACHER, False),
        ("teacher", TEACHER, True),
        ("teacher", START, True),
    ],
)
def test_alignment_follows_from_the_tokenizers(start: Any, teacher: Any, expected: bool) -> None:
    assert TransformerStudent(start=start).aligned(teacher) is expected


TABLE: dict[str, Any] = {
    "use": "language-model",
    "task": {"use": "tweets"},
    "teacher": {"use": "masked-lm"},
    "student": {"use": "transformer"},
    "loss": {"use": "cross-entropy"},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": {"use": "emotion"}}, "task 'emotion' is classification, not language-modelling"),
        ({"loss": None}, "got a student without a loss"),
        ({"student": None}, "got a loss without a student"),
        ({"student": {"use": "mlp"}}, "student 'mlp' is not for language-modelling"),
        ({"teacher": {"use": "bilstm-crf"}}, "teacher 'bilstm-crf' is not for language-modelling"),
        ({"loss": {"use": "squared-error"}}, "loss 'squared-error' is not for language-modelling"),
        ({"pooling": "head"}, "pooling"),
    ],
)
def test_what_makes_no_language_model_is_refused(changed: dict[str, Any], message: str) -> None:
    table = {key: value for key, value in (TABLE | changed).items() if value is not None}
    with pytest.raises(HarnessError, match=message):
        catalog.load().build("teacher", table)


def test_a_suite_says_what_it_starts_from() -> None:
    built: Any = catalog.load().build("student", {"use": "transformer", "start": TABLE})
    assert built.start == FromLanguageModel(
        task=Tweets(), teacher=MaskedLM(), student=TransformerStudent(), loss=CrossEntropy()
    )


def test_without_a_language_model_it_says_so(context: CheckContext) -> None:
    model = Mlp(epochs=1, min_examples=0).fit(*tiny_examples(), FromLabels(), context)
    for found in (None, model):
        with pytest.raises(
            HarnessError, match="cannot start teacher 'language-model': it needs a masked language model"
        ):
            START.fit(*tiny_examples(), replace(context, prior=found))
    with pytest.raises(HarnessError, match="cannot find a folder of weights for teacher 'language-model'"):
        START.folder()


def test_what_cannot_be_had_is_known_beforehand(tmp_path: Path) -> None:
    assert START.base() == "\n"
    here = MiniLM()
    assert of(teacher=here).base() == here.base()
    with pytest.raises(HarnessError, match=r"config\.json is missing"):
        of(teacher=Transformer(model=str(tmp_path))).base()
