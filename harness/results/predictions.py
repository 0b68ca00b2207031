"""Store each model's answers on the test split in ``predictions.parquet``, beside the records.

With this file, any two rows can be compared later on the same examples, without the store. It has one row for
each cell, with the predicted classes (or the numbers of a regression) and the model's confidence, and one row
for each list of gold labels, which cells refer to by a digest. For tagging, these are the tags of the words
of all texts, one text after the other. For language modelling, they are the number of correct predictions for
the masked tokens of each text, and their likelihood. The file contains no texts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.planner import Cell
from harness.storage.files import contents, publish
from harness.task_types.base import Prediction
from harness.values import HarnessError
from harness.values import digest as text_digest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from harness.api import Examples
    from harness.plan.planner import Plan
    from harness.results.record import Record
    from harness.storage.store import Store

FILE = "predictions.parquet"
_STEPS = 255  # a confidence is stored as one byte, rounded to the nearest 1/255


def read(folder: Path) -> dict[str, Prediction]:
    """Return the predictions in a folder of results by cell key; an empty dictionary if it has no file.

    Raise HarnessError if the file is damaged or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        # read_table would import pandas.
        return _decode(pq.ParquetFile(pa.BufferReader(contents(path))).read(use_threads=False))
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.strerror is None:  # raised by pyarrow, if the bytes are not Parquet
            raise HarnessError(f"{path} is damaged; delete it and run harness bench again") from None
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
    except (pa.ArrowException, KeyError, ValueError, TypeError):
        raise HarnessError(f"{path} is damaged; delete it and run harness bench again") from None


def write(folder: Path, found: Mapping[str, Prediction], cells: Container[str] = frozenset()) -> None:
    """Replace the file of a folder atomically; without predictions, remove it.

    Predictions that :func:`read` does not return, because the plugin with their type of task is not installed
    here, are kept for the given cells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    foreign = _foreign(folder / FILE, lambda cell: cell in cells and cell not in found)
    if not found and not foreign:
        (folder / FILE).unlink(missing_ok=True)
        return
    sink = pa.BufferOutputStream()
    table = _encode(found, foreign)
    pq.write_table(table, sink, compression="zstd", compression_level=9, write_statistics=False)
    publish(folder / FILE, sink.getvalue().to_pybytes())


def _foreign(path: Path, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the rows of wanted cells whose type of task is not installed, and of their gold labels."""
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
    plan: Plan, records: Iterable[Record], store: Store, known: Iterable[str] = ()
) -> dict[str, Prediction]:
    """Return the predictions in the store for the records of a plan, without those of damaged cells.

    The predictions of `known` cells are not read: the caller has them.
    """
    ok = {record["cell"] for record in records if record["status"] == "ok"}.difference(known)
    gold: dict[str, Examples] = {}  # by the data step's key
    found = {}
    for cell in plan.cells:
        if cell.key in ok and (one := _stored(cell, gold, store)) is not None:
            found[cell.key] = one
    return found


def _stored(cell: Cell, known: dict[str, Examples], store: Store) -> Prediction | None:
    from harness.steps import data
    from harness.steps.evaluation import answers_of
    from harness.storage.store import Damaged

    steps, task_type = cell.steps, cell.task_type
    try:
        if steps["data"] not in known:
            known[steps["data"]] = data.load(store.open("data", steps["data"]), "test", task_type)
        answers = answers_of(store.open("evaluation", steps["evaluation"]), "test")
        return task_type.prediction(answers, known[steps["data"]])
    except (Damaged, KeyError, OSError):
        return None


# -- the file ------------------------------------------------------------------------------------------------


def _encode(found: Mapping[str, Prediction], more: Iterable[Mapping[str, Any]] = ()) -> pa.Table:
    import numpy as np
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
            ("confidence", pa.list_(pa.uint8())),
            ("lengths", pa.list_(pa.int32())),
            ("hidden", pa.string()),  # the scale of the predictions
        ]
    )
    rows: list[dict[str, Any]] = []
    known: set[str] = set()
    for cell, one in sorted(found.items()):
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
        quantised = np.rint(one.confidence * _STEPS).astype(np.uint8)
        row = {"cell": cell, "gold": gold, column: one.predicted, "confidence": quantised}
        rows.append(row | ({} if one.numbers is None else {"numbers": one.numbers}))
    return pa.Table.from_pylist([*rows, *more], schema)


def _decode(rows: pa.Table) -> dict[str, Prediction]:
    import numpy as np

    from harness.catalog import installed_type
    from harness.task_types.former import of_prediction

    def array(column: str, row: int) -> NDArray[Any] | None:
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
    types, lengths, scales = map(optional, ("type", "lengths", "hidden"))
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
    found = {}
    for row, cell in enumerate(cells):
        if cell is None or (one := of_gold[digests[row]]) is None:
            continue
        predicted, sure = answers(row), array("confidence", row)
        expected = len(one.gold)
        if len(predicted) != expected or sure is None or (one.lengths and sum(one.lengths) != expected):
            raise ValueError("expected as many answers as labels")
        numbers = array("numbers", row) if one.scale else None
        if one.scale and (numbers is None or len(numbers) != expected):
            raise ValueError("expected as many numbers as labels")
        confidence = (sure / np.float32(_STEPS)).astype(np.float32)
        found[cell] = one._replace(predicted=predicted, confidence=confidence, numbers=numbers)
    return found


def digest(one: Prediction) -> str:
    """Return a digest of gold labels and classes, equal for two predictions on the same examples."""
    kind = "f" if one.task_type.column == "numbers" else "i"
    words = [str(one.lengths)] if one.lengths else [one.scale] if one.scale else []
    return text_digest("gold", kind, one.gold.tobytes().hex(), *one.classes, str(one.positive), *words)
