"""Show a diagnosis as tables in the terminal, or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.storage.files import dumps
from harness.wording import printable

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 20  # maximum number of classes in the table
_BAR = 30  # maximum length of a bar, in characters
_TERMS = (
    "A bag of words is a linear model that ignores the order of words. Confidence off by: how far confidence "
    "is from accuracy, on average. Agreement: texts on which teacher and bag of words give the same answer."
)


def to_json(found: Sequence[Mapping[str, Any]]) -> str:
    """Return everything that the tables show, as JSON."""
    return dumps({"schema": 1, "tasks": list(found)}, indent=1) + "\n"


def to_rich(found: Sequence[Mapping[str, Any]]) -> Group:
    """Return the data, the models and the verdict for each task."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for each in found:
        parts += [Text()] if parts else []
        parts.append(Text(printable(f"{each['task']['name']}, {each['task']['source']} data"), style="bold"))
        parts += [_grid(*_data(each)), Text(), _grid(*_classes(each)), Text(), _grid(*_models(each))]
        parts.append(Text(_TERMS, style="dim"))
        for teacher in each["teachers"]:
            if teacher["histogram"]:
                parts += [Text(), Text(f"confidence and accuracy of {printable(teacher['name'])}")]
                parts.append(_grid(*_histogram(teacher)))
        style = {"likely": "bold green", "unlikely": "bold red"}.get(each["pays"], "bold yellow")
        told = {"likely": "likely to pay", "unlikely": "unlikely to pay", "unclear": "unclear"}
        parts += [Text(), Text(f"distillation: {told[each['pays']]}", style=style)]
        parts += [Text(printable(f"- {reason}")) for reason in each["reasons"]]
    return Group(*parts)


def _grid(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, title in enumerate(titles):
        grid.add_column(title, justify="right" if number and title else "left", overflow="fold")
    for line in lines:
        grid.add_row(*(Text(printable(cell)) for cell in line))
    return grid


Laid = tuple[list[str], list[list[str]]]


def _data(found: Mapping[str, Any]) -> Laid:
    titles = [
        "split",
        "texts",
        "words: median",
        "p90",
        "longest",
        "duplicates",
        "near duplicates",
        "in train",
        "nearly in train",
    ]
    lines = []
    for split, one in found["splits"].items():
        words, twice = one["words"], one["duplicates"]
        leak = found["leaks"].get(f"{split} in train")
        lines.append(
            [
                split,
                f"{one['rows']:,}",
                *(f"{words[name]:,.0f}" for name in ("median", "p90", "longest")),
                f"{twice['exact'] + twice['folded']:,}",
                f"{twice['near']:,}",
                *([f"{leak['exact'] + leak['folded']:,}", f"{leak['near']:,}"] if leak else ["", ""]),
            ]
        )
    return titles, lines


def _classes(found: Mapping[str, Any]) -> Laid:
    splits = found["splits"]
    texts = sum(one["rows"] for one in splits.values())
    names: Counter[str] = Counter()
    for one in splits.values():
        names.update(one["classes"])
    lines = [
        [name, *(f"{one['classes'].get(name, 0):,}" for one in splits.values()), f"{count / texts:.1%}"]
        for name, count in names.most_common(_SHOWN)
    ]
    if len(names) > _SHOWN:
        lines.append([f"and {len(names) - _SHOWN} more", *[""] * (len(splits) + 1)])
    return [found["compared"]["label"], *splits, "share"], lines


def _models(found: Mapping[str, Any]) -> Laid:
    metric, title = found["compared"]["metric"], found["compared"]["title"]
    second = metric != "f1_macro" and "f1_macro" in found["bag_of_words"]
    calibrated = not found["teachers"] or any(one["ece"] is not None for one in found["teachers"])
    titles = [
        "model",
        f"{title}, %",
        "95 % interval",
        *(["macro F1, %"] if second else []),
        *(["confidence off by, %"] if calibrated else []),
        "agreement, %",
        "ahead of a bag of words, points",
    ]

    def scores(one: Mapping[str, Any]) -> list[str]:
        low_high = "–".join(f"{100 * end:.1f}" for end in one["interval"]) if one["interval"] else ""
        others = [f"{100 * one['f1_macro']:.1f}"] if second else []
        return [f"{100 * one[metric]:.1f}", low_high, *others]

    bag = found["bag_of_words"]
    lines = [[f"bag of words ({bag['student']})", *scores(bag), *[""] * (2 + calibrated)]]
    if (largest := bag["always_largest"]) is not None:
        lines.insert(0, ["always the largest class", f"{100 * largest:.1f}", *[""] * (len(titles) - 2)])
    for one in found["teachers"]:
        gap = one["headroom"]
        room = (
            f"{100 * gap['value']:+.1f} ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})" if gap else ""
        )
        agrees = f"{100 * one['agreement']:.1f}" if "agreement" in one else ""
        ece = [] if not calibrated else ["" if one["ece"] is None else f"{100 * one['ece']:.1f}"]
        lines.append([f"teacher {one['name']}", *scores(one), *ece, agrees, room])
    return titles, lines


def _histogram(teacher: Mapping[str, Any]) -> Laid:
    total = sum(one["texts"] for one in teacher["histogram"])
    lines = []
    for one in teacher["histogram"]:
        if one["texts"]:
            bar = "█" * max(1, round(_BAR * one["texts"] / total))
            edges = f"{100 * one['low']:.0f}–{100 * one['high']:.0f} %"
            right, sure = f"{100 * one['accuracy']:.1f}", f"{100 * one['confidence']:.1f}"
            lines.append([edges, f"{one['texts']:,}", sure, right, f"{bar:<{_BAR}}"])
    return ["confidence", "texts", "mean, %", "accuracy, %", ""], lines
