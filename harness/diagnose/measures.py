"""Predict from a task's data and teacher whether distillation is likely to pay.

Everything is measured on the splits as the data step stores them, and on predictions for the test split. The
verdict depends on the headroom, the teacher's score minus that of a bag of words, which is what soft labels
could transfer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.diagnose import duplicates
from harness.results.intervals import SIGNIFICANT

if TYPE_CHECKING:
    from harness.diagnose.contested import Contested
    from harness.results.statistics import Difference
    from harness.task_types.base import Prediction

BINS = 10  # bins of equal width in the confidence histogram
_ROOM = 0.01  # minimum headroom that is worth a teacher
_FEW, _LONG, _UNEVEN = 5_000, 100, 10.0  # limits: training texts; median words; largest / smallest class
_OVER, _SURE = 0.05, 0.99  # limits: calibration error; confidence at which soft labels are almost hard
_OPEN, _GUESSED = 0.01, 0.7  # limits: share of texts with contested words; accuracy on them

Rows = Sequence[tuple[str, tuple[str, ...]]]  # (text, names of its labels)


def of_data(splits: Mapping[str, Rows]) -> dict[str, Any]:
    """Return sizes, classes, lengths, duplicates, leaks and contradictions, as plain JSON values."""
    texts = {split: [text for text, _ in rows] for split, rows in splits.items()}
    counts = Counter(label for rows in splits.values() for _, labels in rows for label in labels)
    (largest, most), (smallest, least) = counts.most_common(1)[0], counts.most_common()[-1]
    total = sum(len(rows) for rows in splits.values())
    contradictory, repeated, wrong = duplicates.conflicts(row for rows in splits.values() for row in rows)
    pairs = (("train", "validation"), ("train", "test"), ("validation", "test"))
    return {
        "splits": {
            split: {
                "rows": len(rows),
                "words": _lengths(texts[split]),
                "classes": dict(sorted(Counter(label for _, labels in rows for label in labels).items())),
                "duplicates": duplicates.within(texts[split])._asdict(),
            }
            for split, rows in splits.items()
        },
        "classes": {
            "number": len(counts),
            "largest": largest,
            "share": most / total,
            "smallest": smallest,
            "imbalance": most / least,
        },
        "leaks": {
            f"{split} in {where}": duplicates.between(texts[where], texts[split])._asdict()
            for where, split in pairs
        },
        "searched": {split: min(len(each), duplicates.MOST) for split, each in texts.items()},
        "contradictions": {
            "texts": contradictory,
            "rows_repeated": repeated,
            "rows_wrong": wrong,
            "share": wrong / total,
            "share_of_repeated": wrong / repeated if repeated else None,
        },
    }


def _lengths(texts: Sequence[str]) -> dict[str, float]:
    import numpy as np

    words = np.array([len(text.split()) for text in texts])
    middle, high, higher = np.percentile(words, [50, 90, 99])
    numbers = {"mean": words.mean(), "median": middle, "p90": high, "p99": higher, "longest": words.max()}
    return {name: float(number) for name, number in numbers.items()}


def calibration(one: Prediction) -> dict[str, Any]:
    """Return a model's confidence and accuracy, also in bins of confidence, on texts with a gold label."""
    import numpy as np

    known = one.gold >= 0
    sure = one.confidence[known].astype(np.float64)
    right = one.predicted[known] == one.gold[known]
    place = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = []
    for number in range(BINS):
        inside = place == number
        bins.append(
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "texts": int(inside.sum()),
                "accuracy": float(right[inside].mean()) if inside.any() else None,
                "confidence": float(sure[inside].mean()) if inside.any() else None,
            }
        )
    return {
        "mean_confidence": float(sure.mean()),
        "overconfidence": float(sure.mean() - right.mean()),
        "sure": float((sure >= _SURE).mean()),
        "histogram": bins,
    }


def together(teacher: Prediction, other: Prediction, texts: int) -> dict[str, float]:
    """Return the shares of `texts` texts on which two models agree, only one is right, or both are wrong.

    A text may have several outputs. A model is right on it only if all are right.
    """
    gold = teacher.gold.reshape(texts, -1)
    known = (gold >= 0).all(axis=1)
    one, another = (each.predicted.reshape(texts, -1)[known] for each in (teacher, other))
    a, b = ((each == gold[known]).all(axis=1) for each in (one, another))
    same = (one == another).all(axis=1)
    return {
        "agreement": float(same.mean()),
        "only_teacher_right": float((a & ~b).mean()),
        "only_bag_of_words_right": float((b & ~a).mean()),
        "both_wrong": float((~a & ~b).mean()),
    }


def contested(words: Sequence[Contested | None]) -> dict[str, Any]:
    """Return the number of test texts that depend on contested words, and these words."""
    counts = Counter(word for word in words if word is not None)
    return {
        "texts": counts.total(),
        "share": counts.total() / max(1, len(words)),
        "words": [
            {"word": word.word, "labels": dict((word.first, word.second)), "texts": count}
            for word, count in counts.most_common()
        ],
    }


def where_contested(one: Prediction, words: Sequence[Contested | None]) -> dict[str, float]:
    """Return a model's accuracy on the texts that depend on contested words, and on all others."""
    import numpy as np

    known, right = one.gold >= 0, one.predicted == one.gold
    contested = np.array([word is not None for word in words])
    parts = {"accuracy_contested": known & contested, "accuracy_others": known & ~contested}
    return {name: float(right[part].mean()) for name, part in parts.items() if part.any()}


def headroom(gap: Difference | None) -> dict[str, float] | None:
    """Return a teacher's score minus that of a bag of words, as plain values."""
    if gap is None:
        return None
    return {name: float(getattr(gap, name)) for name in ("value", "low", "high", "p")}


# -- the verdict ---------------------------------------------------------------------------------------------


def verdict(found: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return whether distillation is likely to pay ("likely", "unlikely" or "unclear"), and the reasons."""
    pays, told = _pays(found)
    train = found["splits"]["train"]
    rows, words, classes = train["rows"], train["words"], found["classes"]
    if rows < _FEW:
        told.append(
            f"{rows:,} training texts are few: add unlabelled texts of the same kind, from which a student "
            "can learn most, or new texts by augmentation"
        )
    else:
        told.append(
            f"with {rows:,} training texts, unlabelled texts of the same kind may still help a student; "
            "augmentation by rule helps less"
        )
    if words["median"] > _LONG:
        told.append(
            f"half of the texts have more than {words['median']:.0f} words: parts of them (sentences, "
            "n-grams) are cheap new texts, and a teacher may truncate long texts"
        )
    if classes["imbalance"] > _UNEVEN:
        told.append(
            f"'{classes['largest']}' has {classes['imbalance']:.0f} times as many texts as "
            f"'{classes['smallest']}': look at macro F1, and try class weights"
        )
    leaked = sum(found["leaks"]["test in train"].values())
    if leaked:
        share = leaked / max(1, found["splits"]["test"]["rows"])
        told.append(
            f"{leaked:,} test texts ({share:.1%}) are also in the training split, exactly or nearly: the "
            "scores of all models are too high"
        )
    if wrong := found["contradictions"]["rows_wrong"]:
        told.append(
            f"{wrong:,} rows ({found['contradictions']['share']:.1%}) contradict the label of most equal "
            "texts, so no model can get them right"
        )
    if found["contested"]["share"] >= _OPEN:
        told.append(_contested(found))
    return pays, told


def _best(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the teacher with the highest score, or None."""
    metric = found["compared"]["metric"]
    return max(found["teachers"], key=lambda teacher: float(teacher[metric]), default=None)


def _contested(found: Mapping[str, Any]) -> str:
    there = found["contested"]
    words = "; ".join(
        f"{one['word']}: " + ", ".join(f"{count:,} {label}" for label, count in one["labels"].items())
        for one in there["words"][:3]
    )
    told = (
        f"{there['texts']:,} test texts ({there['share']:.1%}) depend on a word that occurs with two labels "
        f"about equally often ({words})"
    )
    best = _best(found)
    model = best or found["bag_of_words"]
    if "accuracy_contested" not in model or "accuracy_others" not in model:
        return told
    name = f"teacher {best['name']}" if best else "a bag of words"
    told += (
        f"; {name} is right on {model['accuracy_contested']:.0%} of them, and on "
        f"{model['accuracy_others']:.0%} of the others"
    )
    guessed = model["accuracy_contested"] < _GUESSED
    return told + (", so these texts hardly contain what decides between the labels" if guessed else "")


def _pays(found: Mapping[str, Any]) -> tuple[str, list[str]]:
    bag, metric, title = found["bag_of_words"], found["compared"]["metric"], found["compared"]["title"]
    score = bag[metric]
    best = _best(found)
    if best is None:
        if 1 - score < _ROOM:
            return "unlikely", [
                f"a bag of words has {title} {score:.1%}, which leaves almost nothing to gain"
            ]
        return "unclear", [
            f"a bag of words has {title} {score:.1%}, and there is no teacher to compare it with: name one "
            "with --teacher"
        ]
    gap, name = best["headroom"], best["name"]
    if gap is None:
        value, sure = best[metric] - score, False
        between = ""
    else:
        value, sure = gap["value"], gap["p"] < SIGNIFICANT
        between = f" ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"
    points = f"{100 * value:+.1f} points{between}"
    told = []
    if sure and value >= _ROOM:
        pays = "likely"
        told.append(
            f"teacher {name} is {points} ahead of a bag of words, and a student that uses word order can "
            "learn most of that"
        )
    elif value < _ROOM and (gap is None or gap["high"] < 2 * _ROOM or value <= 0):
        pays = "unlikely"
        told.append(f"the gain of teacher {name} over a bag of words is {points}: ship the bag of words")
    else:
        pays = "unclear"
        told.append(
            f"the gain of teacher {name} over a bag of words is {points}: "
            f"{found['splits']['test']['rows']:,} test texts are too few to be sure"
        )
    if best["ece"] is not None and best["ece"] > _OVER:
        over = best.get("overconfidence", 0.0) > 0
        told.append(
            f"teacher {name} is {'over' if over else 'under'}confident: its confidence differs from its "
            f"accuracy by {100 * best['ece']:.1f} points on average, so try a loss with a temperature "
            f"{'above' if over else 'below'} 1"
        )
    elif best["sure"] > 0.9:
        told.append(
            f"teacher {name} has a confidence of {_SURE:.0%} or more on {best['sure']:.0%} of the texts: its "
            "soft labels add little to hard ones, except with a temperature above 1, or on new texts"
        )
    return pays, told
