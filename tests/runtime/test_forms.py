"""An export runs from its folder alone: without torch, without what else it was made with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api import HarnessError, Unsupported
from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.featurise.featuriser import FILE, Words
from harness.runtime.forms import AVERAGED, GRAPH, INT8, LABELS, MANIFEST, load, open_form
from harness.task_types.classification import Classification
from harness_students.modules import AveragedWords, Convolutions
from harness_students.ngrams import HashedNgrams

WORDS = Words(["sun", "rain", "wind"], 8)
CLASSES = ["bad", "good"]
TEXTS = ["sun", "rain and wind", "", "sun sun rain"]

HEAVY = ("torch", "transformers", "pandas", "pydantic", "datasets", "pyarrow", "onnx", "sklearn", "rich")


@pytest.fixture
def averaged(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "averaged"
    folder.mkdir()
    export_module(AveragedWords(WORDS.size, 4, 0, 2, 0.0, 1.0), WORDS, CLASSES, folder)
    quantise(folder)
    return folder


@pytest.fixture
def hashed(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    ngrams = HashedNgrams(50, 2, 3, 4, 8)
    folder = tmp_path / "hashed"
    folder.mkdir()
    export_module(AveragedWords(ngrams.size, 4, 0, 2, 0.0, 1.0), ngrams, CLASSES, folder)
    return folder


def test_the_quickest_form_is_taken(averaged: Path, tmp_path: Path) -> None:
    assert load(averaged).form == "numpy"
    (tmp_path / "cnn").mkdir()
    export_module(Convolutions(WORDS.size, 4, 5, (1, 2), 2, 0.0, 1.0), WORDS, CLASSES, tmp_path / "cnn")
    assert load(tmp_path / "cnn").form == "numpy-convolved"
    with pytest.raises(HarnessError, match="has no form 'onnx-int8': it has: onnx, numpy-convolved"):
        load(tmp_path / "cnn", "onnx-int8")


def test_forms_answer_alike(averaged: Path) -> None:
    models = [load(averaged, form) for form in ("onnx", "onnx-int8", "numpy")]
    assert [model.form for model in models] == ["onnx", "onnx-int8", "numpy"]
    right = models[0].predict(TEXTS)
    for model in models:
        close = 0.05 if model.form == "onnx-int8" else 1e-5
        np.testing.assert_allclose(model.predict(TEXTS), right, atol=close)
        assert [model.label(text) for text in TEXTS] == [CLASSES[row.argmax()] for row in right]


@pytest.mark.parametrize("form", ["auto", "onnx", "onnx-int8"])
@pytest.mark.parametrize("which", ["averaged", "hashed"])
def test_nothing_heavy_is_loaded(form: str, which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    if form == "onnx-int8":
        quantise(folder)
    flags = ["--int8"] if form == "onnx-int8" else []
    code = (
        "import sys\n"
        f"sys.argv = ['harness', 'predict', {str(folder)!r}, *{flags}]\n"
        + (
            "from harness.cli import main\n"
            if form != "onnx"
            else "from pathlib import Path\nfrom harness.runtime.forms import load\n"
            "main = lambda: print(load(Path(sys.argv[2]), 'onnx').label('sun'))\n"
        )
        + "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"sys.exit(', '.join(sorted(set({HEAVY}) & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], input="sun\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("bad" in done.stdout) != ("good" in done.stdout)


def test_a_plugins_featuriser_is_found(hashed: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.runtime.forms import load\n"
        "assert 'harness_students.ngrams' not in sys.modules\n"
        "print(load(Path(sys.argv[1])).predict(['sun today'])[0].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(hashed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), load(hashed).predict(["sun today"])[0], rtol=1e-6)


def test_a_file_does_not_choose_what_code_is_run(hashed: Path) -> None:
    (hashed / FILE).write_text('{"type": "unheard-of"}')
    for module in ("antigravity", "os", "", "os.path"):
        (hashed / MANIFEST).write_text(json.dumps({"format": 1, "featuriser": module}))
        with pytest.raises(
            HarnessError, match=f"'unheard-of' is from a plugin that is not installed: {module}"
        ):
            load(hashed)
    assert "antigravity" not in sys.modules


def named(folder: Path, **task_type: object) -> None:
    """Name a task type in an export's manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "task_type": task_type}))


def test_the_task_type_is_the_manifests_with_what_was_chosen(averaged: Path) -> None:
    assert load(averaged).task_type == Classification()  # as exports of earlier versions, which name none
    module = Classification.__module__
    named(averaged, name="classification", module=module, options={"positive": "good"})
    assert load(averaged).task_type == Classification(positive="good")
    assert open_form(averaged, "onnx", task_type=Classification()).task_type == Classification()


def test_a_model_answers_as_its_task_type_does(averaged: Path) -> None:
    model = load(averaged)
    assert model.answer("sun") == model.label("sun")
    with pytest.raises(Unsupported, match=r"cannot call tags: .* for classification; call label\(text\)"):
        model.tags("sun")
    with pytest.raises(Unsupported, match="cannot call tokens"):
        model.tokens("sun")


@pytest.mark.parametrize("module", ["antigravity", "os", ""])
def test_a_task_type_does_not_choose_what_code_is_run(module: str, averaged: Path) -> None:
    named(averaged, name="unheard-of", module=module)
    with pytest.raises(HarnessError, match=f"'unheard-of' is from a plugin that is not installed: {module}"):
        load(averaged)
    assert "antigravity" not in sys.modules


def test_no_pickle_is_read(averaged: Path) -> None:
    class Trap:
        def __reduce__(self) -> object:
            return (pytest.fail, ("it was unpickled",))

    np.savez(averaged / AVERAGED, table=np.array([Trap()], dtype=object))  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match=r"cannot read the export in .*pickle"):
        load(averaged)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (GRAPH, b"no graph"),
        (INT8, b""),
        (AVERAGED, b"no table"),
        (LABELS, b"{"),
        (FILE, b"{"),
        (FILE, b"[]"),
        (MANIFEST, b"[]"),
        (MANIFEST, b"\xff"),
        (MANIFEST, b'{"task_type": []}'),
        (MANIFEST, b'{"task_type": {"name": "classification", "options": {"other": 1}}}'),
    ],
)
def test_a_broken_export_is_said_in_one_line(file: str, content: bytes, averaged: Path) -> None:
    (averaged / file).write_bytes(content)
    form = {GRAPH: "onnx", INT8: "onnx-int8"}.get(file, "auto")
    with pytest.raises(HarnessError, match=r"cannot read the export in .*: ") as caught:
        load(averaged, form)
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_export(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot read the export in .*: export\.json: No such file"):
        load(tmp_path / "absent")
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(HarnessError, match="has no form 'onnx': it has: none"):
        load(tmp_path)


def test_without_cuda_a_graph_says_so(averaged: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime has CUDA here")
    with pytest.raises(Unsupported, match="cannot run on a GPU: this build of ONNX Runtime has no CUDA"):
        open_form(averaged, "onnx", 1, "cuda:0")
