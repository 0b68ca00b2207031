"""What each model said of each test text, kept beside the records in ``predictions.parquet``.

With it any two rows can be compared on the same examples later, also from results that were committed, with
no store. One row of the file is a cell's: predicted classes, or numbers of a regression, and how sure the
model was; one more row is each list of gold labels, which its cells refer to by a digest. Of tagging, these
are the tags of all texts' words, end to end; of language modelling, how many of each text's hidden tokens
were guessed, and how likely they were thought. Nothing in it is text of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import HarnessError
from harness.task_types.kept import masked_in, tags_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from harness.api import Examples, Masked
    from harness.plan.planner import Plan
    from harness.results.record import Record
    from harness.storage.store import Artefact, Store

FILE = "predictions.parquet"
_STEPS = 255  # a confidence is kept as one byte: to the nearest 1/255


class Prediction(NamedTuple):
    """A model's answers to the test split, in its order: N texts, or of tagging the N words of all texts."""

    # (N,), int16 classes; of a regression float32 numbers; of language modelling how many tokens were guessed
    predicted: NDArray[Any]
    confidence: NDArray[np.float32]  # (N,), the predicted class's probability; empty where there are none
    # (N,), int16 with -1 for none; of a regression float32 with NaN for none; of language modelling how many
    # tokens were hidden
    gold: NDArray[Any]
    classes: tuple[str, ...] = ()  # names, by number; empty of a regression
    positive: int = -1  # of two classes the one whose F1 is the metric "f1"
    lengths: tuple[int, ...] = ()  # of tagging, how many words each text has
    nll: NDArray[np.float32] | None = None  # (N,), of language modelling: summed over a text's hidden tokens
    hidden: str = ""  # of language modelling, a digest of the tokens that were hidden

    @property
    def numeric(self) -> bool:
        """Whether these are numbers of a regression."""
        return bool(self.gold.dtype.kind == "f")


def read(folder: Path) -> dict[str, Prediction]:
    """The predictions in a folder of results, by cell key; none where there is no file.

    Raises HarnessError where the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        # read_table would import pandas.
        return _decode(pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False))
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.strerror is None:  # pyarrow's own, of bytes that are no Parquet
            raise HarnessError(f"{path} is damaged; delete it, and bench makes it again") from None
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
    except (pa.ArrowException, KeyError, ValueError, TypeError):
        raise HarnessError(f"{path} is damaged; delete it, and bench makes it again") from None


def write(folder: Path, found: Mapping[str, Prediction]) -> None:
    """Replace the folder's file by these predictions, all or nothing; without any there is no file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.storage.files import publish

    if not found:
        (folder / FILE).unlink(missing_ok=True)
        return
    sink = pa.BufferOutputStream()
    pq.write_table(_encode(found), sink, compression="zstd", compression_level=9, write_statistics=False)
    publish(folder / FILE, sink.getvalue().to_pybytes())


def merge(
    before: Mapping[str, Prediction], now: Mapping[str, Prediction], records: Iterable[Record], ran: set[str]
) -> dict[str, Prediction]:
    """A run's predictions, and those from before of the other cells that still have a record.

    `records` are all that are kept, `ran` the cells that this run has records of, well or not.
    """
    others = {record["cell"] for record in records} - ran
    return {**now, **{cell: before[cell] for cell in before if cell in others}}


def collect(plan: Plan, records: Iterable[Record], store: Store) -> dict[str, Prediction]:
    """What the store holds for these records of a plan; cells that are damaged meanwhile are left out."""
    ok = {record["cell"] for record in records if record["status"] == "ok"}
    gold: dict[str, tuple[Artefact, Examples]] = {}  # by the data step's key
    found = {}
    for cell in plan.cells:
        if cell.key in ok and (one := _stored(cell.steps, cell.task, gold, store)) is not None:
            found[cell.key] = one
    return found


def _stored(
    steps: Mapping[str, str], task: Any, known: dict[str, tuple[Artefact, Examples]], store: Store
) -> Prediction | None:
    from safetensors.numpy import load_file

    from harness.steps import data
    from harness.steps.evaluation import PREDICTIONS
    from harness.storage.store import Damaged

    try:
        if steps["data"] not in known:
            source = store.open("data", steps["data"])
            known[steps["data"]] = source, data.load(source, "test")
        kept = load_file(store.open("evaluation", steps["evaluation"]).folder / PREDICTIONS)
        masked = masked_in(kept, "test")
        logits = kept["test"] if masked is None else None
    except (Damaged, KeyError, OSError):
        return None
    source, examples = known[steps["data"]]
    if masked is not None:
        return of_guesses(masked, len(examples))
    if examples.labels is None or logits is None:
        return None
    about = examples.labels, source.result["classes"], getattr(task, "positive", "")
    # What a model decided for, such as a text's best sequence, need not be each word's largest logit.
    found = of_logits(logits, *about, kept.get(tags_of("test")))
    if found is None or not examples.of_words:
        return found
    return found._replace(lengths=tuple(text.count(" ") + 1 for text in examples.texts))


def of_logits(
    logits: NDArray[Any],
    gold: NDArray[Any],
    classes: Iterable[str],
    positive: str = "",
    decided: NDArray[Any] | None = None,
) -> Prediction | None:
    """A prediction from logits (N, C) or numbers (N, 1); None of outputs of another form, or with C > 32,767.

    `decided` are the classes (N,) of a model that does not just take the largest logit.
    """
    import numpy as np

    if logits.ndim != 2 or gold.shape != (len(logits),) or not np.isfinite(logits.max(axis=1)).all():
        return None
    if logits.shape[1] > np.iinfo(np.int16).max:  # they would be kept as other classes
        return None
    if gold.dtype.kind == "f":
        empty = np.zeros(0, np.float32)
        return Prediction(logits[:, 0].astype(np.float32), empty, gold.astype(np.float32))
    names = tuple(classes)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    answers = np.asarray(logits.argmax(axis=1) if decided is None else decided, dtype=np.int16)
    mine = np.take_along_axis(shifted, answers[:, None].astype(np.int64), axis=1)[:, 0]
    sure = (np.exp(mine) / np.exp(shifted).sum(axis=1)).astype(np.float32)
    chosen = names.index(positive) if positive in names else -1
    return Prediction(answers, sure, gold.astype(np.int16), names, chosen)


def of_guesses(masked: Masked, texts: int) -> Prediction:
    """A prediction from what a language model made of the hidden tokens of so many texts."""
    import numpy as np

    from harness.task_types.metrics import hidden, likelihoods

    def by_text(weights: Any = None) -> NDArray[Any]:
        return np.bincount(masked.rows, weights, minlength=texts)

    return Prediction(
        predicted=by_text(masked.predicted == masked.gold).astype(np.int16),
        confidence=np.zeros(0, np.float32),
        gold=by_text().astype(np.int16),
        nll=by_text(likelihoods(masked)).astype(np.float32),
        hidden=hidden(masked),
    )


# -- the file ------------------------------------------------------------------------------------------------


def _encode(found: Mapping[str, Prediction]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    schema = pa.schema(
        [
            ("cell", pa.string()),  # null in a row of gold labels
            ("gold", pa.string()),  # the digest of the gold labels
            ("classes", pa.list_(pa.string())),
            ("positive", pa.int32()),
            ("labels", pa.list_(pa.int16())),
            ("numbers", pa.list_(pa.float32())),
            ("confidence", pa.list_(pa.uint8())),
            ("lengths", pa.list_(pa.int32())),
            ("hidden", pa.string()),  # of language modelling; "numbers" are then its likelihoods
        ]
    )
    rows: list[dict[str, Any]] = []
    known: set[str] = set()
    for cell, one in sorted(found.items()):
        gold = digest(one)
        column = "numbers" if one.numeric else "labels"
        if gold not in known:
            known.add(gold)
            named = {
                "classes": list(one.classes),
                "positive": one.positive,
                "lengths": list(one.lengths) or None,
                "hidden": one.hidden or None,
            }
            rows.append({"gold": gold, column: one.gold, **named})
        quantised = np.rint(one.confidence * _STEPS).astype(np.uint8)
        row = {"cell": cell, "gold": gold, column: one.predicted, "confidence": quantised}
        rows.append(row | ({} if one.nll is None else {"numbers": one.nll}))
    return pa.Table.from_pylist(rows, schema)


def _decode(rows: pa.Table) -> dict[str, Prediction]:
    import numpy as np

    def array(column: str, row: int) -> NDArray[Any] | None:
        value = rows[column][row]
        return np.asarray(value.values.to_numpy(zero_copy_only=False)) if value.is_valid else None

    def answers(row: int) -> NDArray[Any]:
        labels = array("labels", row)
        numbers = array("numbers", row) if labels is None else labels
        if numbers is None:
            raise ValueError("a row without labels")
        return numbers

    cells, digests = rows["cell"].to_pylist(), rows["gold"].to_pylist()
    gold = {digests[row]: row for row, cell in enumerate(cells) if cell is None}
    lengths, hidden = (  # which older files lack
        rows[name].to_pylist() if name in rows.column_names else [None] * len(cells)
        for name in ("lengths", "hidden")
    )
    about = {
        key: (
            answers(row),
            tuple(rows["classes"][row].as_py()),
            rows["positive"][row].as_py(),
            tuple(lengths[row] or ()),
            hidden[row] or "",
        )
        for key, row in gold.items()
    }
    found = {}
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        labels, classes, positive, words, tokens = about[digests[row]]
        predicted, sure = answers(row), array("confidence", row)
        if len(predicted) != len(labels) or sure is None or (words and sum(words) != len(labels)):
            raise ValueError("as many answers as labels are due")
        confidence = (sure / np.float32(_STEPS)).astype(np.float32)
        nll = array("numbers", row) if tokens else None
        if tokens and (nll is None or len(nll) != len(labels)):
            raise ValueError("hidden tokens without their likelihoods")
        found[cell] = Prediction(predicted, confidence, labels, classes, positive, words, nll, tokens)
    return found


def digest(one: Prediction) -> str:
    """What two predictions share that are of the same examples: their gold labels and classes."""
    from harness.values import digest as text_digest

    kind = one.gold.dtype.kind
    words = [str(one.lengths)] if one.lengths else [one.hidden] if one.hidden else []
    return text_digest("gold", kind, one.gold.tobytes().hex(), *one.classes, str(one.positive), *words)
