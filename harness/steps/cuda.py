"""Train reproducibly on a GPU, and measure single texts there: its kernels, and CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Model, Parameters, Unsupported

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.training.model import TorchModel

STEP = 16  # texts are padded to a multiple of this, because a graph has a fixed shape
CLOSE = 1e-3  # largest difference from the model, relative to the largest logit


class Disordered(Unsupported):
    """The error for a capture that failed, which makes the GPU's random generator unusable."""


@contextmanager
def reproducible(device: str) -> Iterator[None]:
    """Make the same seed on the same device give the same weights, which CPUs do anyway."""
    if device == "cpu":
        yield
        return
    import torch

    memory = torch.utils.deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no code reads it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        memory.fill_uninitialized_memory = True  # type: ignore[attr-defined]


def padded(ids: Sequence[int], padding: int) -> NDArray[np.int64]:
    """Return the ids of one text, (1, L), padded to the next multiple of STEP."""
    found = np.full((1, -(-max(1, len(ids)) // STEP) * STEP), padding, dtype=np.int64)
    found[0, : len(ids)] = ids
    return found


def kernels_ms(model: TorchModel, texts: Sequence[str]) -> float:
    """Return the median milliseconds from the first kernel's start to the last one's end (CUDA events)."""
    import torch

    took = []
    with torch.no_grad():
        for ids in model.featuriser.encode(texts):
            given = torch.tensor([ids], device=model.context.device)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            model.module(given)
            end.record()
            end.synchronize()
            took.append(start.elapsed_time(end))
    return float(np.median(took))


class GraphedModel(Model):
    """A torch model that runs one text as a CUDA graph; there is a graph for each padded length."""

    def __init__(self, model: TorchModel, texts: Sequence[str]) -> None:
        """Capture a graph for each length of the texts, and compare the results with the model's.

        Raise Unsupported if the model's work depends on more than shapes, or if the results differ, and
        Disordered if a capture fails.
        """
        if type(model).decide is not Model.decide:
            raise Unsupported("cannot use CUDA graphs: the model's decisions depend on more than its outputs")
        if model.featuriser.marks == "masks":
            raise Unsupported(
                "cannot use CUDA graphs for masked language models: the shape of their outputs varies"
            )
        self.featuriser = model.featuriser
        self._module = model.module
        self._device = model.context.device
        self._graphs: dict[int, tuple[Any, Any, Any]] = {}  # by length: ids, graph, logits
        try:
            for text in texts:
                self._ready(padded(self.featuriser.encode([text])[0], self.featuriser.padding))
            expected = model.predict(texts)
            found = np.concatenate([self.predict([text]) for text in texts])
        except Exception as error:  # of CUDA, or of a module that cannot be captured
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise Disordered(f"cannot capture a CUDA graph: {why}") from error
        if not np.abs(expected - found).max() <= CLOSE * max(1.0, float(np.abs(expected).max())):
            raise Unsupported("cannot use CUDA graphs: their outputs differ from the model's")

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, one at a time; texts of a new length are captured first."""
        import torch

        found = []
        for text, encoded in zip(texts, self.featuriser.encode(texts), strict=True):
            ids = padded(encoded, self.featuriser.padding)
            given, graph, logits = self._ready(ids)
            given.copy_(torch.from_numpy(ids))
            graph.replay()
            block = logits.float().cpu().numpy()
            if self.featuriser.marks:  # words that were cut off get zeros
                read = block[ids >= self.featuriser.size]
                block = np.zeros((text.count(" ") + 1, block.shape[2]), dtype=np.float32)
                block[: len(read)] = read
            found.append(block)
        return np.concatenate(found)

    def _ready(self, ids: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """Return the graph for ids of this length, after capturing it if necessary."""
        import torch

        length = ids.shape[1]
        if length not in self._graphs:
            given = torch.from_numpy(ids).to(self._device)
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.no_grad(), torch.cuda.stream(side):  # warm-up, in which libraries choose their kernels
                for _ in range(3):
                    self._module(given)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.no_grad(), torch.cuda.graph(graph):
                logits = self._module(given)
            self._graphs[length] = given, graph, logits
        return self._graphs[length]

    def save(self, folder: Path) -> None:
        """Raise Unsupported: save the model itself."""
        raise Unsupported("cannot save a CUDA graph: save the model")

    def parameters(self) -> Parameters:
        """Raise Unsupported: count the parameters of the model itself."""
        raise Unsupported("cannot count the parameters of a CUDA graph: count those of the model")
