"""Run parts of a step on the cores that are idle at the moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from harness.values import Context

T = TypeVar("T")


class Cores:
    """The cores that a step may use; `context.cores` is asked each time, because it changes during a step.

    The results of a step must not depend on it: the parts of its work must be the same for any number.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._pool: ThreadPoolExecutor | None = None

    def run(self, parts: Sequence[Callable[[], T]]) -> list[T]:
        """Call functions, in parallel if cores are idle; return their results in order.

        torch and NumPy compute without Python's lock. Each thread has its own autocast and inference mode.
        """
        threads = min(len(parts), self.context.cores)
        if threads < 2:
            return [part() for part in parts]
        self._pool = self._pool or ThreadPoolExecutor(os.cpu_count(), "cores")
        numbers = count()  # `next` is atomic
        found: dict[int, T] = {}

        def work() -> None:
            while (number := next(numbers)) < len(parts):
                found[number] = parts[number]()

        others = [self._pool.submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            for other in others:  # also after an error, as they use the same model
                other.exception()
        for other in others:
            other.result()
        return [found[number] for number in range(len(parts))]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
