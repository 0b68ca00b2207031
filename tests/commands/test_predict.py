"""What `harness predict` prints: nothing that a terminal obeys, and nothing that two meanings share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from harness.cli import main
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.forms import LABELS, MANIFEST
from harness_students.modules import AveragedWords

ODD = ["\x1b[31mred", "tab\there", "line\nend\\", "\u202eright\x9b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export with logits of 2 for the word of a class, and of -2 for the others."""
    words = Words(["sun", "rain", "wind", "snow"], 8)
    module = AveragedWords(words.size, 4, 0, 4, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.cat([torch.full((2, 4), -2.0), 4 * torch.eye(4) - 2]))
        module.output.weight.copy_(torch.eye(4))
        module.output.bias.zero_()
    export_module(module, words, ODD, tmp_path)
    return tmp_path


def predict(folder: Path, *arguments: str, given: str | bytes = "sun\nrain\nwind\nsnow\n") -> Result:
    return CliRunner().invoke(main, ["predict", str(folder), *arguments], input=given)


def inert(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


def test_labels_do_not_reach_the_terminal_raw(folder: Path) -> None:
    done = predict(folder, "--format", "tsv")
    assert done.exit_code == 0 and inert(done.stdout)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [r"\x1b[31mred", r"tab\there", r"line\nend\\", r"\u202eright\x9b"]
    assert all(len(row) == 2 for row in rows)
    done = predict(folder)
    assert inert(done.stdout) and [json.loads(line)["label"] for line in done.stdout.splitlines()] == ODD


def test_a_line_without_an_answer_is_told_from_one_without_labels(folder: Path) -> None:
    task_type = {"name": "multi-label", "module": "harness_multilabel.task_type", "options": {}}
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "task_type": task_type}))
    (folder / LABELS).write_text('["a", "b", "c", "d"]')
    given = '{"text": "sun"}\n{"text": "none of them"}\n{"text": 3}\n{"text": "rain"}\n'
    done = predict(folder, "--text", "text", "--format", "tsv", given=given)
    assert done.exit_code == 1 and done.stdout == "a\n\n\\N\nb\n"
    assert done.stderr == "warning: line 3: expected text in 'text', got a number\n"
    done = predict(folder, "--text", "text", "--format", "tsv", "--top", "2", given=given)
    assert done.stdout.splitlines()[0] == "a\t0.880797\tb\t0.119203"
    assert [line.count("\t") for line in done.stdout.splitlines()] == [3, 3, 0, 3]


@pytest.mark.parametrize("options", [[], ["--int8"], ["--format", "tsv"]])
def test_a_bad_export_is_one_line(options: list[str], folder: Path) -> None:
    (folder / LABELS).write_text('{"a": 1}')
    done = predict(folder, *options)
    assert done.exit_code == 2 and not done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


def test_a_read_only_folder_is_enough(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert predict(folder).exit_code == 0
    finally:
        folder.chmod(0o755)


def test_a_number_is_the_answer_of_a_regression(tmp_path: Path) -> None:
    from harness.api import Unsupported
    from harness.runtime import load

    words = Words(["sun"], 8)
    module = AveragedWords(words.size, 1, 0, 1, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor([[0.0], [0.0], [2.0]]))
        module.output.weight.fill_(1)
        module.output.bias.fill_(0.5)
    export_module(module, words, ["score"], tmp_path)
    for form in ("numpy", "onnx"):
        model: Any = load(tmp_path, form)
        assert (model.answer("sun"), model.answer("rain")) == (2.5, 0.5)
        with pytest.raises(Unsupported, match=r"this model is for regression; call answer\(text\)"):
            model.label("sun")
