"""The form for OpenVINO: its archive, what is said without it, and equal answers alone or together."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api import HarnessError, Unsupported
from harness.exports import vino as quantising
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.forms import VINO, load, open_form
from harness.runtime.vino import PARTS, installed, parts_of
from harness_students.convolutional import Cnn

WORDS = Words([f"word{number}" for number in range(998)], 64)
CLASSES = ["a", "b", "c"]
TEXTS = [" ".join(f"word{(7 * text * place) % 900}" for place in range(1 + text % 30)) for text in range(60)]


def archive(folder: Path, names: tuple[str, ...] = PARTS, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / VINO, "w", kind) as made:
        for name in names:
            made.writestr(name, name * 20)
    return folder / VINO


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("cnn")
    export_module(Cnn().module(WORDS.size, len(CLASSES)), WORDS, CLASSES, made)
    return made


def test_an_archive_has_two_stored_files(tmp_path: Path) -> None:
    assert parts_of(tmp_path, archive(tmp_path)) == (b"model.xml" * 20, b"model.bin" * 20)
    with pytest.raises(HarnessError, match=r"has model\.xml; expected model\.xml and model\.bin"):
        parts_of(tmp_path, archive(tmp_path, PARTS[:1]))
    with pytest.raises(HarnessError, match=r"expected model\.xml and model\.bin"):
        parts_of(tmp_path, archive(tmp_path, kind=zipfile.ZIP_DEFLATED))
    (tmp_path / VINO).write_bytes(b"no archive")
    with pytest.raises(HarnessError, match=r"model\.openvino\.zip is damaged"):
        parts_of(tmp_path, tmp_path / VINO)


def test_without_openvino_the_error_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(folder)
    manifest = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**manifest, "order": ["openvino-int8", "onnx"]}))
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("harness.runtime.forms.installed", lambda: False)
    with pytest.raises(HarnessError, match=r"cannot run the form 'openvino-int8'.*harness\[openvino\]"):
        load(folder, "openvino-int8")
    assert load(folder).form == "onnx"  # the best one of those that can run
    (folder / "export.json").write_text(json.dumps(manifest))


def test_it_is_for_cpus(folder: Path) -> None:
    archive(folder)
    with pytest.raises(Unsupported, match="cannot run the form 'openvino-int8' on a GPU: it is for CPUs"):
        open_form(folder, "openvino-int8", device="cuda")


def test_texts_are_answered_alike_alone_and_together(folder: Path) -> None:
    if not (installed() and quantising.possible(WORDS)):
        pytest.skip("needs the extra openvino")
    quantising.quantise(folder, WORDS, TEXTS[:40])
    model, exact = load(folder, "openvino-int8"), load(folder, "onnx")
    expected, together = exact.predict(TEXTS), model.predict(TEXTS)
    alone = np.concatenate([model.predict([text]) for text in TEXTS])
    spread = float(expected.std())
    assert np.abs(together - expected).max() < 0.3 * spread
    assert np.abs(together - alone).max() < 0.02 * spread
    assert model.label(TEXTS[3]) == CLASSES[int(together[3].argmax())]


def test_a_graph_that_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    if not (installed() and quantising.possible(WORDS)):
        pytest.skip("needs the extra openvino")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(Unsupported, match="cannot quantise the graph for OpenVINO: ") as caught:
        quantising.quantise(tmp_path, WORDS, TEXTS)
    assert "\n" not in str(caught.value) and not (tmp_path / VINO).exists()
