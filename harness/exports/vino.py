"""Quantise an exported graph for OpenVINO, with scales of activations that are calibrated on texts.

NNCF moves outliers of activations into weights (SmoothQuant; Xiao et al., 2023), has one scale for each
output channel of a weight, and corrects the bias that rounding adds.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from harness.api import Unsupported
from harness.featurise.featuriser import Featuriser
from harness.runtime.graphs import GRAPH
from harness.runtime.vino import PARTS, VINO, installed

TEXTS = 200  # for calibration


def possible(featuriser: Featuriser) -> bool:
    """Return whether OpenVINO and NNCF are installed, and can quantise graphs with such ids."""
    return installed() and find_spec("nncf") is not None and featuriser.marks != "masks"


def quantise(folder: Path, featuriser: Featuriser, texts: Sequence[str]) -> None:
    """Write ``model.openvino.zip`` beside ``model.onnx``, calibrated on texts.

    Raise Unsupported if OpenVINO cannot read the graph, or NNCF cannot quantise it.
    """
    import openvino

    try:
        model = openvino.Core().read_model(folder / GRAPH)
        names = [one.any_name for one in model.inputs]
        tokens = featuriser.tokens(texts)
        given = []
        for row in range(len(tokens)):
            ids = tokens.batch(np.array([row]))
            inputs = (ids, (ids != featuriser.padding).astype(np.int64))
            given.append(dict(zip(names, inputs, strict=False)))
        with _quiet() as nncf, TemporaryDirectory() as place:
            made = nncf.quantize(
                model,
                nncf.Dataset(given),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(given),
            )
            openvino.save_model(made, Path(place) / PARTS[0], compress_to_fp16=False)
            with zipfile.ZipFile(folder / VINO, "w") as archive:
                for name in PARTS:
                    archive.write(Path(place) / name, name)
    except Exception as error:  # the errors of both have no common base
        (folder / VINO).unlink(missing_ok=True)
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"cannot quantise the graph for OpenVINO: {why}") from error


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Yield the module of NNCF, which then shows no progress and sends nothing to its makers."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"  # turns its telemetry off when it is imported
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import nncf

            yield nncf
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before
