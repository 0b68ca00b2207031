"""Teachers that are made of others, that come from files, and pretrained ones by name."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import load_file

import harness
from harness import catalog
from harness.parameters import ParameterErrors
from harness.task_types.classification import Classification
from harness.testing.checks import check_component, check_imports
from harness.testing.tiny import ODD_TEXTS, CheckContext, tiny_examples
from harness_losses.labels import CrossEntropy
from harness_losses.soft import SoftTargets
from harness_students.tfidf import TfidfLogreg
from harness_students.words import Mlp
from harness_teachers.ensemble import Ensemble
from harness_teachers.precomputed import Precomputed
from harness_teachers.pupil import Pupil
from harness_teachers.t5 import T5Base, T5Small
from harness_transformers import presets
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.transformer import Transformer

SMALL = Mlp(epochs=1, min_examples=0, batch_size=8, vocabulary=40, width=4)
LINEAR = TfidfLogreg()


@pytest.fixture(scope="module")
def installed() -> catalog.Catalog:
    return catalog.load()


@pytest.fixture
def context(tmp_path: Path) -> CheckContext:
    (scratch := tmp_path / "scratch").mkdir()
    return CheckContext(scratch)


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LABELS = ("IT'S WIND", "IT'S SUN", "IT'S RAIN")  # in another order and case than the task's


def tiny_model(folder: Path, kind: str, head: bool = False) -> Path:
    """A pretrained model of an architecture in a folder: two narrow layers; a head for three labels."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    words = ["sun", "rain", "wind", "the", "is", "here", "so", "much", "today", "i", "like", "and", "now"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if "roberta" in kind:  # where padding is number 1, and positions are counted from it
        special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    numbers = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[(name, numbers[name]) for name in ("[CLS]", "[SEP]")]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = dict(SIZES)
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    if kind == "deberta-v2":  # as version 3 is configured
        sizes |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pooler_hidden_size": 16,
            "position_biased_input": False,
            "type_vocab_size": 0,
        }
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(numbers),
        max_position_embeddings=32,
        pad_token_id=numbers["[PAD]"],
        initializer_range=0.2,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        **sizes,
    )
    model = AutoModelForSequenceClassification if head else AutoModel
    model.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("bert"), "bert", head=True)


def softmax(x: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


# -- ensemble -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "teacher",
    [
        Ensemble(of=(Pupil(student=SMALL), Pupil(student=LINEAR)), average="logits", weights=(2.0, 1.0)),
        Pupil(student=LINEAR, loss=CrossEntropy()),
    ],
    ids=["ensemble-logits", "student-loss"],
)
def test_conformance(teacher: harness.Teacher, installed: catalog.Catalog) -> None:
    check_component(teacher, installed)


def test_no_torch_for_a_plan() -> None:
    check_imports(
        Ensemble(of=()), Precomputed(file=Path("x.jsonl")), Pupil(student=SMALL), presets.RobertaBase()
    )


@pytest.mark.parametrize("weights", [(), (3.0, 1.0), (0.0, 1.0)])
def test_average(weights: tuple[float, ...], context: CheckContext) -> None:
    train, validation = tiny_examples()
    members = (Pupil(student=SMALL), Pupil(student=LINEAR))
    shares = np.array(weights or (1.0, 1.0)) / sum(weights or (1.0, 1.0))
    model: Any = Ensemble(of=members, weights=weights).fit(train, validation, context)
    each = [member.predict(validation.texts).astype(np.float64) for member in model.models]
    mean = sum(share * softmax(logits) for share, logits in zip(shares, each, strict=True))
    np.testing.assert_allclose(np.exp(model.predict(validation.texts)), mean, rtol=1e-5)
    model.average = "logits"
    mean = sum(share * logits for share, logits in zip(shares, each, strict=True))
    np.testing.assert_allclose(model.predict(validation.texts), mean, rtol=1e-5, atol=1e-6)


def test_members_differ_in_seed_alone(context: CheckContext) -> None:
    train, validation = tiny_examples()
    model: Any = Ensemble(of=(Pupil(student=SMALL),) * 2).fit(train, validation, context)
    first, second = (member.predict(validation.texts) for member in model.models)
    assert not np.allclose(first, second)
    assert model.parameters().total == 2 * model.models[0].parameters().total


def test_members_decide_what_the_ensemble_can(bert: Path) -> None:
    plain = Ensemble(of=(Pupil(student=LINEAR), Pupil(student=LINEAR)))
    assert not plain.accelerated and not plain.mixed_precision and not plain.exports
    mixed = Ensemble(of=(Pupil(student=LINEAR), Transformer(model=str(bert))))
    assert mixed.accelerated and mixed.mixed_precision
    assert mixed.base() == "\n" + Transformer(model=str(bert)).base()


def test_only_members_that_can_get_bf16(context: CheckContext, bert: Path) -> None:
    seen = {}

    class Spy(harness.Model):
        def predict(self, texts: Any) -> Any: ...
        def save(self, folder: Path) -> None: ...
        def parameters(self) -> Any: ...

    class Mixed(harness.Teacher):
        mixed_precision = True

        def fit(self, train: Any, validation: Any, context: harness.Context) -> harness.Model:
            seen[self.mixed_precision] = (context.precision, context.seed, context.scratch)
            context.progress(1, 4)
            return Spy()

    class Single(Mixed):
        mixed_precision = False

    context.precision = "bf16"
    Ensemble(of=(Mixed(), Single())).fit(*tiny_examples(), context)
    assert seen[True][0] == "bf16" and seen[False][0] == "fp32"
    assert seen[True][1] == seen[False][1] == context.seed and seen[True][2] != seen[False][2]


def test_equal_members_have_seeds_of_their_own(context: CheckContext) -> None:
    seeds = []

    @dataclass(frozen=True)
    class Seeded(harness.Teacher):
        name = "seeded"
        kind_of: int = 0

        def fit(self, train: Any, validation: Any, context: harness.Context) -> Any:
            seeds.append(context.seed)

    Ensemble(of=(Seeded(), Seeded(1), Seeded(), Seeded())).fit(*tiny_examples(), context)
    assert seeds[0] == seeds[1] == context.seed
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"of": [{"use": "minilm"}]}, "list of 2 or more"),
        ({"of": [{"use": "minilm"}] * 2, "weights": [1.0]}, "expected 2 weights, one per teacher, got 1"),
        ({"of": [{"use": "minilm"}] * 2, "weights": [0.0, 0.0]}, "expected a weight above 0"),
        ({"of": [{"use": "minilm"}, {"use": "minilmm"}]}, "did you mean 'minilm'"),
    ],
)
def test_ensembles_that_make_no_sense(table: Any, message: str, installed: catalog.Catalog) -> None:
    with pytest.raises(ParameterErrors, match=message):
        installed.build("teacher", {"use": "ensemble", **table})


def test_a_pupil_learns_from_labels_alone(installed: catalog.Catalog) -> None:
    with pytest.raises(ValueError, match="got 'kl', which needs logits"):
        Pupil(student=SMALL, loss=SoftTargets()).check()

    class Kept(TfidfLogreg):
        exports = False

    assert Pupil(student=SMALL).exports and Pupil(student=LINEAR).exports
    assert not Pupil(student=Kept()).exports


# -- precomputed --------------------------------------------------------------------------------------

CLASSES = ("it's sun", "it's rain", "it's wind")
TEXTS = sorted(
    {*Classification().tiny_of(2)[1].texts, *tiny_examples()[0].texts, *tiny_examples()[1].texts, *ODD_TEXTS}
)
LOGITS = np.random.default_rng(0).standard_normal((len(TEXTS), 3)).astype(np.float32)


def rows(numbers: NDArray[Any], listed: str | None) -> list[dict[str, Any]]:
    found = zip(TEXTS, numbers.tolist(), strict=True)
    return [
        {"text": text, **({listed: row} if listed else dict(zip(CLASSES, row, strict=True)))}
        for text, row in found
    ]


def write(path: Path, numbers: NDArray[Any], outputs: str, listed: bool) -> None:
    table = rows(numbers, outputs if listed else None)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(table), path, row_group_size=7)
    elif path.suffix == ".safetensors":
        save_file({outputs: np.ascontiguousarray(numbers, dtype=np.float32)}, path)
        lines = (" ".join(text.split()) for text in TEXTS)
        path.with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    else:
        lines = (json.dumps(row) + "\n" for row in table)
        data = "".join(lines).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("a.parquet", True),
        ("a.parquet", False),
        ("a.jsonl", True),
        ("a.jsonl.gz", False),
        ("a.safetensors", True),
    ],
)
def test_formats(name: str, listed: bool, outputs: Any, tmp_path: Path, context: CheckContext) -> None:
    numbers = LOGITS if outputs == "logits" else softmax(LOGITS.astype(np.float64))
    write(tmp_path / name, numbers, outputs, listed)
    teacher = Precomputed(file=tmp_path / name, outputs=outputs, classes=CLASSES if listed else ())
    _, validation = tiny_examples()
    model = teacher.fit(validation, validation, context)
    found = model.predict(["  " + validation.texts[0].replace(" ", "\t "), *validation.texts])
    expected = LOGITS[[TEXTS.index(text) for text in (validation.texts[0], *validation.texts)]]
    assert found.dtype == np.float32
    np.testing.assert_allclose(softmax(found), softmax(expected), rtol=1e-5)
    if outputs == "logits":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-6)


def test_precomputed_conformance(tmp_path: Path, installed: catalog.Catalog) -> None:
    write(tmp_path / "a.parquet", LOGITS, "logits", False)
    check_component(Precomputed(file=tmp_path / "a.parquet"), installed)


def test_columns_are_put_in_the_order_of_the_classes(tmp_path: Path, context: CheckContext) -> None:
    write(tmp_path / "a.parquet", LOGITS, "logits", True)
    turned = Precomputed(file=tmp_path / "a.parquet", classes=CLASSES[::-1])
    train, validation = tiny_examples()
    found = turned.fit(train, validation, context).predict(TEXTS)
    same = Precomputed(file=tmp_path / "a.parquet").fit(train, validation, context).predict(TEXTS)
    np.testing.assert_array_equal(found, same[:, ::-1])


def test_probabilities_have_a_floor(tmp_path: Path, context: CheckContext) -> None:
    write(tmp_path / "a.parquet", np.eye(3)[np.arange(len(TEXTS)) % 3], "probabilities", False)
    teacher = Precomputed(file=tmp_path / "a.parquet", outputs="probabilities", floor=0.01)
    found = teacher.fit(*tiny_examples(), context).predict(TEXTS[:1])
    np.testing.assert_allclose(found, np.log([[1 / 1.02, 0.01 / 1.02, 0.01 / 1.02]]), rtol=1e-6)


def test_missing_texts_are_counted(tmp_path: Path, context: CheckContext) -> None:
    write(tmp_path / "a.jsonl", LOGITS, "logits", True)
    model = Precomputed(file=tmp_path / "a.jsonl").fit(*tiny_examples(), context)
    with pytest.raises(
        harness.HarnessError, match=r"cannot find 2 of 3 texts in .*a\.jsonl, such as 'No one'"
    ):
        model.predict([TEXTS[3], "No one", "Sun"])


def test_repeated_texts_are_said(tmp_path: Path, context: CheckContext) -> None:
    lines = [{"text": text, "logits": [n, 0, 0]} for n, text in enumerate(["a", "b", " a "])]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    model = Precomputed(file=tmp_path / "a.jsonl").fit(*tiny_examples(), context)
    assert model.predict(["a", "b"])[:, 0].tolist() == [0, 1]
    assert "repeats texts in 1 rows" in context.warnings[0]


@pytest.mark.parametrize(
    ("line", "given", "message"),
    [
        ({"words": "a", "logits": [1, 2, 3]}, {}, "has no column 'text'; found: 'words', 'logits'"),
        ({"text": "a", "it's sun": 1.0}, {}, "'it's rain' is missing"),
        (
            {"text": "a", "logits": [1, 2]},
            {},
            "a.jsonl line 1: expected 3 numbers in 'logits', one for each class (it's",
        ),
        ({"text": "a", "logits": [1, 2]}, {}, "got 2; mend or remove the row"),
        ({"text": "a", "logits": [1, 2, None]}, {}, "got nothing; mend or remove the row"),
        ({"text": "a", "logits": [1, 2, float("nan")]}, {}, "got nan; mend or remove the row"),
        ({"text": "a", "logits": None}, {}, "got nothing; mend or remove the row"),
        ({"text": "a", "logits": "[1, 2"}, {}, "got '[1, 2'"),
        ({"text": "a", "logits": {"it's sun": 1}}, {}, "but class 'it's rain' has none"),
        ({"text": "a", "scores": [1, 2, 3]}, {}, "if its numbers are scores, set outputs = 'scores'"),
        (
            {"text": "a", "logits": [1, 2, 3]},
            {"classes": ("x", "y", "z")},
            "cannot find the task's class 'it's sun' in `classes`",
        ),
        (
            {"text": "a", "probabilities": [1, 2, 3]},
            {"outputs": "probabilities"},
            "expected probabilities between 0 and 1",
        ),
        (
            {"text": "a", "probabilities": [0.1, 0.2, -1]},
            {"outputs": "probabilities"},
            "line 1: expected probabilities between 0 and 1, got [0.1, 0.2, -1.0]; if the numbers are logits",
        ),
        ({"text": ["a"], "logits": [1, 2, 3]}, {}, "line 1 has a list or object where a text was expected"),
        ({"text": "a", "logits": ["x", "y", "z"]}, {}, "got 'x'; mend or remove the row"),
        ("{", {}, "a.jsonl line 1 is not JSON"),
        ("", {}, "a.jsonl has no rows"),
        ([1], {}, "a.jsonl line 1 is not a JSON object"),
    ],
)
def test_files_that_make_no_sense(
    line: Any, given: Any, message: str, tmp_path: Path, context: CheckContext
) -> None:
    (tmp_path / "a.jsonl").write_text(line if isinstance(line, str) else json.dumps(line))
    with pytest.raises(harness.HarnessError, match=re.escape(message)):
        Precomputed(file=tmp_path / "a.jsonl", **given).fit(*tiny_examples(), context)


@pytest.mark.parametrize("lines", ["one\n", "".join(f"line {n}\n" for n in range(99))])
def test_matrix_and_texts_must_agree(lines: str, tmp_path: Path, context: CheckContext) -> None:
    write(tmp_path / "a.safetensors", LOGITS, "logits", True)
    (tmp_path / "a.txt").write_text(lines)
    with pytest.raises(harness.HarnessError, match=r"expected 49 lines in a\.txt, one for each row of "):
        Precomputed(file=tmp_path / "a.safetensors").fit(*tiny_examples(), context)


def test_base_follows_the_bytes(tmp_path: Path) -> None:
    teacher = Precomputed(file=tmp_path / "a.jsonl")
    with pytest.raises(harness.HarnessError, match="cannot find the file"):
        teacher.base()
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    assert teacher.base() == hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(ValueError, match=r"ends in \.jsonl"):
        Precomputed(file=Path("a.doc")).check()
    with pytest.raises(harness.HarnessError, match=r"cannot read the file .*: it is a folder"):
        Precomputed(file=tmp_path).base()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '\ufeff{"text": "a", "probabilities": [0.2, 0.3, 0.5]}\n'),
        ("a.jsonl", '{"text": "a", "probabilities": "[0.2, 0.3, 0.5]"}\n'),
        (
            "a.jsonl",
            """{"text": "a", "probabilities": {"it's rain": 0.3, "it's sun": 0.2, "it's wind": 0.5}}""",
        ),
        (
            "a.jsonl",
            '{"text": "a", "probabilities": [20, 30, 50]}\n{"text": "b", "probabilities": [0, 0, 99.5]}',
        ),
        ("a.json", '[\n {"text": "a", "probabilities": ["0.2", "30%", 0.5]}]'),
        (
            "a.jsonl",
            '{"text": null, "probabilities": null}\n{"text": "a", "probabilities": [0.2, 0.3, 0.5]}\n',
        ),
        ("a.csv", "text,it's sun,it's wind,it's rain\na,0.2,0.5,0.3\n"),
        ("a.csv", "text;it's sun;it's wind;it's rain\na;20%;50%;30%\n"),
        ("a.tsv", "probabilities\ttext\n[0.2, 0.3, 0.5]\ta\n"),
    ],
)
def test_outputs_as_people_have_them(name: str, content: str, tmp_path: Path, context: CheckContext) -> None:
    (tmp_path / name).write_text(content)
    teacher = Precomputed(file=tmp_path / name, outputs="probabilities", classes=())
    order = ("it's sun", "it's rain", "it's wind")
    examples = harness.Examples(("a",), order)
    found = teacher.fit(examples, examples, context).predict(["a"])
    np.testing.assert_allclose(np.exp(found), [[0.2, 0.3, 0.5]], rtol=1e-5)
    said = " ".join(context.warnings)
    assert ("percentages; they were divided by 100" in said) == ("99.5" in content)
    assert ("rows without a text, which were skipped: 1" in said) == ("null" in content)


def test_sums_that_rounding_does_not_explain_are_told(tmp_path: Path, context: CheckContext) -> None:
    lines = [{"text": text, "probabilities": [0.2, 0.3, last]} for text, last in (("a", 0.5), ("b", 0.9))]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Precomputed(file=tmp_path / "a.jsonl", outputs="probabilities").fit(*tiny_examples(), context)
    assert "1 rows of probabilities that do not sum to 1" in context.warnings[0]


# -- checkpoints and presets --------------------------------------------------------------------------


def test_checkpoint_is_used_as_it_is(bert: Path, context: CheckContext, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    train, validation = tiny_examples()  # classes: sun, rain, wind
    model = Checkpoint(model=str(bert)).fit(train, validation, context)
    text = "the sun is here"
    ids = AutoTokenizer.from_pretrained(bert)(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        wind, sun, rain = AutoModelForSequenceClassification.from_pretrained(bert)(ids).logits[0].tolist()
    np.testing.assert_allclose(model.predict([text]), [[sun, rain, wind]], rtol=1e-4, atol=1e-5)


def test_checkpoint_exports_and_loads(bert: Path, context: CheckContext, tmp_path: Path) -> None:
    from harness.exports.onnx import OnnxModel

    teacher = Checkpoint(model=str(bert))
    train, validation = Classification().tiny_of(2)  # of its three labels the task lacks one
    model = teacher.fit(train, validation, context)
    (saved := tmp_path / "saved").mkdir()
    model.save(saved)
    loaded = teacher.load(saved, context)
    expected = model.predict(validation.texts)
    assert expected.shape == (len(validation), 2)
    np.testing.assert_array_equal(loaded.predict(validation.texts), expected)
    assert loaded.parameters() == model.parameters()
    (exported := tmp_path / "exported").mkdir()
    loaded.export(exported)
    np.testing.assert_allclose(OnnxModel(exported).predict(validation.texts), expected, rtol=1e-3, atol=1e-4)


def test_labels_that_are_not_the_classes(bert: Path, context: CheckContext) -> None:
    train, validation = Classification().tiny_of(4)
    with pytest.raises(
        harness.HarnessError, match=r"cannot find class 'it's snow' among the labels of model .*: IT'S WIND"
    ):
        Checkpoint(model=str(bert)).fit(train, validation, context)


def test_what_was_not_fine_tuned_is_no_checkpoint(bert: Path, context: CheckContext, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    config = json.loads((bert / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    with pytest.raises(
        harness.HarnessError, match=r"expected a fine-tuned classifier as model .*, got a BertModel"
    ):
        Checkpoint(model=str(tmp_path)).fit(*tiny_examples(), context)


PRESETS = [
    *(preset for preset in vars(presets).values() if getattr(preset, "__module__", "") == presets.__name__),
    *(T5Small, T5Base),
]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_are_pinned(preset: Any, installed: catalog.Catalog) -> None:
    built: Any = installed.build("teacher", {"use": preset.name})
    assert re.fullmatch(r"[0-9a-f]{40}", built.revision)
    assert built.model.rpartition("/")[2] == preset.name
    assert len(PRESETS) == 12


def test_a_preset_is_a_transformer_of_another_folder(bert: Path, context: CheckContext) -> None:
    teacher = presets.BertBaseUncased(model=str(bert), revision="main", epochs=1)
    train, validation = tiny_examples()
    assert teacher.fit(train, validation, context).predict(validation.texts).shape == (len(validation), 3)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("bert", "mean"), ("roberta", "head"), ("xlm-roberta", "cls"), ("deberta-v2", "head")],
)
def test_architectures(kind: str, pooling: Any, tmp_path: Path, installed: catalog.Catalog) -> None:
    """Beside the architectures and poolings that the conformance of all components is checked with."""
    folder = tiny_model(tmp_path, kind, head=kind == "bert")
    check_component(Transformer(model=str(folder), epochs=1, batch_size=16, pooling=pooling), installed)


def test_checkpoint_conformance(bert: Path, installed: catalog.Catalog) -> None:
    check_component(Checkpoint(model=str(bert)), installed)


def test_weights_that_the_hub_has_pickled_only(
    bert: Path, tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / commit
    shutil.copytree(bert, snapshot)
    torch.save(load_file(snapshot / "model.safetensors"), snapshot / "pytorch_model.bin")
    (snapshot / "model.safetensors").unlink()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    teacher = Checkpoint(model="some/model", revision=commit)
    assert teacher.base() == commit
    train, validation = tiny_examples()
    found = teacher.fit(train, validation, context).predict(validation.texts)
    expected = Checkpoint(model=str(bert)).fit(train, validation, context).predict(validation.texts)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(harness.Unavailable, match="not in the hub's cache"):
        presets.RobertaBase().base()
