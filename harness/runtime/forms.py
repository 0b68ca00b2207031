"""Exported models at work, from text to answer, without torch: :func:`load` gives the form that is fastest.

An export is a folder: a graph, ``model.onnx``; for most its quantised form, ``model.int8.onnx``; for averaged
words their table, ``averaged.npz``; what turns texts into ids, ``featuriser.json``; ``labels.json``; where
tags are decided as one sequence, ``transitions.json``; and ``export.json``, which says what of it there is.
Nothing here needs more than NumPy, ONNX Runtime and, for subwords, tokenizers.
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
from harness.featurise.featuriser import FILE, Featuriser, MaskedSubwords
from harness.featurise.tokens import MaskedTokens, Tokens, batches_by_length, ids_at_once
from harness.runtime.chain import Chain

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAPH, INT8, AVERAGED, LABELS, MANIFEST = (
    *("model.onnx", "model.int8.onnx", "averaged.npz", "labels.json", "export.json"),
)
FORMS = {"onnx": GRAPH, "onnx-int8": INT8, "numpy": AVERAGED}  # a form's name, and the file that holds it
_LOOKED_UP = 16_384  # ids whose rows of a table are taken at once
_HIDDEN_BUDGET = 4_096  # ids at once, where each seventh comes to as many numbers as there are tokens


_NO_TAGGER = "this model labels texts, and not their words"
_NO_LANGUAGE = "this model labels texts, and tells no hidden tokens"


class Exported(Model):
    """A form of an exported model.

    Of one that tags words, texts are words with one space between any two; a row of logits is a word's, and
    words behind the longest text that it reads have zeros. Of a language model a row is that of a MASK.
    """

    form: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.featuriser = _featuriser(folder)
        self.classes: list[str] = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        self.of_words = self.featuriser.of_words
        self.of_masks = isinstance(self.featuriser, MaskedSubwords)

    @abstractmethod
    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """What one text's ids come to: logits (C,), or for each word or MASK that is read (W, C)."""

    def label(self, text: str) -> str:
        """The class of one text: the short way, which latency is measured on."""
        if self.of_words or self.of_masks:
            raise Unsupported(f"this model {'tags words' if self.of_words else 'tells hidden tokens'}")
        return self.classes[self.single(self.featuriser.encode((text,))[0]).argmax()]

    def tags(self, text: str) -> list[str]:
        """The tag of each word of one text: the short way, too."""
        raise Unsupported(_NO_TAGGER)

    def tokens(self, text: str) -> list[str]:
        """The likeliest token for each MASK of one text that is read: the short way, too."""
        raise Unsupported(_NO_LANGUAGE)

    def tagged(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What is decided for each word (T,), and the words' logits (T, C): both at the cost of one."""
        raise Unsupported(_NO_TAGGER)

    @property
    def short(self) -> Callable[[str], Any]:
        """The short way of this model."""
        return self.tags if self.of_words else self.tokens if self.of_masks else self.label

    def decided(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The number of the class of each text (N,), or each word of all texts; or the token of each MASK."""
        return self.predict(texts).argmax(axis=1)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Not needed: an exported model is its folder."""
        raise Unsupported("an exported model is saved as it is: copy its folder")

    def parameters(self) -> Parameters:
        """Not known: a graph holds constants of its own, and may hold weights in another form."""
        raise Unsupported("parameters are counted before the export")


class OnnxModel(Exported):
    """A graph under ONNX Runtime, from ``ids`` (B, L) to ``logits``; see :mod:`harness.exports.onnx`."""

    form = "onnx"
    file = GRAPH

    def __init__(self, folder: Path, threads: int = 1, device: str = "cpu") -> None:
        import onnxruntime

        super().__init__(folder)
        self.chain = Chain.read(folder)
        self._at_once = ids_at_once(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device != "cpu":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise Unsupported("this build of ONNX Runtime has no CUDA")
            number = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number}))
        self.session = onnxruntime.InferenceSession(str(folder / self.file), options, providers=providers)
        if device != "cpu" and self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise Unsupported("ONNX Runtime has CUDA, but cannot use it here")

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """See :class:`Exported`; of a chain, its words' scores."""
        given = np.array([ids], dtype=np.int64)
        if isinstance(self.featuriser, MaskedSubwords):
            return self.told(given + self.featuriser.size * (given == self.featuriser.mask))
        found = self.session.run(_LOGITS, {"ids": given})[0][0]
        if self.of_words:
            found = found[np.array(ids) >= self.featuriser.size]
        return found  # type: ignore[no-any-return]

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.api.Model`."""
        if len(texts) == 1 and not self.of_words and not self.of_masks:  # no sorting, no copies
            return self.single(self.featuriser.encode(texts)[0])[None]
        if isinstance(self.featuriser, MaskedSubwords):
            counts = np.array([self.featuriser.masks(text) for text in texts], dtype=np.int64)
            return self._masked(texts).at_masks(counts, self.told, self._at_once)
        return self._logits(*self._scores(texts))

    def tags(self, text: str) -> list[str]:
        """See :class:`Exported`."""
        if not self.of_words:
            return super().tags(text)
        found = self.single(self.featuriser.encode((text,))[0])
        best = found.argmax(axis=1) if self.chain is None else self.chain.best(found, np.array([len(found)]))
        names = [self.classes[number] for number in best]
        return names + self.classes[:1] * (text.count(" ") + 1 - len(names))

    def tokens(self, text: str) -> list[str]:
        """See :class:`Exported`."""
        if not isinstance(self.featuriser, MaskedSubwords):
            return super().tokens(text)
        best = self.single(self.featuriser.encode((text,))[0]).argmax(axis=1)
        return [self.featuriser.tokenizer.id_to_token(number) or "" for number in best.tolist()]

    def told(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of a language model: marked ids (B, L), raised by the vocabulary's size V, to logits (R, V)."""
        return self.session.run(_LOGITS, {"ids": ids})[0]  # type: ignore[no-any-return]

    def masked(self, texts: Sequence[str]) -> Masked:
        """See :class:`harness.api.Model`."""
        return self._masked(texts).at_hidden(self._judged, min(self._at_once, _HIDDEN_BUDGET))

    def _judged(
        self, ids: NDArray[np.int64], gold: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The likeliest ids (R,), and the log-likelihoods (R,) of the gold ones."""
        logits = self.told(ids)
        largest = logits.max(axis=1)
        likelihood = logits[np.arange(len(logits)), gold] - largest
        likelihood -= np.log(np.exp(logits - largest[:, None]).sum(axis=1))
        return logits.argmax(1), likelihood

    def _masked(self, texts: Sequence[str]) -> MaskedTokens:
        tokens = self.featuriser.tokens(texts)
        if not isinstance(tokens, MaskedTokens):
            raise Unsupported(_NO_LANGUAGE)
        return tokens

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """See :class:`harness.api.Model`."""
        return super().decide(texts, logits) if self.chain is None else self.decided(texts)

    def decided(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """See :class:`Exported`."""
        return super().decided(texts) if self.chain is None else self._best(*self._scores(texts))

    def tagged(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See :class:`Exported`."""
        if not self.of_words:
            return super().tagged(texts)
        scores, tokens = self._scores(texts)
        return self._best(scores, tokens), self._logits(scores, tokens)

    def _scores(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Tokens]:
        """The graph's outputs for texts (N, C) or for their words (T, C), and what the texts were read as."""
        tokens = self.featuriser.tokens(texts)
        scores = np.zeros((tokens.outputs, len(self.classes)), dtype=np.float32)
        for rows in batches_by_length(tokens, self._at_once):
            ids = tokens.batch(rows)
            block = self.session.run(_LOGITS, {"ids": ids})[0]
            picked = tokens.picked(ids)
            scores[tokens.targets(rows)] = block if picked is None else block[picked]
        return scores, tokens

    def _logits(self, scores: NDArray[np.float32], tokens: Tokens) -> NDArray[np.float32]:
        if self.chain is not None:
            read, counts = _read(tokens)
            scores = scores.copy()
            scores[read] = self.chain.log_marginals(scores[read], counts)
        return scores

    def _best(self, scores: NDArray[np.float32], tokens: Tokens) -> NDArray[np.int64]:
        best = scores.argmax(axis=1)
        if self.chain is not None:
            read, counts = _read(tokens)
            best[read] = self.chain.best(scores[read], counts)
        return best  # type: ignore[no-any-return]


def _read(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the words that are read, and how many of them each text has."""
    rows = np.arange(len(tokens))
    counts = tokens.counts(rows)
    assert counts is not None
    return tokens.targets(rows), counts


_LOGITS = ["logits"]


class Int8Model(OnnxModel):
    """A graph with weights of 8 bits, and products of 8-bit integers."""

    form = "onnx-int8"
    file = INT8


class AveragedModel(Exported):
    """The mean of a text's rows of a table, and dense layers upon it, in NumPy.

    For a text's few numbers that takes half the time of a call of ONNX Runtime.
    """

    form = "numpy"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with np.load(folder / AVERAGED, allow_pickle=False) as arrays:
            self._set({name: arrays[name] for name in arrays.files})

    def _set(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.table = arrays["table"]  # (V, W), padding's row zero
        self.bias = arrays["bias_0"]
        self.first = arrays.get("weight_0")  # none where it is folded into the table
        count = sum(name.startswith("bias_") for name in arrays)
        self.layers = [(arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(1, count)]
        self._take = self.table.take

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """See :class:`Exported`."""
        total = _sum(self._take(ids, 0), 0)
        total /= len(ids) - ids.count(self.featuriser.padding) or 1
        if self.first is None and not self.layers:
            total += self.bias
            return total  # type: ignore[no-any-return]
        return self._dense(total)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.api.Model`; without any padding."""
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
        """(…, W) → (…, C)."""
        found = (mean if self.first is None else mean @ self.first) + self.bias
        for weight, bias in self.layers:
            found = np.maximum(found, 0) @ weight + bias
        return found


_sum = np.add.reduce


def load(folder: Path, form: str = "auto", threads: int = 1) -> Exported:
    """A form of the export in a folder; "auto" takes NumPy's where there is one, else the fp32 graph.

    Raises HarnessError where the folder holds no export, or not that form.
    """
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
    except Exception as error:  # of ONNX Runtime, NumPy or the tokenizer: all mean that a file is broken
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HarnessError(f"the export in {folder} cannot be read: {why}") from None


def open_form(folder: Path, form: str, threads: int = 1, device: str = "cpu") -> Exported:
    """A form that is there. For a GPU, a graph; Unsupported where ONNX Runtime has no CUDA."""
    if form == "numpy":
        return AveragedModel(folder)
    return (Int8Model if form == "onnx-int8" else OnnxModel)(folder, threads, device)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What ``export.json`` says; HarnessError where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"there is no export in {folder}: {MANIFEST}: {error.strerror}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HarnessError(f"the export in {folder} cannot be read: {MANIFEST} is no JSON object")
    return found


def _featuriser(folder: Path) -> Featuriser:
    """What turns texts into ids. That of a plugin is found in the module that the export names."""
    kind = json.loads((folder / FILE).read_text(encoding="utf-8")).get("type")
    if kind not in Featuriser._known and (folder / MANIFEST).is_file():
        module = str(read_manifest(folder).get("featuriser", ""))
        if module.partition(".")[0] not in _plugins():  # a file must not choose what code is run
            raise HarnessError(f"the export in {folder} needs the plugin that has '{kind}': {module}")
        import_module(module)
    return Featuriser.load(folder)


def _plugins() -> set[str]:
    """The packages of the installed plugins."""
    from importlib.metadata import entry_points

    return {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group="harness")}
