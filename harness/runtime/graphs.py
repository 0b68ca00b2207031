"""Run exported graphs in ONNX Runtime."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.api import Masked, Unsupported
from harness.featurise.featuriser import FILE, run_all
from harness.featurise.tokens import Tokens, ids_at_once
from harness.runtime.chain import FILE as TRANSITIONS
from harness.runtime.chain import Chain
from harness.runtime.exported import Exported
from harness.runtime.reading import LABELS, counted, refuse, regular
from harness.task_types.base import TaskType

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAPH, INT8, FP16 = "model.onnx", "model.int8.onnx", "model.fp16.onnx"
# Where other programs, such as transformers.js, look for the graphs in a folder that was shipped.
SHIPPED = {
    GRAPH: "onnx/model.onnx",
    INT8: "onnx/model_quantized.onnx",
    FP16: "onnx/model_fp16.onnx",
}
_HIDDEN_BUDGET = 4_096  # ids at once; about every seventh has a logit for each token of the vocabulary


def place_of(folder: Path, file: str) -> str:
    """Return where a form's file is in an export: where it is shipped, or else its name in the store."""
    shipped = SHIPPED.get(file, file)
    return shipped if os.path.lexists(folder / shipped) else file


class Port(NamedTuple):
    """An input or output of a graph; a dimension without a fixed size is None."""

    name: str
    type: str  # "int64" or "float"
    shape: Sequence[int | None]


class OnnxModel(Exported):
    """A graph in ONNX Runtime, from ``input_ids`` (B, L) to ``logits``; see :mod:`harness.exports.onnx`."""

    form = "onnx"
    file = GRAPH

    def __init__(
        self, folder: Path, threads: int = 1, device: str = "cpu", task_type: TaskType | None = None
    ) -> None:
        super().__init__(folder, task_type)
        self.chain = Chain.read(folder)
        self.at_once = ids_at_once(device)  # including padding
        self.place = place_of(folder, self.file)
        self.start(folder, regular(folder, self.place), threads, device)
        self.inputs = [port.name for port in self.ports()[0]]

    def start(self, folder: Path, path: Path, threads: int, device: str) -> None:
        """Make the graph in a file ready to run.

        Raise Unsupported if the device cannot be used, and HarnessError if the file is no graph.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its errors are raised too; it would print them as well
        providers: list[Any] = ["CPUExecutionProvider"]
        if device != "cpu":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise Unsupported(
                    "cannot run on a GPU: this build of ONNX Runtime has no CUDA; install onnxruntime-gpu"
                )
            number = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number}))
        try:
            self.session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=providers,
                enable_fallback=device != "cpu",  # it would print that it tries again
            )
        except Exception as error:  # its errors have no common base
            refuse(folder, f"{self.place} is damaged, or is no ONNX graph: {told(error)}")
        if device != "cpu" and self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise Unsupported("cannot run on a GPU: ONNX Runtime failed to start CUDA")

    def ports(self) -> tuple[list[Port], list[Port]]:
        """Return the inputs and the outputs of the graph."""
        read = (self.session.get_inputs(), self.session.get_outputs())
        inputs, outputs = (
            [
                Port(
                    one.name,
                    one.type.removeprefix("tensor(").removesuffix(")"),
                    [size if isinstance(size, int) else None for size in one.shape],
                )
                for one in ports
            ]
            for ports in read
        )
        return inputs, outputs

    def run(self, given: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return the graph's logits for its inputs, each (B, L)."""
        return self.session.run(_LOGITS, given)[0]  # type: ignore[no-any-return]

    def _check_signature(self, folder: Path) -> None:
        """Raise HarnessError unless the graph maps ids (B, L) to logits for the classes of the export."""
        inputs, outputs = self.ports()
        given = [(one.type, len(one.shape)) for one in inputs]
        if self.inputs not in _INPUTS or set(given) != {("int64", 2)}:
            refuse(
                folder,
                f"{self.place} has the inputs {', '.join(self.inputs) or 'none'}; expected input_ids (B, L), "
                "and attention_mask (B, L) or nothing, int64",
            )
        logits = next((one for one in outputs if one.name == "logits"), None)
        if logits is None or logits.type != "float":
            refuse(folder, f"{self.place} has no output 'logits' of the type float")
        width = logits.shape[-1] if logits.shape else None
        if isinstance(width, int) and self.classes and width != len(self.classes):
            refuse(
                folder, f"{self.place} has {width} outputs, but {LABELS} has {counted(self.classes, 'label')}"
            )

    def check(self, folder: Path) -> None:
        """Also run the graph on the ids that it was traced with, and on the vocabulary's last id."""
        super().check(folder)
        self._check_signature(folder)
        if self.chain is not None and len(self.chain.end) != len(self.classes):
            refuse(
                folder,
                f"{TRANSITIONS} has {counted(self.chain.end, 'tag')}, but {LABELS} has {len(self.classes)}",
            )
        ids = self.featuriser.sample()
        last = self.featuriser.size - 1
        ids[0, -1] = last + self.featuriser.size * (ids[0, -1] > last)  # keep its mark
        try:
            found = self.marked_logits(ids)
        except Exception as error:
            refuse(
                folder,
                f"{self.place} cannot take the ids of {FILE}, whose vocabulary has {self.featuriser.size}; "
                f"the files may be from different exports: {told(error)}",
            )
        marked = int((ids > last).sum())
        width = len(self.classes) or found.shape[-1]
        words = self.featuriser.marks == "words"
        if found.shape != ((*ids.shape, width) if words else (marked or len(ids), width)):
            refuse(
                folder,
                f"{self.place} returns outputs of shape {found.shape} for {FILE}, {LABELS} and ids "
                f"of shape {ids.shape}; the files may be from different exports",
            )
        if not finite(found.reshape(-1, width)):
            refuse(folder, f"{self.place} returns numbers that are NaN or infinite; its weights are damaged")

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the outputs for one text's ids; with a chain, the scores of its words."""
        return self.featuriser.rows_of(ids, self.marked_logits(self.featuriser.given(ids)))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, (R, C); with a chain, the log-probabilities of tags."""
        if len(texts) == 1 and not self.featuriser.marks:  # no sorting, no copies
            return self.single(self.featuriser.encode(texts)[0])[None]
        if self.chain is not None:
            return self._marginals(*self._scores(texts))
        width = len(self.classes)
        return self.featuriser.predict(texts, self.marked_logits, width, self.at_once)

    def marked_logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the graph's outputs for ids (B, L); for a language model, of marked ids, (R, V)."""
        given = {self.inputs[0]: ids}
        if len(self.inputs) > 1:
            given[self.inputs[1]] = (ids != self.featuriser.padding).astype(np.int64)
        if self.featuriser.marks != "masks":
            return self.run(given)
        if not (ids >= self.featuriser.size).any():  # the graph would return the logits of all ids
            return np.zeros((0, self.featuriser.size), dtype=np.float32)
        logits: NDArray[np.float32] = self.run(given)
        return logits[0] if logits.ndim == 3 else logits  # (R, V) in earlier versions

    def masked(self, texts: Sequence[str]) -> Masked:
        """Return the predictions for hidden tokens of texts."""
        return self.featuriser.tokens(texts).at_hidden(self._judged, min(self.at_once, _HIDDEN_BUDGET))

    def _judged(
        self, ids: NDArray[np.int64], gold: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the most likely ids, (R,), and the log-likelihoods of the gold ids, (R,)."""
        logits = self.marked_logits(ids)
        largest = logits.max(axis=1)
        likelihood = logits[np.arange(len(logits)), gold] - largest
        likelihood -= np.log(np.exp(logits - largest[:, None]).sum(axis=1))
        return logits.argmax(1), likelihood

    def best(self, logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class of each row (R,); with a chain, of each text's best sequence."""
        return super().best(logits, counts) if self.chain is None else self.chain.best(logits, counts)

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class of each row (R,); with a chain, of each text's best sequence."""
        return super().decide(texts, logits) if self.chain is None else self._best(*self._scores(texts))

    def decided(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return the decisions for texts; with a chain, without computing probabilities."""
        return super().decided(texts) if self.chain is None else self._best(*self._scores(texts))

    def answered(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the decisions for texts and the logits, from one run of the graph."""
        if self.chain is None:
            return super().answered(texts)
        scores, tokens = self._scores(texts)
        return self._best(scores, tokens), self._marginals(scores, tokens)

    def _scores(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Tokens]:
        """Return the graph's outputs for the words of texts, (T, C), and the texts' tokens."""
        tokens = self.featuriser.tokens(texts)
        return run_all(tokens, self.marked_logits, len(self.classes), self.at_once), tokens

    def _marginals(self, scores: NDArray[np.float32], tokens: Tokens) -> NDArray[np.float32]:
        assert self.chain is not None
        read, counts = _read(tokens)
        found = scores.copy()
        found[read] = self.chain.log_marginals(scores[read], counts)
        return found

    def _best(self, scores: NDArray[np.float32], tokens: Tokens) -> NDArray[np.int64]:
        assert self.chain is not None
        read, counts = _read(tokens)
        best = scores.argmax(axis=1)
        best[read] = self.chain.best(scores[read], counts)
        return best  # type: ignore[no-any-return]


def _read(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the words that were not cut off, and their number in each text."""
    rows = np.arange(len(tokens))
    counts = tokens.counts(rows)
    assert counts is not None
    return tokens.targets(rows), counts


_LOGITS = ["logits"]
_INPUTS = (["input_ids"], ["input_ids", "attention_mask"], ["ids"])  # the last one in earlier versions


class Int8Model(OnnxModel):
    """A graph with 8-bit weights, and products of 8-bit integers.

    ONNX Runtime computes one scale for the activations of a whole batch. So each text is run alone: its
    answer must not depend on the other texts.
    """

    form = "onnx-int8"
    file = INT8

    def __init__(
        self, folder: Path, threads: int = 1, device: str = "cpu", task_type: TaskType | None = None
    ) -> None:
        super().__init__(folder, threads, device, task_type)
        if _quantises_activations(folder / self.place):
            self.at_once = 1


class HalfModel(OnnxModel):
    """A graph with weights and products of 16-bit floats, for GPUs; a CPU computes it in fp32."""

    form = "onnx-fp16"
    file = FP16


def finite(logits: NDArray[np.float32]) -> bool:
    """Return whether each row of logits (R, C) has a finite maximum; -inf rules a class out."""
    return not logits.size or bool(np.isfinite(logits.max(axis=1)).all())


def _quantises_activations(path: Path) -> bool:
    """Return whether a graph has operators that compute a scale; the name of an operator is plain text."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"DynamicQuantize") >= 0


def told(error: BaseException) -> str:
    """Return the first line of an error's message."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line)[:300] or type(error).__name__
