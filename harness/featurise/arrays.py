"""Arrays that grow block by block, and are stored on disk if they become long."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_MEMORY = 80_000_000  # bytes; a longer array is stored on disk


class Growing:
    """An array that grows block by block: in memory, and in a file of `scratch` once it is long.

    Without `scratch`, all of it is in memory.
    """

    def __init__(self, dtype: type[np.generic], scratch: Path | None, most: int | None = None) -> None:
        self._dtype = dtype
        self._scratch = scratch
        self._most = IN_MEMORY if most is None else most  # bytes in memory
        self._blocks: list[NDArray[Any]] = []
        self._held = 0  # bytes in memory
        self._count = 0
        self._file: Path | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, block: NDArray[Any]) -> None:
        """Append a block, (N,)."""
        self._blocks.append(block)
        self._held += block.nbytes
        self._count += len(block)
        if self._held > self._most and self._scratch is not None:
            if self._file is None:  # a unique name, because several arrays may share a folder
                number, name = mkstemp(prefix="growing-", suffix=".bin", dir=self._scratch)
                os.close(number)
                self._file = Path(name)
            self._write(self._file)

    def whole(self) -> NDArray[Any]:
        """Return all blocks as one array, memory-mapped if they are in a file."""
        if self._file is None:
            return np.concatenate(self._blocks) if self._blocks else np.zeros(0, dtype=self._dtype)
        self._write(self._file)
        return np.memmap(self._file, dtype=self._dtype, mode="r")

    def _write(self, path: Path) -> None:
        with path.open("ab") as stream:
            stream.writelines(block.tobytes() for block in self._blocks)
        self._blocks, self._held = [], 0
