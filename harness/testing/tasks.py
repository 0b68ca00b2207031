"""Check tasks: they find and read their splits, the same every time, in the form of their type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.api import SPLITS, Source, Task
from harness.testing.models import Named
from harness.testing.rules import Rules, type_of
from harness.testing.shared import Shared

if TYPE_CHECKING:
    from harness.catalog import Catalog


def task_checks(task: Task, shared: Shared, catalog: Catalog | None, source: str) -> Iterator[Named]:
    """Yield the checks of a task on one of its sources."""
    read = _Read(task, shared, catalog, source)
    yield "resolves", read.check_source
    yield "reads all splits", read.check_splits
    yield "has tables of its type", read.check_tables
    yield "reads the same every time", read.check_again


class _Read:
    """The tables of a task, read when a check first needs them."""

    def __init__(self, task: Task, shared: Shared, catalog: Catalog | None, source: str) -> None:
        self.task = task
        self.shared = shared
        self.catalog = catalog
        self.source = source
        self.must = Rules(task)

    def found(self) -> Source:
        """Return the source, checked."""
        return self.shared.once("source", self._found)

    def _found(self) -> Source:
        found = self.task.resolve(self.source)
        self.must(f"resolve must return a Source, got {found!r}", isinstance(found, Source))
        return found

    def tables(self) -> Mapping[str, Any]:
        """Return the tables."""
        return self.shared.once("tables", lambda: self.task.read(self.found()))

    def check_source(self) -> None:
        """Resolve to the same source every time."""
        found = self.found()
        self.must("resolve must return the same Source every time", self.task.resolve(self.source) == found)

    def check_splits(self) -> None:
        """Read a table for each split."""
        tables = self.tables()
        for split in SPLITS:
            self.must(f"read must return a table '{split}', got {', '.join(tables)}", split in tables)

    def check_tables(self) -> None:
        """Have the columns, labels and rows that the type of task asks for."""
        self.check_splits()
        with self.must.manage("its task type must be known"):
            task_type = type_of(self.task, self.catalog)
        with self.must.manage(f"its tables must be those of {task_type.name}"):
            problem = next(task_type.problems(self.tables()), None)
        self.must(problem or "", problem is None)

    def check_again(self) -> None:
        """Read the same tables every time."""
        tables, again = self.tables(), self.task.read(self.found())
        same = again.keys() == tables.keys() and all(again[name].equals(tables[name]) for name in tables)
        self.must("read must return the same tables every time", same)
