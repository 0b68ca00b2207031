"""Store each model's answers in ``predictions.parquet``, beside the records.

With this file, any two rows can be compared later on the same examples, without the store. It has one row for
each cell, with the predicted classes (or the numbers of a regression) and the model's confidence on the test
split, and one row for each list of gold labels, which cells refer to by a digest. Classifiers have a second
row, for the validation split, on which thresholds of confidence are chosen.

For tagging, predictions are the tags of the words of all texts, one text after the other. For language
modelling, they are the number of correct predictions for the masked tokens of each text, and their
likelihood. The file contains no texts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.plan.planner import Cell
from harness.runtime.calibration import abstains
from harness.storage.files import contents, publish
from harness.task_types.base import Prediction
from harness.values import HarnessError
from harness.values import digest as text_digest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from harness.api import Examples
    from harness.plan.planner import Plan
    from harness.results.record import Record
    from harness.storage.store import Store

FILE = "predictions.parquet"
TEST, VALIDATION = "test", "validation"
# A confidence is stored as one byte: its log-odds in steps of 1/15, from -5 to 12. Those near 1 stay apart.
_LOWEST, _PER_NAT, _MOST = -5.0, 15.0, 255
_EVENLY = 255  # in files of earlier versions: the confidence itself, in steps of 1/255


class Splits(NamedTuple):
    """Predictions by cell key; on the validation split, only those of classifiers."""

    test: dict[str, Prediction]
    validation: dict[str, Prediction]


def read(folder: Path) -> dict[str, Prediction]:
    """Return the predictions on the test split; see :func:`read_splits`."""
    return read_splits(folder).test


def read_splits(folder: Path) -> Splits:
    """Return the predictions in a folder of results; empty dictionaries if it has no file.

    Raise HarnessError if the file is damaged or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        # read_table would import pandas.
        return _decode(pq.ParquetFile(pa.BufferReader(contents(path))).read(use_threads=False))
    except FileNotFoundError:
        return Splits({}, {})
    except OSError as error:
        if error.strerror is None:  # raised by pyarrow, if the bytes are not Parquet
            raise HarnessError(f"{path} is damaged; delete it and run harness bench again") from None
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
    except (pa.ArrowException, KeyError, ValueError, TypeError):
        raise HarnessError(f"{path} is damaged; delete it and run harness bench again") from None


def write(
    folder: Path,
    found: Mapping[str, Prediction],
    cells: Container[str] = frozenset(),
    validation: Mapping[str, Prediction] | None = None,
) -> None:
    """Replace the file of a folder atomically; without predictions, remove it.

    `found` are predictions on the test split, and `validation` those on that split. Predictions that
    :func:`read` does not return, because the plugin with their type of task is not installed here, are kept
    for the given cells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    foreign = _foreign(folder / FILE, lambda cell: cell in cells and cell not in found)
    if not found and not foreign:
        (folder / FILE).unlink(missing_ok=True)
        return
    sink = pa.BufferOutputStream()
    table = _encode({TEST: found, VALIDATION: validation or {}}, foreign)
    pq.write_table(table, sink, compression="zstd", compression_level=9, write_statistics=False)
    publish(folder / FILE, sink.getvalue().to_pybytes())


def _foreign(path: Path, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the rows of wanted cells whose type of task is not installed, and of their gold labels."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.catalog import installed_type

    if not path.is_file():
        return []
    file = pq.ParquetFile(pa.BufferReader(contents(path)))
    types = file.read(["type"])["type"].unique().to_pylist() if "type" in file.schema_arrow.names else []
    absent = {name for name in types if name is not None and installed_type(name) is None}
    if not absent:
        return []
    rows = file.read(use_threads=False).to_pylist()
    for row in rows:
        if row.get("confidence"):  # of an earlier version
            row["odds"] = _odds(np.array(row["confidence"], np.float32) / _EVENLY)
    gold = {row["gold"] for row in rows if row["type"] in absent}
    kept = [row for row in rows if row["cell"] is not None and row["gold"] in gold and wanted(row["cell"])]
    used = {row["gold"] for row in kept}
    return [row for row in rows if row["cell"] is None and row["gold"] in used] + kept


def merge(
    before: Mapping[str, Prediction],
    now: Mapping[str, Prediction],
    earlier: Iterable[Record],
    records: Iterable[Record],
) -> dict[str, Prediction]:
    """Return the predictions of a run, and earlier ones of cells whose evaluation is still the same.

    `earlier` and `records` are the records before and after the run.
    """
    same = unchanged(before, earlier, records)
    return {**{cell: one for cell, one in before.items() if cell in same}, **now}


def unchanged(before: Iterable[str], earlier: Iterable[Record], records: Iterable[Record]) -> set[str]:
    """Return the cells in `before` whose evaluation is the same in the `earlier` records and in `records`.

    An evaluation that was made again (`--fresh`) may have the same key, but other results on a GPU.
    """
    made = {record["cell"]: _evaluation(record) for record in earlier}
    same = {
        record["cell"]
        for record in records
        if record["status"] == "ok" and made.get(record["cell"]) == _evaluation(record)
    }
    return same.intersection(before)


def _evaluation(record: Record) -> tuple[str | None, Mapping[str, Any] | None]:
    return (record.get("artefacts") or {}).get("evaluation"), record.get("metrics")


def collect(
    plan: Plan, records: Iterable[Record], store: Store, known: Iterable[str] = (), split: str = TEST
) -> dict[str, Prediction]:
    """Return the predictions in the store for the records of a plan, without those of damaged cells.

    The predictions of `known` cells are not read: the caller has them. On the validation split, there are
    only those of classifiers.
    """
    ok = {record["cell"] for record in records if record["status"] == "ok"}.difference(known)
    gold: dict[str, Examples] = {}  # by the data step's key
    found = {}
    for cell in plan.cells:
        wanted = cell.key in ok and (split == TEST or abstains(cell.task_type))
        if wanted and (one := _stored(cell, gold, store, split)) is not None:
            found[cell.key] = one
    return found


def _stored(cell: Cell, known: dict[str, Examples], store: Store, split: str) -> Prediction | None:
    from harness.steps import data
    from harness.steps.evaluation import answers_of
    from harness.storage.store import Damaged

    steps, task_type = cell.steps, cell.task_type
    try:
        if steps["data"] not in known:
            known[steps["data"]] = data.load(store.open("data", steps["data"]), split, task_type)
        answers = answers_of(store.open("evaluation", steps["evaluation"]), split)
        return task_type.prediction(answers, known[steps["data"]])
    except (Damaged, KeyError, OSError):
        return None


# -- the file ------------------------------------------------------------------------------------------------


def _encode(
    splits: Mapping[str, Mapping[str, Prediction]], more: Iterable[Mapping[str, Any]] = ()
) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("cell", pa.string()),  # null in a row of gold labels
            ("gold", pa.string()),  # the digest of the gold labels
            ("type", pa.string()),  # the name of the task type
            ("classes", pa.list_(pa.string())),
            ("positive", pa.int32()),
            ("labels", pa.list_(pa.int16())),
            ("numbers", pa.list_(pa.float32())),
            ("odds", pa.list_(pa.uint8())),  # of the confidence; files of earlier versions: "confidence"
            ("lengths", pa.list_(pa.int32())),
            ("hidden", pa.string()),  # the scale of the predictions
            ("split", pa.string()),  # of a cell's row; null: test
        ]
    )
    rows: list[dict[str, Any]] = []
    known: set[str] = set()
    for split, cell, one in _ordered(splits):
        gold = digest(one)
        column = one.task_type.column
        if gold not in known:
            known.add(gold)
            named = {
                "type": one.task_type.name,
                "classes": list(one.classes),
                "positive": one.positive,
                "lengths": list(one.lengths) or None,
                "hidden": one.scale or None,
            }
            rows.append({"gold": gold, column: one.gold, **named})
        row = {
            "cell": cell,
            "gold": gold,
            "split": split,
            column: one.predicted,
            "odds": _odds(one.confidence),
        }
        rows.append(row | ({} if one.numbers is None else {"numbers": one.numbers}))
    return pa.Table.from_pylist([*rows, *more], schema)


def _ordered(splits: Mapping[str, Mapping[str, Prediction]]) -> Iterator[tuple[str, str, Prediction]]:
    for split, found in splits.items():
        for cell, one in sorted(found.items()):
            yield split, cell, one


def _odds(confidence: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return confidences as they are stored."""
    import numpy as np

    share = confidence.astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(share) - np.log1p(-share)
    return np.clip(np.rint((odds - _LOWEST) * _PER_NAT), 0, _MOST).astype(np.uint8)


def _confidence(row: Callable[[str], NDArray[Any] | None]) -> NDArray[np.float32] | None:
    """Return the confidences of a row, given its columns by name."""
    import numpy as np

    if (odds := row("odds")) is not None:
        return (1 / (1 + np.exp(-(odds / _PER_NAT + _LOWEST)))).astype(np.float32)
    stored = row("confidence")
    return None if stored is None else (stored / np.float32(_EVENLY)).astype(np.float32)


def _decode(rows: pa.Table) -> Splits:
    import numpy as np

    from harness.catalog import installed_type
    from harness.task_types.former import of_prediction

    def array(column: str, row: int) -> NDArray[Any] | None:
        if column not in rows.column_names:  # of files of other versions
            return None
        value = rows[column][row]
        if not value.is_valid:
            return None
        numbers = value.values
        if numbers.null_count or not len(numbers):
            return np.asarray(numbers.to_numpy(zero_copy_only=False))
        kind = np.dtype(numbers.type.to_pandas_dtype())  # to_numpy would import pandas
        buffer = numbers.buffers()[1]
        return np.frombuffer(buffer, kind, len(numbers), numbers.offset * kind.itemsize)

    def answers(row: int) -> NDArray[Any]:
        found = array("labels", row)
        found = array("numbers", row) if found is None else found
        if found is None:
            raise ValueError("expected a row with labels or numbers, got neither")
        return found

    def optional(name: str) -> list[Any]:  # older files lack some columns
        return rows[name].to_pylist() if name in rows.column_names else [None] * len(cells)

    cells, digests = rows["cell"].to_pylist(), rows["gold"].to_pylist()
    types, lengths, scales, splits = map(optional, ("type", "lengths", "hidden", "split"))
    empty = np.zeros(0, np.float32)
    of_gold: dict[str, Prediction | None] = {}
    for row, cell in enumerate(cells):
        if cell is None:
            gold = answers(row)
            former = of_prediction(array("labels", row) is None, bool(lengths[row]), bool(scales[row]))
            task_type = former if types[row] is None else installed_type(types[row])
            if task_type is None:  # its plugin is not installed here
                of_gold[digests[row]] = None
                continue
            classes = tuple(rows["classes"][row].as_py())
            about = classes, rows["positive"][row].as_py(), tuple(lengths[row] or ())
            of_gold[digests[row]] = Prediction(gold, empty, gold, task_type, *about, None, scales[row] or "")
    found = Splits({}, {})
    for row, cell in enumerate(cells):
        if cell is None or (one := of_gold[digests[row]]) is None:
            continue
        predicted, confidence = answers(row), _confidence(partial(array, row=row))
        expected = len(one.gold)
        if len(predicted) != expected or confidence is None or (one.lengths and sum(one.lengths) != expected):
            raise ValueError("expected as many answers as labels")
        numbers = array("numbers", row) if one.scale else None
        if one.scale and (numbers is None or len(numbers) != expected):
            raise ValueError("expected as many numbers as labels")
        of_split = found.validation if splits[row] == VALIDATION else found.test
        of_split[cell] = one._replace(predicted=predicted, confidence=confidence, numbers=numbers)
    return found


def digest(one: Prediction) -> str:
    """Return a digest of gold labels and classes, equal for two predictions on the same examples."""
    kind = "f" if one.task_type.column == "numbers" else "i"
    words = [str(one.lengths)] if one.lengths else [one.scale] if one.scale else []
    return text_digest("gold", kind, one.gold.tobytes().hex(), *one.classes, str(one.positive), *words)
