"""A long training's state, kept on the way, so that a killed one goes on where it was.

``<name>.json`` says where the training stands and which file holds the numbers, with its checksum; it is
replaced when that file is whole, so that a reader finds the state before or the state after, never a part.
``<name>.resumed`` says how many seconds of work a training went on from.
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

EVERY_S = 60.0  # what a kill costs at most
_SHARE = 20  # at least so many times as long passes between two as writing one takes


class Checkpoints:
    """The states of one training in a context's folder; without a folder, nothing is kept.

    Of several trainings in one step, each has files of its own: `identity` tells them apart, and is what a
    state found there must agree with.
    """

    def __init__(self, context: Context, identity: Mapping[str, Any]) -> None:
        self.folder = context.checkpoints
        self.context = context
        self.identity = json.loads(json.dumps(identity))
        canonical = json.dumps(self.identity, sort_keys=True)
        self.name = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        self._before = 0.0  # seconds of work that a killed process did
        self._started = self._last = time.monotonic()
        self._took = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return self.folder is not None and time.monotonic() - self._last > max(EVERY_S, _SHARE * self._took)

    def save(self, place: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Keep a state in place of the one before; a full disk costs a warning."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        assert self.folder is not None
        clock = time.monotonic()
        data = self.folder / f"{self.name}-{time.time_ns()}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Copies: what shares memory, such as a recurrent layer's weights on a GPU, could not be written.
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
            self.context.warn(f"a kill would cost the whole training, as its state cannot be kept: {error}")
            self.folder = None
        self._last = time.monotonic()
        self._took = self._last - clock

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The state that a killed process left; None, with a warning, where it is damaged or another's."""
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
                raise ValueError("it is another training's")
            data = self.folder / Path(state["file"]).name
            if _checksum(data) != state["checksum"]:
                raise ValueError("its checksum is wrong")
            tensors = load_file(data)
            place, self._before = dict(state["place"]), float(state["seconds"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            self.context.warn(f"the kept state of a training is not used, and it begins anew: {reason}")
            return None
        try:
            _replace(self._resumed, {"seconds": self._before})
        except OSError as error:
            self.context.warn(f"the time that a killed training took is not counted: {error}")
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
    """The seconds of work, already done by processes that were killed, that trainings went on from."""
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
