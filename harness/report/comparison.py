"""Show a comparison as tables with a sentence, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.naming import PARTS
from harness.results.compare import VERDICTS, Comparison, Pair, same, scales
from harness.results.ranking import Stat
from harness.storage.files import dumps
from harness.wording import printable, significant

if TYPE_CHECKING:
    from rich.console import Group

TITLES = {
    "worse": "worse",
    "failed": "no result any more",
    "better": "better",
    "not separable": "not separable",
    "not testable": "not testable: one seed without predictions of both, or different vocabularies",
    "only in A": "only in A",
    "only in B": "only in B",
}
STYLES = {"worse": "bold red", "failed": "bold red", "better": "bold green"}


def to_json(comparison: Comparison) -> str:
    """Return a comparison as JSON, with means, deviations and numbers of seeds. Differences are B minus A."""
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
    """Return a table for each verdict, and a sentence with their numbers."""
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


def summary(comparison: Comparison) -> str:
    """Return a sentence with the number of each verdict and the meaning of p."""
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
    """Return whether the metric is a share, which is shown in percent."""
    return pair.table.is_share(pair.metric, [pair.a, pair.b])


def _score(stat: Stat, share: bool) -> str:
    numbers = [stat.mean, *([] if stat.std is None else [stat.std])]
    return " ± ".join(f"{100 * number:.1f}" if share else significant(number) for number in numbers)


def signed(number: float, share: bool) -> str:
    """Return a difference as a text with its sign; for a share, in percentage points."""
    if share:
        return f"{round(100 * number, 1) or 0.0:+.1f}"
    return f"{'-' if number < 0 else '+'}{significant(abs(number))}"


def describe(pair: Pair) -> str:
    """Return the task and, unless A and B are different rows, the components of the row."""
    task = f"{pair.table.label} ({pair.table.task.get('source')})"
    one = pair.b or pair.a
    if one is None or (pair.a is not None and pair.b is not None and not same(pair)):
        return task
    names = [one.labels[part] for part in ("student", "teacher", "augmenter", "loss") if one.labels[part]]
    return f"{task}: {one.role} {' · '.join(names)}"
