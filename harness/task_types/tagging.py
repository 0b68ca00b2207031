"""Tagging: each word of a text has a tag, and tags in sequence mark entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from harness.task_types.base import (
    DIGITS,
    Answers,
    Asked,
    ClassWeights,
    Cleaned,
    Examples,
    Metric,
    Overview,
    Prediction,
    Scores,
    Shipped,
    TaskType,
    Watched,
    ranked,
    softmax,
)
from harness.task_types.bio import OUTSIDE, classes_of, kinds_of, to_bio
from harness.task_types.classification import (
    class_prediction,
    cross_entropy,
    mean_log_probabilities,
    same_largest,
    weights_by_class,
)
from harness.values import SPLITS, Batch, HarnessError, Model, numbers_of, words_before
from harness.wording import spaced

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Tagging(TaskType):
    """Tagging: one BIO tag for each word. A text is its words, separated by single spaces."""

    name = "tagging"
    marks = "words"
    headline = "f1"
    beside = ("precision", "recall", "f1_macro", "accuracy")  # accuracy is over words, most of them outside
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1": Metric("F1"),
        "f1_macro": Metric("macro F1"),
        "accuracy": Metric(proportion=True),
    }
    counted = ("type of entity", "entities")
    call = "tags"
    pipeline = "token-classification"
    example = "words of a text"
    reads_words = True
    inputs = "sentences"

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that the columns, tags or types of entities of a task's tables break."""
        import pyarrow as pa

        def strings(kind: pa.DataType) -> bool:
            return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

        kinds: dict[str, set[str]] = {}
        for name, table in tables.items():
            if table.num_rows == 0:
                yield f"table '{name}' must have rows"
            columns = ("text",) if name == "unlabelled" else ("tokens", "tags")
            if lacking := [column for column in columns if column not in table.column_names]:
                yield f"table '{name}' must have the column '{lacking[0]}'"
                continue
            for column in columns:
                kind = table.schema.field(column).type
                lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
                right = strings(kind) if column == "text" else lists and strings(kind.value_type)
                wanted = "strings" if column == "text" else "lists of strings"
                if not right:
                    yield f"column '{column}' of table '{name}' must contain {wanted}, got {kind}"
                    return
            if name == "unlabelled":
                continue
            tags = table["tags"].to_pylist()
            pairs = zip(table["tokens"].to_pylist(), tags, strict=True)
            if not all(words and mine and len(words) == len(mine) for words, mine in pairs):
                yield f"each row of table '{name}' must have words, and a tag for each"
            try:
                kinds[name] = {tag[2:] for mine in tags for tag in to_bio(mine or ()) if tag != OUTSIDE}
            except HarnessError as error:
                yield f"tags of table '{name}' must be BIO, IOB1 or IOBES: {error}"
        if not kinds.get("train"):
            yield "table 'train' must have at least one entity"
        for split in SPLITS[1:]:
            if extra := sorted(kinds.get(split, set()) - kinds.get("train", set())):
                yield f"table '{split}' must have only types of entities of 'train', got also {extra}"

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the rows with one tag for each word; words are joined by spaces, and tags become BIO."""
        texts: list[str] = []
        labels: list[list[str]] = []
        dropped: Counter[str] = Counter()
        for words, tags in zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True):
            if not words:
                dropped["there are no words"] += 1
            elif len(words) != len(tags or ()):
                dropped["the numbers of words and tags differ"] += 1
            else:
                texts.append(joined(words))
                labels.append(to_bio(tags))
        return Cleaned(texts, labels, dict(dropped))

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return the tags of the training split, O first, and the number of each tag.

        Raise HarnessError if training has no entity, or if another split has further types.
        """
        classes = classes_of([tag for tags in labels["train"] for tag in tags])
        if len(classes) < 2:
            raise HarnessError(f"the training split of task '{task}' must have at least one entity, got none")
        numbers = {tag: number for number, tag in enumerate(classes)}
        for split in SPLITS[1:]:
            unknown = Counter(tag[2:] for tags in labels[split] for tag in tags if tag not in numbers)
            if unknown:
                listed = ", ".join(f"'{kind}' ({count} words)" for kind, count in unknown.most_common(5))
                raise HarnessError(
                    f"split '{split}' of task '{task}' has entities that are not in training: {listed}; "
                    f"expected: {', '.join(kinds_of(classes))}"
                )
        return classes, {
            split: [[numbers[tag] for tag in tags] for tags in every] for split, every in labels.items()
        }

    def overview(self, labels: Sequence[Any], where: str) -> Overview:
        """Return the number of entities of each type."""
        kinds = Counter(tag[2:] for row in labels for tag in row if tag.startswith("B-"))
        if not kinds:
            raise HarnessError(
                f"cannot train a tagger on {where}: it has no entities, because all tags are '{OUTSIDE}'; "
                "add tags such as 'B-PER'"
            )
        listed = ", ".join(f"{name} {found:,}" for name, found in kinds.most_common(8))
        told = f"{kinds.total():,} entities of {len(kinds)} types ({listed})"
        return Overview(len(classes_of([f"B-{kind}" for kind in kinds])), kinds, told)

    def stored(self) -> pa.DataType:
        """Return the Arrow type list<int32>: the number of each word's tag, or -1 if it has no tag."""
        import pyarrow as pa

        return pa.list_(pa.int32())

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return the tags of the words of all texts, concatenated, (T,) int64; -1 for a missing tag."""
        import pyarrow as pa

        chunks = [chunk.flatten() for chunk in column.chunks]
        return numbers_of(pa.chunked_array(chunks, column.type.value_type)).astype("int64")

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function that gives a new text the tags of its training text, if it has as many words."""
        labels, before = train.labels, words_before(train.texts)
        assert labels is not None

        def tags(row: int, text: str) -> list[int]:
            words = text.count(" ") + 1
            if row < 0 or words != before[row + 1] - before[row]:
                return [-1] * words
            return labels[before[row] : before[row + 1]].tolist()  # type: ignore[no-any-return]

        return tags

    def text_of(self, text: str) -> str:
        """Return the words of a text, separated by single spaces."""
        return " ".join(text.split())

    def input_of(self, value: Any) -> str | None:
        """Return a string, or a list of words, as a text; None for other values."""
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return joined(value)
        return self.text_of(value) if isinstance(value, str) else None

    def rows_before(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of words before each text, and the total: (N + 1,)."""
        return words_before(texts)

    # -- learning ------------------------------------------------------------------------------------------

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the F1 of entities on the validation set, from the largest logits."""
        from harness.task_types.entities import tagging

        assert examples.labels is not None
        before = words_before(examples.texts)
        f1 = float(tagging(examples.labels, asked.logits(), examples.classes, before)["f1"])
        return Watched(f1, "validation_f1", f1)

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return weights by the tag of a word."""
        return weights_by_class(examples, how, device)

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over the words."""
        return cross_entropy(logits, batch)

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """Return the logarithm of the members' mean probabilities."""
        return mean_log_probabilities(logits, shares)

    # -- scoring -------------------------------------------------------------------------------------------

    def ask(self, model: Model, texts: Sequence[str], classes: Sequence[str]) -> Answers:
        """Return the "logits" of each word, and the "tags" that the model chooses."""
        import numpy as np

        found = super().ask(model, texts, classes)
        tags = model.decide(list(texts), found["logits"])
        return {**found, "tags": tags.astype(np.int16)}

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of :func:`harness.task_types.entities.tagging`."""
        import numpy as np

        from harness.task_types.entities import tagging

        texts, labels = list(examples.texts), examples.labels
        assert labels is not None
        tags = answers["tags"].astype(np.int64)
        return tagging(labels, answers["logits"], examples.classes, words_before(texts), texts, tags)

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """Return the share of words for which model and teacher have the same most probable tag."""
        return same_largest(answers["logits"], teacher["logits"])

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return the tags of the words of all texts, concatenated, and the number of words of each text."""
        found = class_prediction(self, answers["logits"], examples, answers["tags"])
        if found is None:
            return None
        return found._replace(lengths=tuple(text.count(" ") + 1 for text in examples.texts))

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return F1, precision and recall of entities, and the accuracies of words."""
        from harness.task_types.entities import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return counts of entities by text; texts are resampled, because their words are not independent."""
        import numpy as np

        from harness.task_types.entities import spans_of

        first = predictions[0]
        before = np.concatenate([[0], np.cumsum(first.lengths)])
        found = [one.predicted for one in predictions]
        return spans_of(found, first.gold, before, first.classes), len(first.lengths)

    # -- shipping ------------------------------------------------------------------------------------------

    def unfit(self, classes: Sequence[str]) -> str:
        """Return why a model cannot have these classes: they must be BIO tags, the first of them O."""
        if not classes or classes[0] != OUTSIDE:
            return f"the first tag must be {OUTSIDE}"
        odd = next((tag for tag in classes[1:] if tag[:2] not in ("B-", "I-") or not tag[2:]), None)
        return "" if odd is None else f"expected a tag O, B-type or I-type, got {odd!r:.80}"

    def short(self, model: Shipped) -> Callable[[str], list[str]]:
        """Return a function from one text to the tags of its words; words that are cut off get O."""
        import numpy as np

        classes, single, encode, best = model.classes, model.single, model.featuriser.encode, model.best

        def tags(text: str) -> list[str]:
            found = single(encode((text,))[0])
            names = [classes[number] for number in best(found, np.array([len(found)]))]
            return names + classes[:1] * (text.count(" ") + 1 - len(names))

        return tags

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return the `words` of each text, their `tags` and `scores`, and the `entities`.

        An entity has its `text` and `type`, the index of the first word (`start`) and of the word after the
        last (`end`), and the lowest `score` of its words. A text without words gets empty lists.
        """
        import numpy as np

        from harness.task_types.entities import entities

        known = [text for text in texts if text]
        if known:
            decided, logits = model.answered(known)
        else:
            decided, logits = np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
        scores = softmax(logits.astype(np.float64))
        count = top or 1
        alternatives = ranked(scores, model.classes, count, "tag") if count > 1 else []
        starts = words_before(known)
        spans, kinds = entities(decided, model.classes, starts), kinds_of(model.classes)
        chosen = scores[np.arange(len(scores)), decided]
        answers = []
        for text, (first, end) in zip(known, pairwise(starts.tolist()), strict=True):
            words = text.split(" ")
            mine = spans[(spans[:, 0] >= first) & (spans[:, 0] < end)]
            answers.append(
                {
                    "words": words,
                    "tags": [model.classes[number] for number in decided[first:end]],
                    "scores": [round(score, DIGITS) for score in chosen[first:end].tolist()],
                    **({"top": alternatives[first:end]} if count > 1 else {}),
                    "entities": [
                        {
                            "text": " ".join(words[a - first : b - first]),
                            "type": kinds[kind],
                            "start": a - first,
                            "end": b - first,
                            "score": round(float(chosen[a:b].min()), DIGITS),
                        }
                        for a, b, kind in mine.tolist()
                    ],
                }
            )
        filled = iter(answers)
        nothing: dict[str, Any] = {"words": [], "tags": [], "scores": [], "entities": []}
        return [next(filled) if text else nothing for text in texts]

    def as_tsv(self, answer: Mapping[str, Any], top: int | None = None) -> str:
        """Return the tags, separated by spaces; with `top`, a cell with the best tags of each word."""
        if top is not None and "top" in answer:
            return "\t".join(spaced(one["tag"] for one in ranked) for ranked in answer["top"])
        return spaced(answer["tags"])

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares tags, and the F1 of entities."""
        import numpy as np

        from harness.task_types.differences import f1_lost, outputs_differ
        from harness.task_types.entities import spans_of

        labels = examples.labels
        assert labels is not None
        before = model.predict(examples.texts)
        decided = model.decide(examples.texts, before)
        starts = words_before(examples.texts)

        def compare(form: Any) -> dict[str, Any]:
            after = form.predict(examples.texts)
            decides = form.decide(examples.texts, after)
            counted = spans_of([decided, decides], labels, starts, examples.classes)
            right = 2 * counted.right.sum(1).astype(np.float64)  # (2, N)
            every = (counted.guessed.sum(1) + counted.gold.sum(0)).astype(np.float64)
            return {
                **outputs_differ(examples, (before, decided), (after, decides)),
                **f1_lost(right, every),
            }

        return compare

    def card(self, classes: Sequence[str]) -> str:
        """Return the types of entities, the classes and the tagging scheme."""
        return (
            f"It tags words, and so finds entities of these types: {', '.join(kinds_of(classes))}.\n"
            f"Labels: {', '.join(classes)}. The scheme is BIO: `B-` begins an entity, `I-` continues it, and "
            "`O` is outside of entities. Words are separated by single spaces: set punctuation apart as in "
            "the training data, or give lists of words."
        )

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """Return examples with two types of entities; the last training text has no tags."""
        return self._tiny(("again", "in May"), True), self._tiny(("now", "then"), False)

    def _tiny(self, times: Sequence[str], training: bool) -> Examples:
        import numpy as np

        classes = ("O", "B-sea", "I-sea", "B-star", "I-star")
        names = (("Pacific", 1), ("Black Sea", 1), ("Sirius", 3), ("Alpha Centauri", 3))
        shapes = ("the {} is far , so far", "no {} !", "I saw {} and slept", "{}", "@bo #win {}")
        texts: list[str] = []
        labels: list[int] = []
        for number, shape in enumerate(shapes if training else shapes[:2]):
            for name, first in names:
                before, _, after = f"{shape} {times[number % 2]}".partition("{}")
                texts.append(f"{before}{name}{after}")
                inside = [first, *[first + 1] * (len(name.split()) - 1)]
                labels += [*[0] * len(before.split()), *inside, *[0] * len(after.split())]
        gold = np.array(labels, dtype=np.int64)
        logits = np.where(gold[:, None] == np.arange(len(classes)), 2.0, -1.0).astype(np.float32)
        if training:
            gold[-len(texts[-1].split()) :] = -1
        return Examples(texts, classes, gold, logits if training else None, task_type=self)

    def table(self, examples: Examples) -> pa.Table:
        """See :class:`TaskType`: lists of words and of tags, null for a text without tags."""
        import pyarrow as pa

        labels = examples.labels
        assert labels is not None
        tags = []
        for first, end in pairwise(words_before(examples.texts).tolist()):
            mine = labels[first:end].tolist()
            tags.append(None if min(mine) < 0 else [examples.classes[number] for number in mine])
        strings = pa.list_(pa.string())
        words = pa.array([text.split(" ") for text in examples.texts], strings)
        return pa.table({"tokens": words, "tags": pa.array(tags, strings)})

    def odd_texts(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with single spaces; an empty text becomes one word."""
        return [self.text_of(text) or "_" for text in texts]

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return labels of three classes, some of them -1 (missing)."""
        import torch

        labels = torch.randint(0, 3, (rows,), generator=generator)
        labels[0 if unlabelled else rows // 2 + 1 :] = -1
        return labels


def joined(words: Sequence[str]) -> str:
    """Return words as a text; white space inside a word becomes an underscore."""
    return " ".join("_".join(word.split()) or "_" for word in words)
