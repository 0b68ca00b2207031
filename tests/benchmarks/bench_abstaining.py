"""How many texts a classifier answers if few answers may be wrong, and how many answers are wrong then.

    harness bench tests/benchmarks/abstaining.toml
    python tests/benchmarks/bench_abstaining.py results/abstaining [--record]

Thresholds are chosen on the validation split, as the export step does, and errors are counted on the test
split. Then both splits are joined and divided at random, again and again: a threshold that is chosen on one
part may lead to a larger error than allowed in the other only now and then. All is computed from stored
predictions. ``abstaining-alone.toml`` has two more tasks, for files that are not in this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import machine, record, say

from harness.results.compare import Results, load
from harness.results.recommend import Candidate, forms_of, with_teacher
from harness.results.record import read
from harness.runtime.calibration import RISKS, abstains
from harness.runtime.risk import LEVEL, observed, thresholds, within
from harness.task_types.base import Prediction

DIVISIONS = 200
Judged = tuple[NDArray[np.float64], NDArray[np.bool_]]


def main() -> None:
    """Print the figures of each model, and append them to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of results")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    found = [line for folder in options.folders for line in measured(folder)]
    for line in found:
        told = [f"{line['model']:32} seed {line['seed']}, {100 * line['test_error']:.1f} % wrong"]
        for each in line["allowed"]:
            if each["coverage"] is None:
                told.append(f"{100 * each['risk']:g} %: cannot be kept")
            else:
                told.append(
                    f"{100 * each['risk']:g} %: answers {100 * each['coverage']:.1f}, "
                    f"wrong {100 * each['error']:.2f}, in divisions above {100 * each['above']:.0f}"
                )
        say("; ".join(told))
    joined = [line for folder in options.folders for line in cascades(folder)]
    for line in joined:
        both, alone = line["cascade"], line["p50_ms"]
        shares = (100 * both[part] for part in ("share", "accuracy", "teacher", "student"))
        told = "passes {:.1f} % on: {:.1f} % right, teacher {:.1f}, alone {:.1f}".format(*shares)
        times = (time or 0 for time in (both["p50_ms"], both["teacher_p50_ms"], alone))
        say(f"{line['model']:32} {told}; {' / '.join(f'{time:.3f}' for time in times)} ms")
    if options.record:
        record("abstaining", {**machine(), "level": LEVEL, "models": found, "cascades": joined})


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each model of a classifier's suite reaches."""
    results = load(folder)
    for one in read(folder / "records.jsonl"):
        held, tested = (split.get(one["cell"]) for split in (results.validation, results.predictions))
        if held is None or tested is None or not abstains(tested.task_type):
            continue
        validation, test = judged(held), judged(tested)
        rng = np.random.default_rng(0)
        yield {
            "model": name(one),
            "seed": one["seed"],
            "validation": len(validation[0]),
            "test": len(test[0]),
            "test_error": float(test[1].mean()),
            "allowed": [allowed(risk, validation, test, rng) for risk in RISKS],
        }


def allowed(risk: float, validation: Judged, test: Judged, rng: np.random.Generator) -> dict[str, Any]:
    """Return coverage and error on test, and the share of divisions whose error is above the risk."""
    point = within(thresholds(*validation), risk)
    coverage, error = observed(*test, point.threshold) if point else (None, None)
    both = [np.concatenate(parts) for parts in zip(validation, test, strict=True)]
    above, kept, sizes = 0, 0, []
    for _ in range(DIVISIONS):
        order = rng.permutation(len(both[0]))
        own, other = order[: len(validation[0])], order[len(validation[0]) :]
        chosen = within(thresholds(both[0][own], both[1][own]), risk)
        if chosen is None:
            sizes.append(0.0)
            continue
        kept += 1
        share, wrong = observed(both[0][other], both[1][other], chosen.threshold)
        sizes.append(share)
        above += wrong is not None and wrong > risk
    return {
        "risk": risk,
        "coverage": coverage,
        "error": error,
        "kept": kept / DIVISIONS,
        "mean_coverage": float(np.mean(sizes)),
        "above": above / DIVISIONS,
    }


def judged(one: Prediction) -> Judged:
    """Return the confidences of answers to texts with a gold label, and which answers are wrong."""
    known = one.gold >= 0
    return one.confidence[known].astype(np.float64), (one.predicted != one.gold)[known]


def cascades(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each student and its teacher reach together."""
    results: Results = load(folder)
    for table in results.tables:
        for row in table.rows:
            form = min(forms_of(row), key=lambda form: form.p50_ms or float("inf"))
            if (both := with_teacher(Candidate(row, form, 0.0), table, results)) is not None:
                model = f"{table.label} {row.role} {row.labels['student']}"
                yield {"model": model, "p50_ms": form.p50_ms, "cascade": both._asdict()}


def name(one: Any) -> str:
    """Return the name of a model in a record."""
    task, model = one["task"], one["student"] or one["teacher"]
    of = task["params"].get("train", task["name"]).rpartition("/")[0].rpartition("/")[2] or task["name"]
    return f"{of} {one['role']} {model['name']}"


if __name__ == "__main__":
    main()
