"""Run the forms of exported models without torch; :func:`load` returns the fastest form.

An export is a folder. It contains the graph, ``onnx/model.onnx``; usually its quantised form,
``onnx/model_quantized.onnx``; for means of embeddings their table, ``averaged.npz``, for convolutions over
them ``convolved.npz``, and for linear models on TF-IDF ``linear.npz``; the featuriser, ``featuriser.json``,
whose vocabulary may be in ``tokenizer.json``; ``labels.json``; the transitions of a CRF,
``transitions.json``; and the manifest, ``export.json``. In the store, and in exports of earlier versions, the
graphs are ``model.onnx`` and ``model.int8.onnx``. This module needs only NumPy, ONNX Runtime and, for
subwords, tokenizers.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError, Masked, Unsupported
from harness.featurise.featuriser import FILE, run_all
from harness.featurise.portable import FILE as TOKENIZER
from harness.featurise.tokens import Tokens, ids_at_once
from harness.runtime.chain import FILE as TRANSITIONS
from harness.runtime.chain import Chain
from harness.runtime.exported import Exported as Exported
from harness.runtime.linear import LinearModel
from harness.runtime.reading import LABELS as LABELS
from harness.runtime.reading import MANIFEST as MANIFEST
from harness.runtime.reading import check_digests, counted, refuse, regular
from harness.runtime.reading import read_manifest as read_manifest
from harness.runtime.tables import AVERAGED as AVERAGED
from harness.runtime.tables import AveragedModel, ConvolvedModel
from harness.task_types.base import TaskType
from harness.values import is_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAPH, INT8 = "model.onnx", "model.int8.onnx"
TABLES = {form.form: form for form in (AveragedModel, ConvolvedModel, LinearModel)}
FORMS = {"onnx": GRAPH, "onnx-int8": INT8} | {name: form.file for name, form in TABLES.items()}  # → its file
# Where other programs, such as transformers.js, look for the graphs in a folder that was shipped.
SHIPPED = {GRAPH: "onnx/model.onnx", INT8: "onnx/model_quantized.onnx"}
SEALED = (*FORMS.values(), FILE, TOKENIZER, TRANSITIONS)  # the files whose digests are in the manifest
_HIDDEN_BUDGET = 4_096  # ids at once; about every seventh has a logit for each token of the vocabulary


def place_of(folder: Path, file: str) -> str:
    """Return where a form's file is in an export: where it is shipped, or else its name in the store."""
    shipped = SHIPPED.get(file, file)
    return shipped if os.path.lexists(folder / shipped) else file


class OnnxModel(Exported):
    """A graph in ONNX Runtime, from ``input_ids`` (B, L) to ``logits``; see :mod:`harness.exports.onnx`."""

    form = "onnx"
    file = GRAPH

    def __init__(
        self, folder: Path, threads: int = 1, device: str = "cpu", task_type: TaskType | None = None
    ) -> None:
        import onnxruntime

        super().__init__(folder, task_type)
        self.chain = Chain.read(folder)
        self.at_once = ids_at_once(device)  # including padding
        self.place = place_of(folder, self.file)
        path = regular(folder, self.place)
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
            refuse(folder, f"{self.place} is damaged, or is no ONNX graph: {_told(error)}")
        self.inputs = [one.name for one in self.session.get_inputs()]
        if device != "cpu" and self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise Unsupported("cannot run on a GPU: ONNX Runtime failed to start CUDA")

    def _check_signature(self, folder: Path) -> None:
        """Raise HarnessError unless the graph maps ids (B, L) to logits for the classes of the export."""
        given = [(one.type, len(one.shape)) for one in self.session.get_inputs()]
        if self.inputs not in _INPUTS or set(given) != {("tensor(int64)", 2)}:
            refuse(
                folder,
                f"{self.place} has the inputs {', '.join(self.inputs) or 'none'}; expected input_ids (B, L), "
                "and attention_mask (B, L) or nothing, int64",
            )
        logits = next((one for one in self.session.get_outputs() if one.name == "logits"), None)
        if logits is None or logits.type != "tensor(float)":
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
                f"the files may be from different exports: {_told(error)}",
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
            return self.session.run(_LOGITS, given)[0]  # type: ignore[no-any-return]
        if not (ids >= self.featuriser.size).any():  # the graph would return the logits of all ids
            return np.zeros((0, self.featuriser.size), dtype=np.float32)
        logits: NDArray[np.float32] = self.session.run(_LOGITS, given)[0]
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


def finite(logits: NDArray[np.float32]) -> bool:
    """Return whether each row of logits (R, C) has a finite maximum; -inf rules a class out."""
    return not logits.size or bool(np.isfinite(logits.max(axis=1)).all())


def _quantises_activations(path: Path) -> bool:
    """Return whether a graph has operators that compute a scale; the name of an operator is plain text."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"DynamicQuantize") >= 0


def _told(error: BaseException) -> str:
    """Return the first line of an error's message."""
    told = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", told)[:300] or type(error).__name__


def load(folder: Path | str, form: str = "auto", threads: int = 1) -> Exported:
    """Return a form of the export in a folder.

    "auto" is the best one by the manifest: the fastest, when it was exported, of those whose answers are
    nearly the model's. Without a ranking it is one for NumPy, else the fp32 graph, else any other. All files
    are checked. Raise HarnessError if the folder does not contain a sound export, or not this form.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    places = {name: place_of(folder, file) for name, file in FORMS.items()}
    forms = [name for name, place in places.items() if os.path.lexists(folder / place)]
    if form == "auto":
        ranked = [name for name in manifest.get("order", ()) if isinstance(name, str)]
        form = next((name for name in (*ranked, *TABLES, "onnx", *forms) if name in forms), "onnx")
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
        model = open_form(folder, form, threads)
        model.check(folder)
        return model
    except HarnessError:
        raise
    except BaseException as error:  # any error of ONNX Runtime or the tokenizer means a damaged file
        if not is_fault(error):
            raise
        refuse(folder, _told(error))


def open_form(
    folder: Path,
    form: str,
    threads: int = 1,
    device: str = "cpu",
    task_type: TaskType | None = None,
) -> Exported:
    """Return an existing form of an export; the default of `task_type` is that of the manifest.

    On a GPU, the form must be a graph. Raise Unsupported if ONNX Runtime cannot use CUDA.
    """
    if form in TABLES:
        return TABLES[form](folder, task_type)
    return (Int8Model if form == "onnx-int8" else OnnxModel)(folder, threads, device, task_type)
