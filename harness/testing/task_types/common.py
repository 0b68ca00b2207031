"""Share what all checks of a type of task need: its tiny examples, and labels that went through Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.api import Examples, TaskType
from harness.testing.rules import Rules
from harness.testing.tiny import as_in_a_run

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TinyType:
    """The tiny examples of a type, and the rules that it must keep."""

    def __init__(self, task_type: TaskType) -> None:
        self.type = task_type
        self.must = Rules(task_type)

    def parts(self) -> tuple[Examples, Examples]:
        """Return the training and the validation examples, lazy and read-only."""
        with self.must.manage("tiny must return training and validation examples"):
            train, validation = self.type.tiny()
            return as_in_a_run(train), as_in_a_run(validation)

    def implements(self, *names: str) -> bool:
        """Return whether the type has its own method of each of these names."""
        return all(getattr(type(self.type), name) is not getattr(TaskType, name) for name in names)

    def gold(self) -> tuple[Examples, Callable[[int, str], Any]]:
        """Return the training examples, and the function to the label of a text made from them."""
        train = self.parts()[0]
        with self.must.manage("gold must take training examples"):
            return train, self.type.gold(train)

    def read(self, stored: Sequence[Any], classes: Sequence[str]) -> NDArray[Any]:
        """Return labels that went through an Arrow column of two chunks."""
        import pyarrow as pa

        kind, half = self.type.stored(), len(stored) // 2
        with self.must.manage(f"labels must read a column of {kind}"):
            chunks = [pa.array(part, kind) for part in (stored[:half], stored[half:])]
            return self.type.labels(pa.chunked_array(chunks, kind), tuple(classes))
