"""Keep what the checks of one component share: a folder, and what is expensive to make."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from harness.testing.tiny import CheckContext

_T = TypeVar("_T")


class Shared:
    """A folder, and what is made once for several checks: models and their predictions, mostly."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._made: dict[str, Any] = {}
        self._failed: dict[str, Exception] = {}
        self._folder: Path | None = None

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """Return what `make` returned when this name was first asked for, or raise what it raised."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._made:
            try:
                self._made[name] = make()
            except Exception as error:
                self._failed[name] = error
                raise
        return self._made[name]  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Forget everything; it is made again if asked for."""
        self._made.clear()
        self._failed.clear()

    def context(self) -> CheckContext:
        """Return a new context to fit and load in."""
        return CheckContext(self.folder("scratch"), device=self.device)

    def folder(self, name: str) -> Path:
        """Return a folder of that name, which is there; all go with this object."""
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="harness-check-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def empty(self, name: str) -> Path:
        """Return a folder of that name, emptied."""
        shutil.rmtree(self.folder(name))
        return self.folder(name)
