"""Other programs give the same labels to 700 short texts as ``harness predict``.

Optimum and transformers.js are no requirements of the harness. ``OPTIMUM_PYTHON`` names a Python that has
``optimum-onnx``, and ``NODE_PATH`` a folder that has ``@huggingface/transformers``; without them, their
tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from shipped import ship
from text_samples import TEXTS, WORDS

from harness.api import Examples
from harness.cli import main
from harness.exports.beside import save_beside
from harness.featurise.featuriser import Words
from harness.task_types.classification import Classification
from harness.testing.tiny import CheckContext, FromLabels
from harness_students.convolutional import Cnn
from harness_students.words import Mlp
from harness_tasks.emotion import Emotion
from harness_transformers import wordpiece
from harness_transformers.transformer import Transformer

COUNT, MOST = 700, 700 // 200  # texts, and labels that may differ with weights of 8 bits
CLASS = Classification()
GRAPHS = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}
MODELS = ("transformer", "mlp", "cnn")

# Each program reads {"folder", "graph", "texts"} from its standard input, and prints a list of labels.
BARE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in ("harness", "torch", "transformers"), name
sys.meta_path.insert(0, Blocked())
import json
import numpy as np
import onnxruntime
from tokenizers import Tokenizer
asked = json.load(sys.stdin)
folder = asked["folder"]
with open(folder + "/labels.json", encoding="utf-8") as file:
    labels = json.load(file)
tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
session = onnxruntime.InferenceSession(folder + "/onnx/" + asked["graph"])
names = [one.name for one in session.get_inputs()]
found = []
for text in asked["texts"]:
    encoded = tokenizer.encode(text)
    given = {"input_ids": np.array([encoded.ids]), "attention_mask": np.array([encoded.attention_mask])}
    (logits,) = session.run(["logits"], {name: given[name] for name in names})
    found.append(labels[int(logits[0].argmax())])
print(json.dumps(found))
"""
OPTIMUM = """
import json, sys
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer, pipeline
asked = json.load(sys.stdin)
folder = asked["folder"]
model = ORTModelForSequenceClassification.from_pretrained(folder, subfolder="onnx", file_name=asked["graph"])
ask = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
print(json.dumps([one["label"] for one in ask(asked["texts"], truncation=True)]))
"""
NODE = """
const { pipeline, env, AutoTokenizer } = require('@huggingface/transformers');
const ort = require('onnxruntime-node');
const { readFileSync } = require('fs');
const { basename, dirname } = require('path');
const asked = JSON.parse(readFileSync(0, 'utf-8'));
env.allowRemoteModels = false;
env.localModelPath = dirname(asked.folder);
const folder = basename(asked.folder);
async function labels() {
  if (asked.pipeline) {
    const dtype = asked.graph === 'model.onnx' ? 'fp32' : 'q8';
    const ask = await pipeline('text-classification', folder, { dtype });
    const found = [];
    for (const text of asked.texts) found.push((await ask(text))[0].label);
    return found;
  }
  const tokenizer = await AutoTokenizer.from_pretrained(folder);
  if (!asked.graph) return asked.texts.map(text => tokenizer.encode(text));
  const names = JSON.parse(readFileSync(asked.folder + '/labels.json', 'utf-8'));
  const session = await ort.InferenceSession.create(asked.folder + '/onnx/' + asked.graph);
  const found = [];
  for (const text of asked.texts) {
    const { input_ids } = await tokenizer(text, { truncation: true });
    const ids = new ort.Tensor('int64', input_ids.data, input_ids.dims);
    const { logits } = await session.run({ input_ids: ids });
    found.push(names[logits.data.indexOf(Math.max(...logits.data))]);
  }
  return found;
}
labels().then(found => console.log(JSON.stringify(found)));
"""


def told(command: Sequence[str], **asked: Any) -> Any:
    """Return what a program prints, given `asked` as JSON."""
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def node(*arguments: str) -> list[str]:
    """Return the command that runs a program in Node; skip the test without transformers.js."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    found = subprocess.run(["node", "-e", "require('@huggingface/transformers')"], capture_output=True)
    if found.returncode:
        pytest.skip("Node does not find @huggingface/transformers; set NODE_PATH to a folder that has it")
    return ["node", "-e", NODE, *arguments]


def optimum() -> list[str]:
    """Return the command that runs a program with Optimum; skip the test without it."""
    python = os.environ.get("OPTIMUM_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import optimum.onnxruntime"], capture_output=True).returncode:
        pytest.skip("there is no optimum-onnx; set OPTIMUM_PYTHON to a Python that has it")
    return [python, "-c", OPTIMUM]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    test = Emotion().sample(np.random.default_rng(1))["test"]
    found = [text for text in test["text"].to_pylist() if text.strip()]
    assert len(found) >= COUNT
    return found[:COUNT]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of small models that have learned the emotions of generated texts, by name."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    home = tmp_path_factory.mktemp("clients")
    tables = Emotion().sample(np.random.default_rng(0))
    train, validation = (
        Examples(
            tables[split]["text"].to_pylist(),
            Emotion.class_names,
            np.array([Emotion.class_names.index(label) for label in tables[split]["label"].to_pylist()]),
            task_type=CLASS,
        )
        for split in ("train", "validation")
    )
    tokenizer = wordpiece.train(train.texts, 800)
    names = dict(
        zip(
            ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), wordpiece.SPECIAL, strict=True
        )
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(home / "bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"hidden_dropout_prob": 0.0, "initializer_range": 0.1}  # it learns in a few epochs
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, **sizes)
    BertModel(config).save_pretrained(home / "bert")
    teacher = Transformer(model=str(home / "bert"), longest=48, epochs=12, learning_rate=3e-3)
    students = {
        "mlp": Mlp(vocabulary=500, min_examples=10_000),
        "cnn": Cnn(vocabulary=500, min_examples=5_000),
    }
    found = {}
    for name in MODELS:
        (folder := home / name).mkdir()
        context = CheckContext(folder)
        if name == "transformer":
            model: Any = teacher.fit(train, validation, context)
        else:
            model = students[name].fit(train, validation, FromLabels(), context)
        found[name] = ship(model, folder, CLASS)
    return found


@pytest.fixture(scope="module")
def predicted(exports: dict[str, Path], texts: list[str]) -> dict[tuple[str, str], list[str]]:
    """The labels of ``harness predict``, by model and kind of weights."""
    found = {}
    for name, folder in exports.items():
        for kind, options in (("fp32", []), ("int8", ["--int8"])):
            done = CliRunner().invoke(main, ["predict", str(folder), *options], input="\n".join(texts))
            assert done.exit_code == 0, done.output
            found[name, kind] = [json.loads(line)["label"] for line in done.stdout.splitlines()]
            assert len(set(found[name, kind])) > 1  # it has learned something
    return found


def check(found: list[str], expected: list[str], kind: str) -> None:
    assert len(found) == len(expected) == COUNT
    differing = sum(a != b for a, b in zip(found, expected, strict=True))
    assert differing <= (MOST if kind == "int8" else 0)


def test_transformers_gives_the_same_labels(
    exports: dict[str, Path], texts: list[str], predicted: dict[tuple[str, str], list[str]]
) -> None:
    from transformers import pipeline

    ask = pipeline("text-classification", str(exports["transformer"]))
    found = [one["label"] for one in ask(texts, truncation=True, batch_size=32)]
    check(found, predicted["transformer", "fp32"], "fp32")


@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_alone_gives_the_same_labels(
    name: str,
    kind: str,
    exports: dict[str, Path],
    texts: list[str],
    predicted: dict[tuple[str, str], list[str]],
) -> None:
    found = told([sys.executable, "-c", BARE], folder=str(exports[name]), graph=GRAPHS[kind], texts=texts)
    check(found, predicted[name, kind], kind)


@pytest.mark.parametrize("kind", GRAPHS)
def test_optimum_gives_the_same_labels(
    kind: str, exports: dict[str, Path], texts: list[str], predicted: dict[tuple[str, str], list[str]]
) -> None:
    found = told(optimum(), folder=str(exports["transformer"]), graph=GRAPHS[kind], texts=texts)
    check(found, predicted["transformer", kind], kind)


@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("name", MODELS)
def test_transformers_js_gives_the_same_labels(
    name: str,
    kind: str,
    exports: dict[str, Path],
    texts: list[str],
    predicted: dict[tuple[str, str], list[str]],
) -> None:
    asked = {"folder": str(exports[name]), "graph": GRAPHS[kind], "texts": texts}
    found = told(node(), **asked, pipeline=name == "transformer")
    check(found, predicted[name, kind], kind)


def test_transformers_js_splits_words_alike(tmp_path: Path) -> None:
    program = node()
    save_beside(own := Words(WORDS, 500), ["x"], tmp_path)
    texts = [text for text in TEXTS if text]
    found = told(program, folder=str(tmp_path), texts=texts)
    differing = [text for text, a, b in zip(texts, found, own.encode(texts), strict=True) if a != b]
    assert not differing
