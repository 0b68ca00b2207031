"""Check augmenters: they make texts of rows that exist, and the same ones from the same generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from harness.api import Augmenter, TaskType
from harness.testing.models import Named
from harness.testing.rules import Rules
from harness.testing.shared import Shared
from harness.testing.tiny import CheckContext, tiny_examples

_OTHERS = ("one", "Two sentences. Both are short.", "naïve café 🙂", "x\ty\nz")
_New = list[tuple[int, str]]


def augmenter_checks(augmenter: Augmenter, types: Sequence[TaskType], shared: Shared) -> Iterator[Named]:
    """Yield the checks of an augmenter; of drawing, for each type of task."""
    if types:
        made = _Made(augmenter, types[0], shared)
        yield "makes texts of rows", made.check_rows
        yield "same generator, same texts", made.check_generator
        yield "takes a lazy sequence", made.check_lazy
        yield "takes one text, and none", made.check_few
    for task_type in types:
        yield f"draws ({task_type.name})", partial(_check_draws, augmenter, task_type, shared)


class _Made:
    """The new texts of an augmenter, from texts in the form of a type of task."""

    def __init__(self, augmenter: Augmenter, task_type: TaskType, shared: Shared) -> None:
        self.augmenter = augmenter
        self.must = Rules(augmenter)
        self.shared = shared
        self.lazy = tiny_examples(task_type)[0].texts
        self.given = (*self.lazy, *task_type.odd_texts(_OTHERS))

    def check_rows(self) -> None:
        """Give texts of rows that there are, and leave those that it is given as they are."""
        self.first()

    def check_generator(self) -> None:
        """Give the same new texts for the same generator."""
        again = self.made(list(self.given), "a list of texts")
        self.must("the same texts and generator must give the same new texts", again == self.first())

    def check_lazy(self) -> None:
        """Give of a lazy sequence what it gives of a list."""
        of_list = self.made(list(self.lazy), "a list of texts")
        of_lazy = self.made(self.lazy, "a lazy sequence")
        self.must("a lazy sequence must give what a list does", of_lazy == of_list)

    def check_few(self) -> None:
        """Take a single text, and give nothing for no text."""
        self.made(list(self.given[:1]), "a single text")
        self.must("no texts must give no texts", not self.made([], "an empty list"))

    def first(self) -> _New:
        """Return the new texts of all texts, which are compared with those of later calls."""
        return self.shared.once("made", self._first)

    def _first(self) -> _New:
        texts = list(self.given)
        new = self.made(texts, "a list of texts")
        self.must("it must not change the texts that it is given", texts == list(self.given))
        return new

    def made(self, of: Sequence[str], what: str) -> _New:
        """Return the new texts of some texts, checked."""
        with self.must.manage(f"it must take {what}"):
            new = list(self.augmenter(of, np.random.default_rng(7)))
        return _checked(self.must, new, range(len(of)), what)


def _check_draws(augmenter: Augmenter, task_type: TaskType, shared: Shared) -> None:
    """Draw the same new texts for the same seed, of training texts or of none."""
    must, train = Rules(augmenter), tiny_examples(task_type)[0]

    def drawn() -> _New:
        with must.manage("it must draw from unlabelled texts beside others"):
            context = CheckContext(shared.empty("drawn"))
            new = list(augmenter.draw(train, ["a new text"], context))
        return _checked(must, new, range(-1, len(train)), "the training texts, or -1")

    must("the same texts and seed must draw the same new texts", drawn() == drawn())


def _checked(must: Rules, new: _New, rows: range, what: str) -> _New:
    for row, text in new:
        within = isinstance(row, int | np.integer) and row in rows
        must(f"rows must be those of {what}, below {rows.stop}, got {row!r}", within)
        sound = isinstance(text, str) and bool(text.strip())
        must(f"new texts must be strings that are not empty, got {text!r}", sound)
    return new
