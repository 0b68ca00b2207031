"""Run the forms of exported models without torch; :func:`load` returns the fastest form.

An export is a folder. It contains the graph, ``onnx/model.onnx``; usually its quantised form,
``onnx/model_quantized.onnx``; for large models one with 16-bit floats, ``onnx/model_fp16.onnx``, and perhaps
one for OpenVINO, ``model.openvino.zip``; for means of embeddings their table, ``averaged.npz``, for
convolutions over them ``convolved.npz``, and for linear models on TF-IDF ``linear.npz``; the featuriser,
``featuriser.json``, whose vocabulary may be in ``tokenizer.json``; ``labels.json``; the transitions of a CRF,
``transitions.json``; and the manifest, ``export.json``. In the store, and in exports of earlier versions, the
graphs are ``model.onnx`` and ``model.int8.onnx``. This module needs only NumPy, ONNX Runtime and, for
subwords, tokenizers.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.api import HarnessError, Unsupported
from harness.featurise.featuriser import FILE
from harness.featurise.portable import FILE as TOKENIZER
from harness.runtime.chain import FILE as TRANSITIONS
from harness.runtime.exported import Exported as Exported
from harness.runtime.graphs import FP16 as FP16
from harness.runtime.graphs import GRAPH as GRAPH
from harness.runtime.graphs import INT8 as INT8
from harness.runtime.graphs import SHIPPED as SHIPPED
from harness.runtime.graphs import HalfModel as HalfModel
from harness.runtime.graphs import Int8Model as Int8Model
from harness.runtime.graphs import OnnxModel as OnnxModel
from harness.runtime.graphs import place_of as place_of
from harness.runtime.graphs import told
from harness.runtime.linear import LinearModel
from harness.runtime.reading import LABELS as LABELS
from harness.runtime.reading import MANIFEST as MANIFEST
from harness.runtime.reading import check_digests, refuse, regular
from harness.runtime.reading import read_manifest as read_manifest
from harness.runtime.tables import AVERAGED as AVERAGED
from harness.runtime.tables import AveragedModel, ConvolvedModel
from harness.runtime.vino import VINO as VINO
from harness.runtime.vino import OpenVinoModel as OpenVinoModel
from harness.runtime.vino import installed as installed
from harness.task_types.base import TaskType
from harness.values import is_fault

TABLES = {form.form: form for form in (AveragedModel, ConvolvedModel, LinearModel)}
GRAPHS: dict[str, type[OnnxModel]] = {
    form.form: form for form in (OnnxModel, Int8Model, OpenVinoModel, HalfModel)
}
FORMS = {name: form.file for name, form in (GRAPHS | TABLES).items()}  # → its file
EXACT = frozenset({"onnx", *TABLES})  # those with the model's own answers
SEALED = (*FORMS.values(), FILE, TOKENIZER, TRANSITIONS)  # the files whose digests are in the manifest


def load(folder: Path | str, form: str = "auto", threads: int = 1, device: str = "cpu") -> Exported:
    """Return a form of the export in a folder.

    "auto" is the best one by the manifest: the fastest, when it was exported, of those whose answers are
    nearly the model's. Without a ranking it is one for NumPy, else the fp32 graph, else any other. On a GPU,
    it is the graph in fp16, else in fp32. All files are checked. Raise HarnessError if the folder does not
    contain a sound export, or not this form, and Unsupported if the form cannot run on the device.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    places = {name: place_of(folder, file) for name, file in FORMS.items()}
    forms = [name for name, place in places.items() if os.path.lexists(folder / place)]
    if form == "auto":
        able = [name for name in forms if name != OpenVinoModel.form or installed()]
        ranked = [name for name in manifest.get("order", ()) if name in able]
        order = (*ranked, *TABLES, "onnx", *forms) if device == "cpu" else (HalfModel.form, "onnx")
        form = next((name for name in order if name in forms), "onnx")
    if form not in forms:
        why = manifest.get("rejected", {}).get(form) or f"it has: {', '.join(forms) or 'none'}"
        raise HarnessError(f"the export in {folder} has no form '{form}': {why}")
    try:
        # All of them, because a graph may name further files.
        for path in (*folder.iterdir(), *(folder / "onnx").glob("*")):
            if not path.is_dir():
                regular(folder, path.relative_to(folder).as_posix())
        beside = {name: name for name in (FILE, TOKENIZER, TRANSITIONS)}
        check_digests(folder, manifest, {FORMS[form]: places[form], **beside})
        model = open_form(folder, form, threads, device)
        model.check(folder)
        return model
    except HarnessError:
        raise
    except BaseException as error:  # any error of ONNX Runtime or the tokenizer means a damaged file
        if not is_fault(error):
            raise
        refuse(folder, told(error))


def open_form(
    folder: Path,
    form: str,
    threads: int = 1,
    device: str = "cpu",
    task_type: TaskType | None = None,
) -> Exported:
    """Return an existing form of an export; the default of `task_type` is that of the manifest.

    On a GPU, the form must be a graph. Raise Unsupported if it is not, or ONNX Runtime cannot use CUDA.
    """
    if form in TABLES:
        if device != "cpu":
            raise Unsupported(f"cannot run the form '{form}' on a GPU: it is for CPUs; use --form onnx")
        return TABLES[form](folder, task_type)
    return GRAPHS[form](folder, threads, device, task_type)
