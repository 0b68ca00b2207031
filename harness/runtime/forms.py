"""Run the forms of exported models without torch; :func:`load` returns the fastest form.

An export is a folder. It contains the graph, ``model.onnx``; usually its quantised form, ``model.int8.onnx``;
for means of embeddings their table, ``averaged.npz``; the featuriser, ``featuriser.json``; ``labels.json``;
the transitions of a CRF, ``transitions.json``; and the manifest, ``export.json``. This module needs only
NumPy, ONNX Runtime and, for subwords, tokenizers.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.api import HarnessError, Masked, Model, Parameters, Unsupported
from harness.featurise.featuriser import FILE, Featuriser, run_all
from harness.featurise.tokens import Tokens, ids_at_once
from harness.parameters import frozen
from harness.runtime.chain import Chain
from harness.task_types.base import TaskType

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAPH, INT8, AVERAGED, LABELS, MANIFEST = (
    *("model.onnx", "model.int8.onnx", "averaged.npz", "labels.json", "export.json"),
)
FORMS = {"onnx": GRAPH, "onnx-int8": INT8, "numpy": AVERAGED}  # name of the form → its file
_LOOKED_UP = 16_384  # ids to look up in the table at once
_HIDDEN_BUDGET = 4_096  # ids at once; about every seventh has a logit for each token of the vocabulary


class Exported(Model):
    """A form of an exported model.

    A row of logits belongs to a text, a word or a MASK, depending on the task type. Words that were cut off
    at the maximum length have logits of zeros.
    """

    form: ClassVar[str]

    def __init__(self, folder: Path, task_type: TaskType | None = None) -> None:
        self.featuriser = _featuriser(folder)
        self.classes: list[str] = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        self.task_type = task_type or _task_type(folder, self.featuriser, self.classes)
        self._short: Callable[[str], Any] | None = None

    @abstractmethod
    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the outputs for one text's ids: (C,), or (R, C) with a row for each word or MASK."""

    @property
    def short(self) -> Callable[[str], Any]:
        """Return the fastest function from one text to its answer; it is used to measure latency."""
        if self._short is None:
            self._short = self.task_type.short(self)
        return self._short

    def answer(self, text: str) -> Any:
        """Return the answer to one text, in the form of the task type."""
        return self.short(text)

    def label(self, text: str) -> str:
        """Return the class of one text; raise Unsupported for another task type."""
        return self._called("label", text)  # type: ignore[no-any-return]

    def tags(self, text: str) -> list[str]:
        """Return the tag of each word of one text; raise Unsupported for another task type."""
        return self._called("tags", text)  # type: ignore[no-any-return]

    def tokens(self, text: str) -> list[str]:
        """Return the best token for each MASK of one text; raise Unsupported for another task type."""
        return self._called("tokens", text)  # type: ignore[no-any-return]

    def _called(self, method: str, text: str) -> Any:
        if method != self.task_type.call:
            raise Unsupported(
                f"cannot call {method}: this model is for {self.task_type.name}; "
                f"call {self.task_type.call}(text)"
            )
        return self.short(text)

    def best(self, logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class of each row (R,); `counts` is the number of rows of each text."""
        return logits.argmax(axis=1)  # type: ignore[no-any-return]

    def decided(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return the decisions for texts: the number of each row's class, or the task type's own form."""
        return self.task_type.decide(self, texts, self.predict(texts))

    def answered(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the decisions for texts, and the logits."""
        logits = self.predict(texts)
        return self.task_type.decide(self, texts, logits), logits

    def save(self, folder: Path) -> None:
        """Raise Unsupported: an exported model is its folder."""
        raise Unsupported("cannot save an exported model: copy its folder")

    def parameters(self) -> Parameters:
        """Raise Unsupported: a graph has further constants, and may have weights in another form."""
        raise Unsupported("cannot count the parameters of an exported model: count them before the export")


class OnnxModel(Exported):
    """A graph in ONNX Runtime, from ``ids`` (B, L) to ``logits``; see :mod:`harness.exports.onnx`."""

    form = "onnx"
    file = GRAPH

    def __init__(
        self, folder: Path, threads: int = 1, device: str = "cpu", task_type: TaskType | None = None
    ) -> None:
        import onnxruntime

        super().__init__(folder, task_type)
        self.chain = Chain.read(folder)
        self._at_once = ids_at_once(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device != "cpu":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise Unsupported(
                    "cannot run on a GPU: this build of ONNX Runtime has no CUDA; install onnxruntime-gpu"
                )
            number = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number}))
        self.session = onnxruntime.InferenceSession(str(folder / self.file), options, providers=providers)
        if device != "cpu" and self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise Unsupported("cannot run on a GPU: ONNX Runtime failed to start CUDA")

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
        return self.featuriser.predict(texts, self.marked_logits, width, self._at_once)

    def marked_logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the graph's outputs for ids (B, L); for a language model, of marked ids, (R, V)."""
        return self.session.run(_LOGITS, {"ids": ids})[0]  # type: ignore[no-any-return]

    def masked(self, texts: Sequence[str]) -> Masked:
        """Return the predictions for hidden tokens of texts."""
        return self.featuriser.tokens(texts).at_hidden(self._judged, min(self._at_once, _HIDDEN_BUDGET))

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
        return run_all(tokens, self.marked_logits, len(self.classes), self._at_once), tokens

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


class Int8Model(OnnxModel):
    """A graph with 8-bit weights, and products of 8-bit integers."""

    form = "onnx-int8"
    file = INT8


class AveragedModel(Exported):
    """The mean of a text's embeddings, and dense layers, in NumPy.

    For a single short text this takes half the time of a call of ONNX Runtime.
    """

    form = "numpy"

    def __init__(self, folder: Path, task_type: TaskType | None = None) -> None:
        super().__init__(folder, task_type)
        with np.load(folder / AVERAGED, allow_pickle=False) as arrays:
            self._set({name: arrays[name] for name in arrays.files})

    def _set(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.table = arrays["table"]  # (V, W), with a row of zeros for padding
        self.bias = arrays["bias_0"]
        self.first = arrays.get("weight_0")  # None if it is multiplied into the table
        count = sum(name.startswith("bias_") for name in arrays)
        self.layers = [(arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(1, count)]
        self._take = self.table.take

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the logits for one text's ids, (C,)."""
        total = _sum(self._take(ids, 0), 0)
        total /= len(ids) - ids.count(self.featuriser.padding) or 1
        if self.first is None and not self.layers:
            total += self.bias
            return total  # type: ignore[no-any-return]
        return self._dense(total)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, (N, C); no padding is needed."""
        tokens = self.featuriser.tokens(texts)
        logits = np.empty((len(texts), len(self.classes)), dtype=np.float32)
        start = 0
        while start < len(texts):
            room = tokens.offsets[start] + _LOOKED_UP
            end = max(start + 1, int(np.searchsorted(tokens.offsets, room, side="right")) - 1)
            offsets = tokens.offsets[start : end + 1]
            ids = tokens.ids[offsets[0] : offsets[-1]]
            places = offsets[:-1] - offsets[0]
            total = np.add.reduceat(self.table[ids], places, axis=0)  # (N, W)
            known = np.add.reduceat(ids != tokens.padding, places, dtype=np.float32)
            total /= np.maximum(known, 1)[:, None]
            logits[start:end] = self._dense(total)
            start = end
        return logits

    def _dense(self, mean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of the dense layers, (…, C), for means (…, W)."""
        found = (mean if self.first is None else mean @ self.first) + self.bias
        for weight, bias in self.layers:
            found = np.maximum(found, 0) @ weight + bias
        return found


_sum = np.add.reduce


def load(folder: Path | str, form: str = "auto", threads: int = 1) -> Exported:
    """Return a form of the export in a folder; "auto" is the NumPy form if it exists, else the fp32 graph.

    Raise HarnessError if the folder does not contain an export, or not this form.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    forms = [name for name, file in FORMS.items() if (folder / file).is_file()]
    if form == "auto":
        form = "numpy" if "numpy" in forms else "onnx"
    if form not in forms:
        why = manifest.get("rejected", {}).get(form) or f"it has: {', '.join(forms) or 'none'}"
        raise HarnessError(f"the export in {folder} has no form '{form}': {why}")
    try:
        return open_form(folder, form, threads)
    except HarnessError:
        raise
    except Exception as error:  # any error of ONNX Runtime, NumPy or the tokenizer means a damaged file
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HarnessError(f"cannot read the export in {folder}: {why}") from None


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
    if form == "numpy":
        return AveragedModel(folder, task_type)
    return (Int8Model if form == "onnx-int8" else OnnxModel)(folder, threads, device, task_type)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the contents of ``export.json``; raise HarnessError if it does not exist or is damaged."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"cannot read the export in {folder}: {MANIFEST}: {error.strerror}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HarnessError(f"cannot read the export in {folder}: {MANIFEST} is not a JSON object")
    return found


def _featuriser(folder: Path) -> Featuriser:
    """Return the featuriser; a plugin's is imported from the module in the manifest."""
    kind = json.loads((folder / FILE).read_text(encoding="utf-8")).get("type")
    if kind not in Featuriser._known and (folder / MANIFEST).is_file():
        _import(folder, str(read_manifest(folder).get("featuriser", "")), str(kind))
    return Featuriser.load(folder)


def _task_type(folder: Path, featuriser: Featuriser, classes: Sequence[str]) -> TaskType:
    """Return the task type in the manifest, with the options chosen for this model."""
    # By name: an edit of one type must not change the keys of the others' steps. It imports the core's types.
    former = import_module("harness.task_types.former")
    named = read_manifest(folder).get("task_type") if (folder / MANIFEST).is_file() else None
    if named is None:  # an export of an earlier version
        return former.of_export(featuriser, classes)  # type: ignore[no-any-return]
    name = str(named["name"])
    if name not in TaskType.known:
        _import(folder, str(named.get("module", "")), name)
    if name not in TaskType.known:
        raise HarnessError(
            f"cannot read the export in {folder}: its plugin has no task type '{name}'; install the version "
            "of the plugin that wrote the export"
        )
    options = {key: frozen(value) for key, value in named.get("options", {}).items()}
    return TaskType.known[name](**options)


def _import(folder: Path, module: str, name: str) -> None:
    """Import a plugin's module, so that its classes are known.

    Raise HarnessError if it is not an installed plugin: a file must not choose which other code runs.
    """
    if module.partition(".")[0] not in _plugins():
        raise HarnessError(
            f"cannot read the export in {folder}: '{name}' is from a plugin that is not installed: {module}"
        )
    import_module(module)


def _plugins() -> set[str]:
    """Return the packages of the installed plugins."""
    from importlib.metadata import entry_points

    return {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group="harness")}
