"""Run the form of an exported transformer for OpenVINO, whose activations have fixed scales.

It needs the extra `openvino`. The scales are part of the graph, so that texts can be answered together, and
an answer depends on its text alone up to rounding. The file is an archive with OpenVINO's two files.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError, Unsupported
from harness.runtime.graphs import OnnxModel, Port
from harness.runtime.reading import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

VINO = "model.openvino.zip"
PARTS = ("model.xml", "model.bin")  # the files of the archive, neither compressed
AT_ONCE = 384  # ids of a batch: the states then fit into a core's cache, and more take 1.3 times as long
STEP = 16  # a single text is padded to a multiple of it, because each new length costs a compilation


def installed() -> bool:
    """Return whether OpenVINO can be imported."""
    return find_spec("openvino") is not None


class OpenVinoModel(OnnxModel):
    """A graph in OpenVINO, with weights and activations of 8 bits; what remains is computed in fp32."""

    form = "openvino-int8"
    file = VINO

    def start(self, folder: Path, path: Path, threads: int, device: str) -> None:
        """See :class:`OnnxModel`. Raise HarnessError if OpenVINO is not installed."""
        if device != "cpu":
            raise Unsupported(f"cannot run the form '{self.form}' on a GPU: it is for CPUs")
        try:
            import openvino
        except ImportError as error:
            raise HarnessError(
                f"cannot run the form '{self.form}': {error}; run: pip install 'distil-harness[openvino]', "
                "or name another form with --form"
            ) from None
        graph, weights = parts_of(folder, path)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # by default bf16 if the CPU has it, which is no faster here
            "ENABLE_CPU_PINNING": False,  # the operating system knows which cores are free
        }
        core = openvino.Core()
        self._compiled = core.compile_model(core.read_model(graph, weights), "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self._lock = Lock()  # a request runs once at a time
        self.at_once = AT_ONCE

    def ports(self) -> tuple[list[Port], list[Port]]:
        """See :class:`OnnxModel`."""

        def port(one: Any) -> Port:
            kind = {"i64": "int64", "f32": "float"}.get(name := one.element_type.get_type_name(), name)
            sizes = [size.get_length() if size.is_static else None for size in one.partial_shape]
            return Port(one.any_name, kind, sizes)

        return [*map(port, self._compiled.inputs)], [*map(port, self._compiled.outputs)]

    def run(self, given: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """See :class:`OnnxModel`; a single text is padded to a multiple of STEP, if the model takes that."""
        texts, length = given[self.inputs[0]].shape
        padded = length + -length % STEP
        if texts == 1 and padded <= getattr(self.featuriser, "longest", 0):
            fill = {self.inputs[0]: self.featuriser.padding}
            given = {
                name: np.pad(ids, ((0, 0), (0, padded - length)), constant_values=fill.get(name, 0))
                for name, ids in given.items()
            }
        with self._lock:
            (found,) = self._request.infer(dict(given), share_inputs=True).values()
        logits: NDArray[np.float32] = np.array(found)
        return logits[:, :length] if logits.ndim == 3 else logits


def parts_of(folder: Path, path: Path) -> tuple[bytes, bytes]:
    """Return the two files in an archive. Raise HarnessError if it has others, or compressed ones."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [one.filename for one in archive.infolist()]
            stored = all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
            if (*names,) != PARTS or not stored:
                refuse(folder, f"{VINO} has {', '.join(names) or 'no files'}; expected {' and '.join(PARTS)}")
            graph, weights = (archive.read(name) for name in PARTS)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        refuse(folder, f"{VINO} is damaged: {error}")
    return graph, weights
