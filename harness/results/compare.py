"""Compare two sets of results, or two rows of one set: better, worse, or not significantly different.

Rows of two sets are matched by configuration, not by cell key. Results of different code, versions or
precision can therefore be compared, but only on the same data. Scores are compared on the same test texts if
both sets have predictions, and otherwise over seeds alone (see :mod:`harness.results.statistics`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from harness.api import HarnessError
from harness.results import predictions, record
from harness.results.board import build
from harness.results.intervals import SIGNIFICANT, estimates, held_by, scale_of
from harness.results.matching import configuration, matched
from harness.results.ranking import NOT_SCORES, Row, Stat, Table, mixed_scales
from harness.results.selecting import found_in, telling, wanted_by
from harness.wording import choices, nearest

if TYPE_CHECKING:
    from harness.results.statistics import Difference
    from harness.task_types.base import Prediction

# In the order in which they are shown.
VERDICTS = ("worse", "failed", "better", "not separable", "not testable", "only in A", "only in B")

_RATES = ("cost_texts_per_s", "cost_examples_per_s", "cost_examples")


class Results(NamedTuple):
    """The contents of a folder of results."""

    name: str
    tables: tuple[Table, ...]
    predictions: Mapping[str, Prediction]
    validation: Mapping[str, Prediction] = MappingProxyType({})  # predictions on that split


@dataclass(frozen=True)
class Pair:
    """One configuration in A and in B, or two rows of one table; the difference is B minus A."""

    table: Table
    a: Row | None
    b: Row | None
    metric: str
    verdict: str = "not testable"
    difference: Difference | None = None  # its p value is corrected

    def stat(self, row: Row | None) -> Stat | None:
        """Return the metric of one side."""
        return row.stats.get(self.metric) if row is not None else None


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison."""

    a: str
    b: str
    pairs: tuple[Pair, ...]
    tests: int  # the number of comparisons that p values are corrected for

    def of(self, verdict: str) -> list[Pair]:
        """Return the pairs with a verdict."""
        return [pair for pair in self.pairs if pair.verdict == verdict]

    def fails(self, on: str) -> bool:
        """Return whether there is a "regression" (worse, or no result any more), or "any" difference."""
        bad = {"regression": VERDICTS[:2], "any": tuple(v for v in VERDICTS if not v.startswith("not "))}[on]
        return any(pair.verdict in bad for pair in self.pairs)


def load(where: Path) -> Results:
    """Return the results in a folder, or in a file of records."""
    file = where if where.is_file() else where / "records.jsonl"
    records = record.read(file)
    return Results(str(where), build(records).tables, *predictions.read_splits(file.parent))


# -- two sets ------------------------------------------------------------------------------------------------


def sets(a: Results, b: Results, metric: str | None = None) -> Comparison:
    """Compare every configuration of two sets of results. Raise HarnessError if their data differ."""
    _known(metric, (*a.tables, *b.tables))
    pairs = [
        Pair(table, old, new, metric or table.headline) for table, old, new in matched(a.tables, b.tables)
    ]
    return _tested(a.name, b.name, pairs, a.predictions, b.predictions)


# -- two rows ------------------------------------------------------------------------------------------------


def rows(results: Results, a: str, b: str, metric: str | None = None) -> Comparison:
    """Compare two rows of one set in every table that has both.

    Rows are selected by texts such as "student=mlp,loss=kl". Raise HarnessError if one matches several rows
    of a table, or if no table has both.
    """
    _known(metric, results.tables)
    wanted = [wanted_by(expression, results.tables) for expression in (a, b)]
    pairs = []
    for table in results.tables:
        named = [found_in(table, each) for each in wanted]
        if not all(named):
            continue
        for expression, found in zip((a, b), named, strict=True):
            if len(found) > 1:
                raise HarnessError(
                    f"'{expression}' matches {len(found)} rows of {table.label} ({table.task.get('source')} "
                    f"data); add one of: {telling(found)}"
                )
        pairs.append(Pair(table, named[0][0], named[1][0], metric or table.headline))
    if not pairs:
        lacking = [
            f"'{expression}'"
            for expression, each in zip((a, b), wanted, strict=True)
            if not any(found_in(table, each) for table in results.tables)
        ]
        what = f"a row {' or '.join(lacking)}" if lacking else f"both '{a}' and '{b}'"
        raise HarnessError(
            f"no table of {results.name} has {what} with a result; to list the rows: harness leaderboard"
        )
    return _tested(a, b, pairs, results.predictions, results.predictions)


# -- the test ------------------------------------------------------------------------------------------------


def _known(metric: str | None, tables: Iterable[Table]) -> None:
    known = {name for table in tables for row in table.rows for name in row.stats}
    if metric is not None and metric not in known:
        raise HarnessError(
            f"these results have no metric '{metric}'{nearest(metric, known) or choices(metric, known)}"
        )


def lower_is_better(table: Table, metric: str) -> bool:
    """Return whether a lower value is better, as for losses, sizes and costs."""
    if metric.startswith(NOT_SCORES):
        return metric not in _RATES
    return table.lower_is_better(metric)


def _tested(
    a: str, b: str, pairs: Sequence[Pair], held_a: Mapping[str, Prediction], held_b: Mapping[str, Prediction]
) -> Comparison:
    """Return the comparison of the pairs, with p values corrected for the number of tests."""
    from harness.results.statistics import holm

    raw = differences(pairs, held_a, held_b)
    corrected = iter(holm([difference.p for difference in raw if difference is not None]))
    tested = []
    for pair, difference in zip(pairs, raw, strict=True):
        if difference is not None:
            difference = difference._replace(p=float(next(corrected)))
        tested.append(replace(pair, difference=difference, verdict=_verdict(pair, difference)))
    tested = [pair for pair in tested if pair.verdict]
    tested.sort(key=lambda pair: VERDICTS.index(pair.verdict))
    return Comparison(a, b, tuple(tested), sum(difference is not None for difference in raw))


def _verdict(pair: Pair, difference: Difference | None) -> str:
    """Return one of VERDICTS, or an empty string if neither side has the metric."""
    if difference is None:
        a, b = (pair.stat(row) is not None for row in (pair.a, pair.b))
        if a and not b:
            return "failed" if pair.b is not None and not pair.b.seeds else "only in A"
        return ("not testable" if a else "only in B") if b else ""
    if difference.p >= SIGNIFICANT:
        return "not separable"
    return "worse" if (difference.value > 0) == lower_is_better(pair.table, pair.metric) else "better"


def scales(pair: Pair) -> str:
    """Return why the metric has different scales on the two sides, or an empty string if it does not."""
    task_type = pair.table.task_type
    if pair.metric.removeprefix("validation_") not in task_type.scaled:
        return ""
    return mixed_scales(task_type, [row for row in (pair.a, pair.b) if row is not None])


def differences(
    pairs: Sequence[Pair], held_a: Mapping[str, Prediction], held_b: Mapping[str, Prediction]
) -> list[Difference | None]:
    """Return the difference B minus A of each pair, with an uncorrected p value.

    It is None if the pair has neither predictions nor several seeds, or if the scales differ.
    """
    found = [None if scales(pair) else _over_seeds(pair) for pair in pairs]
    # Rows of one table and scale (for language models: the same masked tokens) share their resamples.
    alike = [
        (id(pair.table), pair.metric, scale_of(held_by(pair.a, held_a) if pair.a else None)) for pair in pairs
    ]
    for one in dict.fromkeys(alike):
        metric = one[1]
        which = [
            i for i, pair in enumerate(pairs) if alike[i] == one and pair.stat(pair.a) and pair.stat(pair.b)
        ]
        both = [
            (row, held_by(row, held))
            for i in which
            for row, held in ((pairs[i].a, held_a), (pairs[i].b, held_b))
            if row is not None
        ]
        among = pairs[which[0]].table.rows if which else ()
        estimated = estimates(metric, [row for row, _ in both], [cells for _, cells in both], among)
        if isinstance(estimated, str):
            continue
        at = {index: place for place, index in enumerate(estimated[0])}
        for place, i in enumerate(which):
            if 2 * place in at and 2 * place + 1 in at and not scales(pairs[i]):
                found[i] = estimated[1].compare(at[2 * place + 1], at[2 * place], _seeds_pair(pairs[i]))
    return found


def _over_seeds(pair: Pair) -> Difference | None:
    """Return the difference of the means; None if the seeds show no variation to test it by."""
    from harness.results.statistics import welch

    a, b = pair.stat(pair.a), pair.stat(pair.b)
    if a is None or b is None:
        return None
    counted = pair.metric.startswith(NOT_SCORES)  # such as bytes, which do not depend on chance
    return welch(b, a) if a.std or b.std or a.mean == b.mean or counted else None


def same(pair: Pair) -> bool:
    """Return whether the two sides have the same configuration."""
    return pair.a is not None and pair.b is not None and configuration(pair.a) == configuration(pair.b)


def _seeds_pair(pair: Pair) -> bool:
    """Return whether the two sides are different runs of one configuration with the same seeds."""
    return same(pair) and pair.a is not pair.b and pair.a.seeds == pair.b.seeds  # type: ignore[union-attr]
