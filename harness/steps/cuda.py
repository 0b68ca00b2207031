"""Single texts on a GPU: what its kernels take of a call, and CUDA graphs, which spare it their launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Model, Parameters, Unsupported

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.training.model import TorchModel

STEP = 16  # a graph has one shape: texts are padded to the next multiple
CLOSE = 1e-3  # largest difference from the model itself, relative to the logits' size

disordered = False  # a capture failed in this process, after which its GPU's generator is of no more use


def padded(ids: Sequence[int], padding: int) -> NDArray[np.int64]:
    """One text's ids (1, L), L the next multiple of STEP."""
    found = np.full((1, -(-max(1, len(ids)) // STEP) * STEP), padding, dtype=np.int64)
    found[0, : len(ids)] = ids
    return found


def kernels_ms(model: TorchModel, texts: Sequence[str]) -> float:
    """The median of the milliseconds from the first kernel's start to the last one's end, by CUDA events."""
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
    """A torch model whose work on one text is a CUDA graph for each length, captured beforehand."""

    def __init__(self, model: TorchModel, texts: Sequence[str]) -> None:
        """Capture the lengths of some texts, and check that the graphs compute what the model does.

        Raises Unsupported where its work depends on more than shapes, or comes out differently.
        """
        if type(model).decide is not Model.decide:
            raise Unsupported("no CUDA graph: what it decides on is not in its outputs alone")
        if model.featuriser.marks == "masks":
            raise Unsupported("CUDA graphs need outputs whose shape follows from that of the ids")
        self.featuriser = model.featuriser
        self._module = model.module
        self._device = model.context.device
        self._graphs: dict[int, tuple[Any, Any, Any]] = {}  # by length: ids, graph, logits
        try:
            for text in texts:
                self._ready(padded(self.featuriser.encode([text])[0], self.featuriser.padding))
            expected = model.predict(texts)
            found = np.concatenate([self.predict([text]) for text in texts])
        except Exception as error:  # CUDA's own, and what modules raise that cannot be captured
            global disordered
            disordered = True
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise Unsupported(f"no CUDA graph: {why}") from error
        if not np.abs(expected - found).max() <= CLOSE * max(1.0, float(np.abs(expected).max())):
            raise Unsupported("no CUDA graph: it computes something else than the model")

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.api.Model`; one text at a time, of the lengths that were captured."""
        import torch

        found = []
        for text, encoded in zip(texts, self.featuriser.encode(texts), strict=True):
            ids = padded(encoded, self.featuriser.padding)
            given, graph, logits = self._ready(ids)
            given.copy_(torch.from_numpy(ids))
            graph.replay()
            block = logits.float().cpu().numpy()
            if self.featuriser.marks:  # words that are not read have zeros
                read = block[ids >= self.featuriser.size]
                block = np.zeros((text.count(" ") + 1, block.shape[2]), dtype=np.float32)
                block[: len(read)] = read
            found.append(block)
        return np.concatenate(found)

    def _ready(self, ids: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """The graph for ids of a length, captured now where it is not yet."""
        import torch

        length = ids.shape[1]
        if length not in self._graphs:
            given = torch.from_numpy(ids).to(self._device)
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.no_grad(), torch.cuda.stream(side):  # libraries choose their kernels here
                for _ in range(3):
                    self._module(given)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.no_grad(), torch.cuda.graph(graph):
                logits = self._module(given)
            self._graphs[length] = given, graph, logits
        return self._graphs[length]

    def save(self, folder: Path) -> None:
        """Not needed: it is the model, otherwise run."""
        raise Unsupported("a CUDA graph is not kept")

    def parameters(self) -> Parameters:
        """Those of the model."""
        raise Unsupported("parameters are counted on the model itself")
