"""Check what a type of task makes of tables, labels and texts."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import SPLITS, Examples
from harness.testing.task_types.common import TinyType
from harness.testing.tiny import ODD_TEXTS, as_in_a_run

if TYPE_CHECKING:
    import pyarrow as pa


class DataChecks(TinyType):
    """Checks of the data of a type: its tiny examples, tables and labels."""

    def check_defaults(self) -> None:
        """Have a default for each option: records and conformance checks build a type without any."""
        lacking = [f.name for f in fields(self.type) if f.default is MISSING and f.default_factory is MISSING]
        self.must(f"all options must have defaults, and lack one: {', '.join(lacking)}", not lacking)

    def check_tiny(self) -> None:
        """Have tiny examples with other texts to validate, and the teacher's logits to train on."""
        every = [self.parts(), *(tuple(map(as_in_a_run, each)) for each in self.type.tinier())]
        for train, validation in every:
            self._check_part(train)
            self._check_part(validation)
            others = not set(train.texts) & set(validation.texts)
            self.must("tiny examples must have other texts to validate", others)
            self.must("tiny examples must have logits to train on only", validation.logits is None)
            same = train.logits is None or train.logits.shape[1:] == (len(train.classes),)
            self.must(f"logits of tiny examples must be of {len(train.classes)} classes", same)

    def _check_part(self, part: Examples) -> None:
        self.must("tiny examples must have texts", len(part) > 0)
        self.must(f"task_type of tiny examples must be {self.type}", part.task_type == self.type)
        rows = int(self.type.rows_before(part.texts)[-1])
        for name, array in (("labels", part.labels), ("logits", part.logits)):
            same = array is None or len(array) == rows
            self.must(f"{name} of tiny examples must have {rows} rows", same)
        labelled = (part.labels is not None) == (self.type.stored() is not None)
        self.must("tiny examples must have labels if `stored` has a type, and only then", labelled)

    def check_rows(self) -> None:
        """Count the rows of outputs of each text, whatever texts come with it."""
        texts = [*self.parts()[1].texts, *self.type.odd_texts(ODD_TEXTS)]
        with self.must.manage("rows_before must take empty, unknown and very long texts, and none"):
            before = self.type.rows_before(texts)
            alone = [int(self.type.rows_before([text])[-1]) for text in texts]
            none = self.type.rows_before([]).tolist()
        self.must(f"rows_before must return [0] for no texts, got {none}", none == [0])
        same = before.tolist() == np.cumsum([0, *alone]).tolist()
        self.must("rows_before must count for each text what it counts for it alone", same)

    def check_texts(self) -> None:
        """Bring new texts and inputs into the form that texts of the type have."""
        for text in self.type.odd_texts(ODD_TEXTS):
            self.must(f"odd_texts must return strings, got {text!r}", isinstance(text, str))
        for text in ODD_TEXTS:
            once = self.type.text_of(text)
            self.must("text_of must leave its own texts as they are", self.type.text_of(once) == once)
            same = self.type.input_of(text) == once
            self.must(f"input_of must return for the string {text[:20]!r} what text_of does", same)
        self.must("input_of must return None for other values", self.type.input_of(1.5) is None)
        queries = self.type.queries(list(self.parts()[1].texts))
        sound = bool(queries) and all(isinstance(query, str) for query in queries)
        self.must(f"queries must return texts, got {queries[:3]!r}", sound)

    def check_tables(self) -> None:
        """Clean the table of its tiny examples, and number the labels in it as the examples have them."""
        train, validation = self.parts()
        parts = {"train": train, "validation": validation, "test": validation}
        with self.must.manage("clean must take what table returns"):
            cleaned = {split: self.type.clean(self.type.table(part)) for split, part in parts.items()}
        kept = cleaned["validation"].texts
        self.must("clean must keep the labelled texts of a table, in order", kept == list(validation.texts))
        for split, one in cleaned.items():
            dropped = sum(one.dropped.values())
            same = len(one.texts) + dropped == len(parts[split])
            self.must("clean must keep each row or count it as dropped", same)
            even = not one.labels or len(one.labels) == len(one.texts)
            self.must("clean must return as many labels as texts", even)
        with self.must.manage("number must take what clean returns"):
            classes, stored = self.type.number("tiny", {split: one.labels for split, one in cleaned.items()})
        same = sorted(classes) == sorted(train.classes)
        self.must(f"number must name the classes {train.classes}, got {tuple(classes)}", same)
        if self.type.stored() is not None:
            labels = self.read(stored["validation"], classes)
            again = Examples(kept, tuple(classes), labels, task_type=self.type)
            same = self.type.table(again).equals(self.type.table(validation))
            self.must("number, stored and labels must keep the labels that table has", same)

    def check_labels(self) -> None:
        """Read from Arrow, in one chunk or several, the labels that were stored."""
        if self.type.stored() is None:
            return
        train, gold = self.gold()
        stored = [gold(row, text) for row, text in enumerate(train.texts)]
        labels = self.read(stored, train.classes)
        self.must("labels must read what was stored", _equal(labels, train.labels))

    def check_gold(self) -> None:
        """Give a text made from a training text its label, and one made from none no label."""
        if self.type.stored() is None:
            return
        train, gold = self.gold()
        first = train.texts[0]
        rows = int(self.type.rows_before([first])[-1])
        found = self.read([gold(0, first), gold(-1, first)], train.classes)
        assert train.labels is not None
        self.must(
            "gold must return the label of the training text", _equal(found[:rows], train.labels[:rows])
        )
        self.must("gold must return a label for each row of a new text", len(found) == 2 * rows)
        self.must(
            "gold must return no label for a text made from none", not _equal(found[rows:], found[:rows])
        )

    def check_problems(self) -> None:
        """Find nothing wrong with a sound task, and something with tables that have nothing in them."""
        import pyarrow as pa

        with self.must.manage("problems must take tables"):
            sound = self._problems(self.type.table(self.parts()[1]))
            broken = self._problems(pa.table({}))
        self.must(f"problems must yield nothing for sound tables, got: {sound}", sound is None)
        self.must("problems must yield something for tables without columns", broken is not None)

    def _problems(self, table: pa.Table) -> str | None:
        return next(self.type.problems(dict.fromkeys(SPLITS, table)), None)

    def check_words(self) -> None:
        """Describe what a model answers, for its card."""
        with self.must.manage("card must take the names of the classes"):
            card = self.type.card(self.parts()[0].classes)
        sound = isinstance(card, str) and bool(card.strip())
        self.must(f"card must return a text, got {card!r}", sound)


def _equal(one: Any, other: Any) -> bool:
    """Return whether two arrays are equal; NaN, a score that is missing, equals itself."""
    a, b = np.asarray(one), np.asarray(other)
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=bool(np.issubdtype(a.dtype, np.floating)))
    )
