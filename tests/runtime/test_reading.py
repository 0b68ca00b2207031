"""What cannot be an export is refused in one line that names the file, and nothing is read without end."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import HarnessError
from harness.exports.onnx import export_module
from harness.featurise.featuriser import FILE, Words
from harness.runtime.answerer import Answerer
from harness.runtime.chain import FILE as TRANSITIONS
from harness.runtime.forms import AVERAGED, FORMS, GRAPH, INT8, LABELS, MANIFEST, load
from harness.runtime.reading import DIGESTS, digests
from harness.runtime.streaming import answers
from harness_students.modules import AveragedWords, Convolutions

OWN = ("onnx", "onnx-int8", "numpy")  # the forms of averaged words
WORDS = Words([f"word{i}" for i in range(20)], 8)
CLASSES = ["bad", "fair", "good"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that has the graph, its int8 form and the table for NumPy."""
    from harness.exports.quantise import quantise

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sound")
    export_module(AveragedWords(WORDS.size, 4, 5, 3, 0.0, 1.0), WORDS, CLASSES, folder)
    quantise(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "export")
    return tmp_path / "export"


def refused(folder: Path, form: str = "auto") -> str:
    """Return the message, which is one line and names the folder."""
    with pytest.raises(HarnessError) as caught:
        load(folder, form)
    told = str(caught.value)
    assert "\n" not in told and str(folder) in told
    return told


RAW = [
    b"",
    b"{",
    b"[1, 2",
    b"NaN",
    b"[" * 100_000,
    b"9" * 5_000,
    b"\xff\xfe{}",
    b"\x00" * 64,
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
@pytest.mark.parametrize("name", [MANIFEST, LABELS, FILE, GRAPH, INT8, AVERAGED])
def test_what_is_no_such_file_is_refused(name: str, raw: bytes, folder: Path) -> None:
    (folder / name).write_bytes(raw)
    form = next((form for form, file in FORMS.items() if file == name), "auto")
    told = refused(folder, form)
    assert name in told
    assert ("git lfs pull" in told) == raw.startswith(b"version")


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (fifo, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to(path.name), "symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: None, "No such file"),
    ],
)
@pytest.mark.parametrize("name", [MANIFEST, LABELS, FILE, GRAPH])
def test_special_files_are_refused(name: str, make: Callable[[Path], None], why: str, folder: Path) -> None:
    (folder / name).unlink()
    make(folder / name)
    form = "onnx" if name == GRAPH else "auto"
    told = refused(folder, form)
    assert name in told or "has no form 'onnx'" in told
    assert why in told or "has no form" in told


def test_a_special_file_beside_them_is_refused(folder: Path) -> None:
    fifo(folder / "weights.bin")  # a graph may name it
    assert "weights.bin is not a regular file" in refused(folder)


def test_a_file_or_nothing_is_no_folder(folder: Path) -> None:
    assert "it is a file; name the folder of an export" in refused(folder / GRAPH)
    assert "No such file" in refused(folder / "other")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "its format is 2, but this version of harness reads up to 1; upgrade harness"),
        ({"format": "1"}, "expected a whole number as 'format', got '1'"),
        ({"format": True}, "expected a whole number"),
        ({"format": 0}, "expected a whole number"),
        ({"task_type": "classification"}, "'task_type' is not an object"),
        ({"task_type": {"name": ["x"]}}, "'task_type' has no name"),
        ({"task_type": {"name": "classification", "options": []}}, "its options are not an object"),
        ({"task_type": {"name": "classification", "options": {"new": 1}}}, "the options of 'classification'"),
        ({"task_type": {"name": "regression"}}, "a model for regression has one output"),
        ({"task_type": {"name": "tagging"}}, "featuriser.json marks nothing"),
        ({"rejected": []}, "'rejected' is not an object"),
        ({"featuriser": 3}, "'featuriser' is not text"),
    ],
)
def test_a_manifest_is_checked(change: dict[str, Any], why: str, folder: Path) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**found, **change}))
    assert why in refused(folder)


@pytest.mark.parametrize(
    "options", [{"chosen": [0.5]}, {"chosen": ["a"] * 3}, {"chosen": 3}, {"threshold": 7}]
)
def test_thresholds_are_those_of_the_labels(options: dict[str, Any], folder: Path) -> None:
    module = "harness_multilabel.task_type"
    found = {"format": 1, "task_type": {"name": "multi-label", "module": module, "options": options}}
    (folder / MANIFEST).write_text(json.dumps(found))
    assert "threshold" in refused(folder)


@pytest.mark.parametrize("form", OWN)
@pytest.mark.parametrize(
    "labels",
    [{"a": 1}, ["a"], ["a", "b", "c", "d"], [1, 2, 3], ["a", "b", None], ["a", "b", "a"], [], "abc", None],
)
def test_labels_are_those_of_the_model(labels: Any, form: str, folder: Path) -> None:
    (folder / LABELS).write_text(json.dumps(labels))
    assert LABELS in refused(folder, form)


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary": "abc"},
        {"vocabulary": None},
        {"vocabulary": ["a", 1]},
        {"vocabulary": ["a", "a"]},
        {"vocabulary": [f"w{i}" for i in range(21)]},
        {"longest": 0},
        {"longest": -1},
        {"longest": 1.5},
        {"longest": "8"},
        {"longest": True},
        {"longest": None},
        {"type": None},
        {"type": ["words"]},
        {"type": "subwords"},
        {"type": "word-subwords", "tokenizer": "{}", "padding": 0},
        {"type": "subwords", "tokenizer": 5, "padding": 0},
    ],
)
@pytest.mark.parametrize("form", ["onnx", "numpy"])
def test_a_featuriser_is_checked(change: dict[str, Any], form: str, folder: Path) -> None:
    state = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**state, **change}))
    refused(folder, form)


def test_a_featuriser_lacks_nothing(folder: Path) -> None:
    (folder / FILE).write_text('{"type": "words"}')
    assert "it has no 'longest'" in refused(folder)
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json: No such file" in refused(folder)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ([], "expected words with the numbers 0, 1, 2"),
        ({"vocab": ["sun"]}, "expected words with the numbers 0, 1, 2"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 1, "sun": 3}}, "expected words with the numbers 0, 1, 2"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 1, "sun": "2"}}, "expected whole numbers as ids"),
    ],
)
def test_the_vocabulary_in_a_tokenizer_is_checked(model: Any, why: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    assert why in refused(folder)


def test_a_panic_of_the_tokenizer_is_an_error(folder: Path) -> None:
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.post_processor = processors.TemplateProcessing(single="[UNK] $A", special_tokens=[("[UNK]", 0)])
    state = json.loads(tokenizer.to_str())
    state["post_processor"]["single"][0]["SpecialToken"]["id"] = "missing"
    found = {"type": "subwords", "tokenizer": json.dumps(state), "longest": 8, "padding": 0}
    (folder / FILE).write_text(json.dumps(found))
    assert "cannot read featuriser.json" in refused(folder)


def saved(folder: Path, **change: Any) -> None:
    """Write the arrays with some of them changed, or left out if None."""
    with np.load(folder / AVERAGED) as arrays:
        found = {**{name: arrays[name] for name in arrays.files}, **change}
    np.savez(folder / AVERAGED, **{name: array for name, array in found.items() if array is not None})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"table": np.zeros((3, 4), np.float32)},
            "has a table of 3 rows, but the vocabulary in featuriser.json",
        ),
        ({"table": np.zeros(22, np.float32)}, "expected a table"),
        ({"table": np.zeros((22, 4), np.int64)}, "not floats"),
        ({"table": np.full((22, 4), np.nan, np.float32)}, "'table' has numbers that are NaN or infinite"),
        ({"bias_0": np.full(4, np.inf, np.float32)}, "'bias_0' has numbers that are NaN or infinite"),
        ({"bias_0": np.zeros(7, np.float32)}, "do not fit together"),
        (
            {"bias_1": np.zeros(2, np.float32), "weight_1": np.zeros((5, 2), np.float32)},
            "has 2 outputs, but labels",
        ),
        ({"bias_0": None, "bias_1": None}, "expected a table and dense layers"),
        ({"more": np.zeros(2, np.float32)}, "expected a table and dense layers"),
        ({"table": np.array([{"a": 1}], dtype=object)}, "not floats"),
    ],
)
def test_arrays_are_those_of_the_model(change: dict[str, Any], why: str, folder: Path) -> None:
    saved(folder, **change)
    assert why in refused(folder)


def archive(folder: Path, name: str, data: bytes, how: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(folder / AVERAGED, "w", how) as file:
        file.writestr(name, data)


def header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return out.getvalue()


def test_a_small_file_does_not_unpack_to_gigabytes(folder: Path) -> None:
    archive(folder, "table.npy", header((22, 500_000)) + bytes(22 * 500_000 * 4))
    assert (folder / AVERAGED).stat().st_size < 100_000
    assert "averaged.npz would unpack to 44.0 MB, far more than its own size" in refused(folder)


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (-1, 4), (22, 5)])
def test_no_more_is_made_than_there_is(shape: tuple[int, ...], folder: Path) -> None:
    archive(folder, "table.npy", header(shape) + bytes(22 * 4 * 4))
    assert "averaged.npz is damaged" in refused(folder)


def test_a_crf_has_the_tags_of_its_labels(folder: Path) -> None:
    for state in (
        {"transitions": [[0, 0]], "start": [0], "end": [0]},
        {"start": [0]},
        {"transitions": 0},
        [],
    ):
        (folder / TRANSITIONS).write_text(json.dumps(state))
        assert TRANSITIONS in refused(folder, "onnx")
    sound = {"transitions": [[0.0, 0.0]] * 2, "start": [0.0] * 2, "end": [0.0] * 2}
    (folder / TRANSITIONS).write_text(json.dumps(sound))
    assert "transitions.json has 2 tags, but labels.json has 3" in refused(folder, "onnx")


def test_a_graph_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    def write(given: Sequence[Any], out: str, kind: int = TensorProto.FLOAT) -> None:
        nodes = [helper.make_node("Cast", [given[0]], [out], to=kind)]
        ends = [helper.make_tensor_value_info(*given)], [helper.make_tensor_value_info(out, kind, ["b", "l"])]
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(helper.make_graph(nodes, "g", *ends), opset_imports=opset, ir_version=8)
        (folder / GRAPH).write_bytes(model.SerializeToString())

    write(("words", TensorProto.INT64, ["b", "l"]), "logits")
    assert "has the inputs" in refused(folder, "onnx")
    write(("input_ids", TensorProto.INT64, ["b"]), "logits")
    assert "has the inputs" in refused(folder, "onnx")
    write(("input_ids", TensorProto.INT64, ["b", "l"]), "answer")
    assert "has no output 'logits'" in refused(folder, "onnx")
    write(("input_ids", TensorProto.INT64, ["b", "l"]), "logits", TensorProto.INT64)
    assert "has no output 'logits' of the type float" in refused(folder, "onnx")
    write(("input_ids", TensorProto.INT64, ["b", "l"]), "logits")
    assert "returns outputs of shape" in refused(folder, "onnx")


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    export_module(Convolutions(WORDS.size, 4, 5, (1, 2), 3, 0.0, 1.0), WORDS, CLASSES, tmp_path)
    Words([*WORDS.vocabulary, "one more"], 8).save(tmp_path)
    assert "whose vocabulary has 23; the files may be from different exports" in refused(tmp_path, "onnx")
    assert "convolved.npz has a table of 22 rows" in refused(tmp_path)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    module = Convolutions(WORDS.size, 4, 5, (1, 2), 3, 0.0, 1.0)
    with torch.no_grad():
        next(module.parameters())[5:] = torch.nan
    export_module(module, WORDS, CLASSES, tmp_path)
    assert "model.onnx returns numbers that are NaN or infinite" in refused(tmp_path)


def sealed(folder: Path) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    names = [GRAPH, INT8, AVERAGED, FILE]
    (folder / MANIFEST).write_text(json.dumps({**found, DIGESTS: digests(folder, names)}))


@pytest.mark.parametrize("form", OWN)
def test_files_are_the_exported_ones(form: str, folder: Path) -> None:
    sealed(folder)
    load(folder, form)
    data = bytearray((folder / FORMS[form]).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / FORMS[form]).write_bytes(data)
    assert f"{FORMS[form]} is damaged, or from another export" in refused(folder, form)


def test_labels_may_be_renamed(folder: Path) -> None:
    sealed(folder)
    (folder / LABELS).write_text('["mau", "assim", "bom"]')
    assert load(folder).label("word1") in ("mau", "assim", "bom")


@pytest.mark.parametrize("form", OWN)
def test_flipped_bits_give_answers_or_one_line(form: str, folder: Path) -> None:
    """An older export has no digests: a flipped bit may change an answer, but nothing else happens."""
    generator = random.Random(0)
    file = folder / FORMS[form]
    sound = file.read_bytes()
    for _ in range(25):
        data = bytearray(sound)
        for _ in range(generator.choice([1, 1, 4, 50])):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        file.write_bytes(data)
        try:
            model = load(folder, form)
        except HarnessError as error:
            assert "\n" not in str(error)
            continue
        found = list(answers(Answerer(model), io.BytesIO(b"word1 word2\n\nzzz\n")))
        assert len(found) == 3
        json.dumps(found, allow_nan=False)
