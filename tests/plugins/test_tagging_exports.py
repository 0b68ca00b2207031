"""Exported taggers tag as their models do: each kind, word by word, by ONNX Runtime and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_taggers import SIZES

from harness.api import Examples, Model, Unsupported
from harness.exports.onnx import OnnxModel
from harness.exports.quantise import quantise
from harness.runtime.chain import FILE as CHAIN
from harness.runtime.chain import Chain
from harness.runtime.forms import load
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness_students.taggers import BiLstmTagger, CnnTagger
from harness_students.transformer import TransformerStudent
from harness_teachers.bilstm_crf import BiLstmCrf
from harness_teachers.crf import Crf, padded
from harness_teachers.sequences import SequenceModel
from harness_teachers.taggers import CrfTagger
from harness_transformers.transformer import Transformer

TAGS = 5  # of the tiny examples of tagging

SMALL = SIZES | {"epochs": 15, "batch_size": 8, "longest": 9}
TEXTS = [
    "I saw Alpha Centauri and slept",
    "_",
    "Black Sea",
    "naïve café 🙂 \ufe0f Pacific",
    "one two three four five six seven eight Sirius ten Sirius twelve",  # longer than is read
    "Sirius",
]
KINDS = ["bert", "roberta", "bilstm-tagger", "cnn-tagger", "bilstm-crf", "transformer student"]


@pytest.fixture(scope="module")
def make(
    folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Model]:
    """A fitted tagger of a kind, the same for all that ask; not to be changed."""
    context = CheckContext(tmp_path_factory.mktemp("taggers"))
    train, validation = tiny_examples(Tagging())
    labelled = Examples(train.texts, train.classes, train.labels, task_type=Tagging())

    @cache
    def made(kind: str) -> Model:
        tuned: dict[str, Any] = {"epochs": 60, "batch_size": 8, "learning_rate": 5e-3}
        if kind in ("bert", "roberta"):
            teacher = Transformer(model=str(folder_of(kind)), longest=24, **tuned)
            return teacher.fit(labelled, validation, context)
        if kind == "bilstm-crf":
            return BiLstmCrf(**SMALL).fit(labelled, validation, context)
        if kind == "transformer student":
            start = Transformer(model=str(folder_of("bert")), longest=24)
            student: Any = TransformerStudent(start=start, layers=1, **tuned)
        else:
            student = {"bilstm-tagger": BiLstmTagger, "cnn-tagger": CnnTagger}[kind](**SMALL)
        return student.fit(labelled, validation, FromLabels(), context)  # type: ignore[no-any-return]

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_parity_word_by_word(kind: str, make: Callable[[str], Model], tmp_path: Path) -> None:
    model = make(kind)
    model.export(tmp_path)
    form = load(tmp_path)
    assert form.form == "onnx" and isinstance(form, OnnxModel) and form.featuriser.marks == "words"
    expected = model.predict(TEXTS)
    assert expected.shape == (sum(text.count(" ") + 1 for text in TEXTS), TAGS)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(form.predict(TEXTS), expected, atol=1e-4 * scale)
    np.testing.assert_allclose(
        np.concatenate([form.predict([text]) for text in TEXTS]), expected, atol=1e-4 * scale
    )
    decided = model.decide(TEXTS, expected)
    assert len(set(decided)) > 1
    assert form.decided(TEXTS).tolist() == decided.tolist()
    assert form.decide(TEXTS, expected).tolist() == decided.tolist()
    names = [form.classes[number] for number in decided]
    assert [tag for text in TEXTS for tag in form.tags(text)] == names
    with pytest.raises(Unsupported, match="cannot call label: this model is for tagging; call tags"):
        form.label("Sirius")
    tags, logits = form.answered(TEXTS)
    assert tags.tolist() == decided.tolist() and np.array_equal(logits, form.predict(TEXTS))
    assert form.predict([]).shape == (0, TAGS) and form.decided([]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_form_in_int8(kind: str, make: Callable[[str], Model], tmp_path: Path) -> None:
    model = make(kind)
    model.export(tmp_path)
    quantise(tmp_path)
    form = load(tmp_path, "onnx-int8")
    expected = model.predict(TEXTS)
    assert np.abs(form.predict(TEXTS) - expected).max() < 0.3 * np.abs(expected).max()
    found = form.decided(TEXTS)
    assert (found == model.decide(TEXTS, expected)).mean() > 0.8


def test_only_a_tagger_tags(tmp_path: Path, context: CheckContext) -> None:
    from harness_students.words import Mlp

    train, validation = tiny_examples()
    model = Mlp(vocabulary=30, min_examples=0, epochs=1).fit(train, validation, FromLabels(), context)
    model.export(tmp_path)
    for form in ("numpy", "onnx"):
        with pytest.raises(
            Unsupported, match="cannot call tags: this model is for classification; call label"
        ):
            load(tmp_path, form).tags("sun")


# -- the chain ---------------------------------------------------------------------------------------------


def random_crf(classes: int) -> tuple[Crf, Chain]:
    """The same scores for torch and for NumPy."""
    torch.manual_seed(0)
    crf = Crf(classes)
    for scores in (crf.transitions, crf.start, crf.end):
        torch.nn.init.normal_(scores, std=2)
    return crf, Chain(*(each.detach().numpy() for each in (crf.transitions, crf.start, crf.end)))


def test_numpy_sums_and_searches_as_torch_does() -> None:
    """And torch's sums and search are held to an enumeration of all sequences."""
    crf, chain = random_crf(7)
    counts = torch.tensor([3, 1, 5, 3, 40, 1])
    rows = 2 * torch.randn(int(counts.sum()), 7)
    with torch.no_grad():
        emissions = padded(rows, counts)
        inside = torch.arange(emissions.shape[1]) < counts.unsqueeze(1)
        best = crf.best(emissions, counts)[inside]
        marginals = crf.log_marginals(emissions, counts)[inside]
    scores = rows.numpy()
    assert chain.best(scores, counts.numpy()).tolist() == best.tolist() != rows.argmax(1).tolist()
    found = chain.log_marginals(scores, counts.numpy())
    np.testing.assert_allclose(found, marginals.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-4)
    nothing = np.zeros((0, 7), np.float32)
    assert chain.best(nothing, np.zeros(1, np.int64)).shape == (0,)


def test_by_hand() -> None:
    """Two classes, of which none may follow itself: of three words' scores the middle one gives way."""
    chain = Chain([[-9, 0], [0, -9]], [0, 0], [0, 0])
    scores = np.array([[3, 0], [1, 0], [2, 0], [0, 1]], dtype=np.float32)
    assert chain.best(scores, np.array([3, 1])).tolist() == [0, 1, 0, 1]
    weights = np.exp([5, 1])  # of 0 1 0 and of 1 0 1; others are as good as impossible
    due = weights / weights.sum()
    np.testing.assert_allclose(
        np.exp(chain.log_marginals(scores, np.array([3, 1])))[:3, 0], [due[0], due[1], due[0]], atol=1e-3
    )


def test_it_is_kept_to_the_bit(tmp_path: Path) -> None:
    chain = random_crf(5)[1]
    chain.write(tmp_path)
    read = Chain.read(tmp_path)
    assert read is not None and set(vars(read)) == {"transitions", "start", "end"}
    assert all(np.array_equal(each, getattr(chain, name)) for name, each in vars(read).items())
    (tmp_path / CHAIN).unlink()
    assert Chain.read(tmp_path) is None


def test_sequences_are_decided_as_a_whole(make: Callable[[str], Model], tmp_path: Path) -> None:
    """With transitions that forbid what words alone would say."""
    model = deepcopy(make("bilstm-crf"))
    assert isinstance(model, SequenceModel) and isinstance(model.module, CrfTagger)
    torch.manual_seed(7)
    with torch.no_grad():
        torch.nn.init.normal_(model.module.crf.transitions, std=3)
    model.export(tmp_path)
    form = load(tmp_path)
    logits = form.predict(TEXTS)
    decided = model.decide(TEXTS, logits)
    assert form.decided(TEXTS).tolist() == decided.tolist() != logits.argmax(1).tolist()
    assert [tag for text in TEXTS for tag in form.tags(text)] == [form.classes[i] for i in decided]


def test_it_tags_without_torch(make: Callable[[str], Model], tmp_path: Path) -> None:
    model = make("bilstm-crf")
    model.export(tmp_path)
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom harness.runtime.forms import load\n"
        "print(json.dumps(load(Path(sys.argv[1])).tags('I saw Black Sea')))\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == load(tmp_path).tags("I saw Black Sea")
