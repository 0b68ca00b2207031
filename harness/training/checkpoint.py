"""Save the state of a long training, so that a killed one continues from there.

``<name>.json`` contains the position of the training, and the name and checksum of the file with the tensors.
It is replaced only after that file is complete, so a reader finds the old state or the new one, never a part.
``<name>.resumed`` contains the seconds of work before the state that a training resumed from.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from harness.api import Context

EVERY_S = 60.0  # seconds between two checkpoints, and of work that a kill loses
_SHARE = 20  # time between two checkpoints, at least, in multiples of the time to write one


class Checkpoints:
    """The checkpoints of one training in a context's folder; without a folder, nothing is saved.

    A step may train several models; the files of each are named by a digest of its `identity`, and only a
    state with the same identity is loaded.
    """

    def __init__(self, context: Context, identity: Mapping[str, Any]) -> None:
        self.folder = context.checkpoints
        self.context = context
        self.identity = json.loads(json.dumps(identity))
        canonical = json.dumps(self.identity, sort_keys=True)
        self.name = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        self._before = 0.0  # seconds of work of killed processes
        self._started = self._last = time.monotonic()
        self._took = 0.0

    @property
    def due(self) -> bool:
        """Return whether it is time to save a state."""
        return self.folder is not None and time.monotonic() - self._last > max(EVERY_S, _SHARE * self._took)

    def save(self, place: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Save a state and delete the previous one; warn, and save no more, if the disk is full."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        assert self.folder is not None
        clock = time.monotonic()
        data = self.folder / f"{self.name}-{time.time_ns()}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Copies, because safetensors refuses shared memory, such as a recurrent layer's weights on a GPU.
            save_file({name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}, data)
            state = {
                "identity": self.identity,
                "file": data.name,
                "checksum": _checksum(data),
                "seconds": self._before + clock - self._started,
                "place": place,
            }
            _replace(self._index, state)
            for old in self.folder.glob(f"{self.name}-*.safetensors"):
                if old != data:
                    old.unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                data.unlink(missing_ok=True)
            self.context.warn(
                f"cannot write a checkpoint: {error}; if killed, training restarts from the beginning"
            )
            self.folder = None
        self._last = time.monotonic()
        self._took = self._last - clock

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the state that a killed process left, or None if there is none.

        Return None, with a warning, if the state is damaged or is that of another training.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if self.folder is None:
            return None
        with suppress(OSError):
            self._resumed.unlink(missing_ok=True)
        try:
            if not self._index.is_file():
                return None
            state = json.loads(self._index.read_text(encoding="utf-8"))
            if state["identity"] != self.identity:
                raise ValueError("it belongs to another training")
            data = self.folder / Path(state["file"]).name
            if _checksum(data) != state["checksum"]:
                raise ValueError("its checksum is wrong")
            tensors = load_file(data)
            place, self._before = dict(state["place"]), float(state["seconds"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            self.context.warn(f"cannot use the checkpoint: {reason}; training restarts from the beginning")
            return None
        try:
            _replace(self._resumed, {"seconds": self._before})
        except OSError as error:
            self.context.warn(f"cannot count the seconds of the killed training: {error}")
        return place, tensors

    @property
    def _resumed(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name}.resumed"

    @property
    def _index(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name}.json"


def seconds_before(folder: Path) -> float:
    """Return the seconds of work that killed processes did for the trainings in a folder."""
    total = 0.0
    for path in folder.glob("*.resumed"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            total += float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    return total


def _replace(path: Path, value: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()
