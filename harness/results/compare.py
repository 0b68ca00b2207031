"""What got better, what got worse, and what cannot be told apart: two sets of results, or two rows of one.

Two sets are matched by configuration, not by cell key, so that results of other code, versions or precision
compare; but only on the same data. Scores are compared on the same test texts where both sets have
predictions, else over seeds alone (see :mod:`harness.results.statistics`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import HarnessError
from harness.metrics import LOWER_IS_BETTER
from harness.parameters import choices, nearest
from harness.results import predictions, record
from harness.results.columns import printable, significant
from harness.results.intervals import SIGNIFICANT, estimates, held_by, tokens_of
from harness.results.ranking import Row, Stat, Table, build, mixed_scales
from harness.results.record import PARTS, contains
from harness.results.rows import found_in, telling, wanted_by
from harness.writing import dumps

if TYPE_CHECKING:
    from rich.console import Group

    from harness.results.predictions import Prediction
    from harness.results.statistics import Difference

# In the order in which they are told.
VERDICTS = ("worse", "failed", "better", "not separable", "not testable", "only in A", "only in B")
TITLES = {
    "worse": "worse",
    "failed": "no result any more",
    "better": "better",
    "not separable": "not separable",
    "not testable": "not testable: one seed and no predictions of both, or other vocabularies",
    "only in A": "only in A",
    "only in B": "only in B",
}
_WEIGHTS = ("latency_", "cost_", "size_", "parameters_")
_RATES = ("cost_texts_per_s", "cost_examples_per_s", "cost_examples")


class Results(NamedTuple):
    """A folder of results, read."""

    name: str
    tables: tuple[Table, ...]
    predictions: Mapping[str, Prediction]


@dataclass(frozen=True)
class Pair:
    """One configuration in A and in B, or two rows of one table; the difference is B less A."""

    table: Table
    a: Row | None
    b: Row | None
    metric: str
    verdict: str = "not testable"
    difference: Difference | None = None  # its p is corrected

    def stat(self, row: Row | None) -> Stat | None:
        """The metric of one side."""
        return row.stats.get(self.metric) if row is not None else None


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared."""

    a: str
    b: str
    pairs: tuple[Pair, ...]
    tests: int  # the number of comparisons that p values are corrected for

    def of(self, verdict: str) -> list[Pair]:
        """The pairs of one verdict."""
        return [pair for pair in self.pairs if pair.verdict == verdict]

    def fails(self, on: str) -> bool:
        """Whether there is a "regression" (worse, or no result any more), or "any" difference at all."""
        bad = {"regression": VERDICTS[:2], "any": tuple(v for v in VERDICTS if not v.startswith("not "))}[on]
        return any(pair.verdict in bad for pair in self.pairs)


def load(where: Path) -> Results:
    """The results in a folder or a file of records."""
    file = where if where.is_file() else where / "records.jsonl"
    records = record.read(file)
    return Results(str(where), build(records).tables, predictions.read(file.parent))


# -- two sets ------------------------------------------------------------------------------------------------


def sets(a: Results, b: Results, metric: str | None = None) -> Comparison:
    """Every configuration of two sets of results. HarnessError where their data differ.

    A row whose parameters the other set does not have goes with the only one that lacks but some of them, or
    has some more: a component gains parameters from version to version.
    """
    _known(metric, (*a.tables, *b.tables))
    pairs: list[Pair] = []
    for table, old, new in _matched(a.tables, b.tables):
        # Of two rows that differ only in version or plugin, the better one.
        rows_a, rows_b = ({_configuration(row): row for row in reversed(rows)} for rows in (old, new))
        rows_a = {_grown(key, row, rows_a, rows_b): row for key, row in rows_a.items()}
        pairs += (
            Pair(table, rows_a.get(key), rows_b.get(key), metric or table.headline)
            for key in dict.fromkeys([*reversed(rows_b), *reversed(rows_a)])
        )
    return _tested(a.name, b.name, pairs, a.predictions, b.predictions)


def _matched(a: Sequence[Table], b: Sequence[Table]) -> Iterator[tuple[Table, Sequence[Row], Sequence[Row]]]:
    """Tables of the same data, as (either table, the rows in A, the rows in B)."""

    def named(table: Table) -> tuple[str, str | None]:
        return table.task["name"], table.task.get("source")

    def is_same(one: Table, other: Table) -> bool:
        return named(one) == named(other) and _alike(one.task["params"], other.task["params"])

    def data(table: Table) -> str | None:
        return table.task.get("fingerprint")

    for table in b:
        same = [other for other in a if is_same(other, table)]
        equal = [other for other in same if data(other) == data(table)]
        if same and not equal:
            raise HarnessError(
                f"task '{table.label}' ({table.task.get('source')} data) has other data in A (fingerprint "
                f"{str(data(same[0]))[:19]}) than in B ({str(data(table))[:19]}): scores cannot be compared"
            )
        yield table, equal[0].rows if equal else (), table.rows
    for table in a:
        if not any(is_same(other, table) for other in b):
            yield table, table.rows, ()


def _grown(key: str, row: Row, own: Mapping[str, Row], others: Mapping[str, Row]) -> str:
    """The key by which the other set has a row: its own, or that of the one that it is but for growth."""

    def akin(row: Row, rows: Mapping[str, Row], than: Mapping[str, Row]) -> list[str]:
        return [other for other, each in rows.items() if other not in than and _is_akin(each, row)]

    if key in others or len(found := akin(row, others, own)) != 1:
        return key
    return found[0] if akin(others[found[0]], own, others) == [key] else key


def _is_akin(one: Row, other: Row) -> bool:
    """Whether two rows are the same but for parameters that only one of them has."""

    def told(row: Row, what: str) -> list[Any]:
        return [(row.parts.get(part) or {}).get(what) for part in PARTS]

    same = one.role == other.role and told(one, "name") == told(other, "name")
    return same and _alike(told(one, "params"), told(other, "params"))


def _alike(one: Any, other: Any) -> bool:
    """Whether parameters are the same, but for some that only one of the two has."""
    return contains(one, other) or contains(other, one)


def _configuration(row: Row) -> str:
    parts = [(part["name"], part["params"]) if part else None for part in map(row.parts.get, PARTS)]
    return json.dumps([row.role, parts], sort_keys=True, default=str)


# -- two rows ------------------------------------------------------------------------------------------------


def rows(results: Results, a: str, b: str, metric: str | None = None) -> Comparison:
    """Two rows of one set, each named like "student=mlp,loss=kl", in every table that has both."""
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
                    f"'{expression}' names {len(found)} rows of {table.label} ({table.task.get('source')} "
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
        raise HarnessError(f"no table of {results.name} has {what} with a result")
    return _tested(a, b, pairs, results.predictions, results.predictions)


# -- the test ------------------------------------------------------------------------------------------------


def _known(metric: str | None, tables: Iterable[Table]) -> None:
    known = {name for table in tables for row in table.rows for name in row.stats}
    if metric is not None and metric not in known:
        raise HarnessError(
            f"these results have no metric '{metric}'{nearest(metric, known) or choices(metric, known)}"
        )


def lower_is_better(metric: str) -> bool:
    """Whether less of it is better: losses, and what a model weighs and costs."""
    plain = metric.removeprefix("validation_")
    return plain in LOWER_IS_BETTER or (plain.startswith(_WEIGHTS) and plain not in _RATES)


def _tested(
    a: str, b: str, pairs: Sequence[Pair], held_a: Mapping[str, Prediction], held_b: Mapping[str, Prediction]
) -> Comparison:
    """The pairs with their differences, p values corrected for the number of them, and verdicts."""
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
    """One of VERDICTS; nothing where there is nothing to compare on either side."""
    if difference is None:
        a, b = (pair.stat(row) is not None for row in (pair.a, pair.b))
        if a and not b:
            return "failed" if pair.b is not None and not pair.b.seeds else "only in A"
        return ("not testable" if a else "only in B") if b else ""
    if difference.p >= SIGNIFICANT:
        return "not separable"
    return "worse" if (difference.value > 0) == lower_is_better(pair.metric) else "better"


def scales(pair: Pair) -> str:
    """Why the metric of the two sides is not on one scale; "" where it is."""
    from harness.results.perplexity import OF_GUESSES

    told = pair.metric.removeprefix("validation_") in OF_GUESSES
    return mixed_scales([row for row in (pair.a, pair.b) if row is not None]) if told else ""


def differences(
    pairs: Sequence[Pair], held_a: Mapping[str, Prediction], held_b: Mapping[str, Prediction]
) -> list[Difference | None]:
    """B less A of each pair, p not corrected.

    None where neither texts nor seeds can tell, and where the two are not on one scale.
    """
    found = [None if scales(pair) else _over_seeds(pair) for pair in pairs]
    # All rows of a table on the same resamples, once; of language models those that saw the same tokens.
    alike = [
        (id(pair.table), pair.metric, tokens_of(held_by(pair.a, held_a) if pair.a else None))
        for pair in pairs
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
        estimated = estimates(metric, [row for row, _ in both], [cells for _, cells in both])
        if isinstance(estimated, str):
            continue
        at = {index: place for place, index in enumerate(estimated[0])}
        for place, i in enumerate(which):
            if 2 * place in at and 2 * place + 1 in at and not scales(pairs[i]):
                found[i] = estimated[1].compare(at[2 * place + 1], at[2 * place], _seeds_pair(pairs[i]))
    return found


def _over_seeds(pair: Pair) -> Difference | None:
    """The difference of the means; None where seeds do not tell, as those that all gave the same score."""
    from harness.results.statistics import welch

    a, b = pair.stat(pair.a), pair.stat(pair.b)
    if a is None or b is None:
        return None
    counted = pair.metric.startswith(_WEIGHTS)  # bytes, say, in which there is no luck
    return welch(b, a) if a.std or b.std or a.mean == b.mean or counted else None


# -- forms ---------------------------------------------------------------------------------------------------


def to_json(comparison: Comparison) -> str:
    """Everything, with means, deviations and numbers of seeds; differences are B less A."""
    value = {
        "schema": 1,
        **{name: getattr(comparison, name) for name in ("a", "b", "tests")},
        "counts": {verdict: len(comparison.of(verdict)) for verdict in VERDICTS},
        "rows": [_json(pair) for pair in comparison.pairs],
    }
    return dumps(value, indent=1) + "\n"


def _json(pair: Pair) -> dict[str, Any]:
    sides = {"a": pair.a, "b": pair.b}
    return {
        "verdict": pair.verdict,
        "task": {name: pair.table.task.get(name) for name in ("name", "params", "source", "fingerprint")},
        **{
            f"row_{side}": row and {"role": row.role, **{part: row.parts[part] for part in PARTS}}
            for side, row in sides.items()
        },
        "metric": pair.metric,
        **{side: (stat := pair.stat(row)) and vars(stat) for side, row in sides.items()},
        "difference": pair.difference and pair.difference._asdict(),
    }


def to_rich(comparison: Comparison) -> Group:
    """A table for each verdict, and a sentence that counts them."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[Any] = [Text(f"A: {printable(comparison.a)}"), Text(f"B: {printable(comparison.b)}"), Text()]
    for verdict in VERDICTS:
        pairs = comparison.of(verdict)
        if not pairs:
            continue
        parts.append(Text(TITLES[verdict], style=STYLES.get(verdict, "bold")))
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for title in ("row", "metric", "A", "B", "B - A", "95 % interval", "p"):
            grid.add_column(title, justify="left" if title in ("row", "metric") else "right", overflow="fold")
        for pair in pairs:
            grid.add_row(*(Text(printable(text)) for text in _cells(pair)))
        parts += [grid, Text()]
    return Group(*parts, Text(summary(comparison)))


STYLES = {"worse": "bold red", "failed": "bold red", "better": "bold green"}


def summary(comparison: Comparison) -> str:
    """One sentence: how many of each, and what p means."""
    counts = [(len(comparison.of(verdict)), verdict) for verdict in VERDICTS]
    told = ", ".join(f"{count} {verdict}" for count, verdict in counts if count) or "nothing to compare"
    methods = {pair.difference.method for pair in comparison.pairs if pair.difference}
    how = {
        "bootstrap": "on the same texts and over seeds",
        "mcnemar": "on the same texts (McNemar)",
        "welch": "over seeds alone (Welch)",
    }
    parts = [told]
    if methods:
        tests = f"{comparison.tests} comparison{'' if comparison.tests == 1 else 's'}"
        parts.append(f"{' or '.join(how[m] for m in sorted(methods))}, p corrected for {tests} (Holm)")
    parts += dict.fromkeys(filter(None, map(scales, comparison.pairs)))
    return f"{'; '.join(parts)}."


def _cells(pair: Pair) -> list[str]:
    share = _share(pair)
    sides = [_score(stat, share) if (stat := pair.stat(row)) else "" for row in (pair.a, pair.b)]
    found = pair.difference
    gap = [signed(number, share) for number in (found.value, found.low, found.high)] if found else []
    return [
        describe(pair),
        f"{pair.metric}, %" if share else pair.metric,
        *sides,
        *([gap[0], f"{gap[1]} to {gap[2]}", f"{found.p:.3g}"] if found else ["", "", ""]),
    ]


def _share(pair: Pair) -> bool:
    """Whether the metric is a share, which is shown in percent."""
    stats = [stat for row in (pair.a, pair.b) if (stat := pair.stat(row))]
    weighs = pair.metric.startswith(_WEIGHTS)
    return not weighs and not lower_is_better(pair.metric) and max(abs(s.mean) for s in stats) <= 1


def _score(stat: Stat, share: bool) -> str:
    numbers = [stat.mean, *([] if stat.std is None else [stat.std])]
    return " ± ".join(f"{100 * number:.1f}" if share else significant(number) for number in numbers)


def signed(number: float, share: bool) -> str:
    """A difference with its sign; of a share, in percentage points."""
    if share:
        return f"{round(100 * number, 1) or 0.0:+.1f}"
    return f"{'-' if number < 0 else '+'}{significant(abs(number))}"


def describe(pair: Pair) -> str:
    """The task, and the row's parts where they are not those that A and B name themselves."""
    task = f"{pair.table.label} ({pair.table.task.get('source')})"
    one = pair.b or pair.a
    if one is None or (pair.a is not None and pair.b is not None and not _same(pair)):
        return task
    names = [one.labels[part] for part in ("student", "teacher", "augmenter", "loss") if one.labels[part]]
    return f"{task}: {one.role} {' · '.join(names)}"


def _same(pair: Pair) -> bool:
    return pair.a is not None and pair.b is not None and _configuration(pair.a) == _configuration(pair.b)


def _seeds_pair(pair: Pair) -> bool:
    """Whether the two sides are runs of one configuration with the same seeds."""
    return _same(pair) and pair.a is not pair.b and pair.a.seeds == pair.b.seeds  # type: ignore[union-attr]
