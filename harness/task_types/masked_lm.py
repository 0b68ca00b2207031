"""Masked language modelling: tokens of a text are hidden, and a model predicts them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from harness.task_types.base import (
    DIGITS,
    GOLD,
    Answers,
    Asked,
    ClassWeights,
    Cleaned,
    Examples,
    Metric,
    Prediction,
    Probe,
    Scores,
    Shipped,
    TaskType,
    Watched,
)
from harness.task_types.classification import TINY, cross_entropy, topical
from harness.values import MASK, Batch, HarnessError, Masked, Model
from harness.wording import spaced

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

    from harness.task_types.neighbours import Neighbours

_WATCHED = 2_000  # validation texts with hidden tokens to predict, while a model is trained
_TOKENS = 5  # default number of alternatives for a MASK
_AT_ONCE = 32  # texts in a batch: each MASK has a logit for every token of the vocabulary
_BUDGET = 1024  # ids whose logits are compared at once
_SHOWN = 20  # words whose neighbours are in the record
_BEFORE = "_before"  # for a teacher's neighbours before it was fine-tuned
_NEIGHBOURS = {  # shares of words' nearest neighbours that the teacher has too
    "neighbours_embeddings": "same neighbours, embeddings",
    "neighbours_hidden": "same neighbours, hidden",
    "neighbours_embeddings_before": "neighbours as before, embeddings",
    "neighbours_hidden_before": "neighbours as before, hidden",
}


@dataclass(frozen=True)
class MaskedLanguageModelling(TaskType):
    """Masked language modelling: the data are texts without classes or labels."""

    name = "language-modelling"
    marks = "masks"
    headline = "perplexity"
    beside = ("masked_accuracy", *_NEIGHBOURS)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "perplexity": Metric(lower_is_better=True, low=1.0, high=math.inf),
        "nll": Metric(lower_is_better=True, high=math.inf),
        **{name: Metric(title) for name, title in _NEIGHBOURS.items()},
    }
    legend = (
        "Of language models: perplexity is of hidden tokens, the same ones for models of one vocabulary; a "
        "gain is how far it falls, and agreement is on tokens. same neighbours: of the ten words nearest to "
        "each of the most frequent ones, by input embeddings or by last hidden states, the share that the "
        "teacher has too; neighbours as before: the same for the teacher as it was before it was trained on "
        "these texts."
    )
    learns_from = "hidden words"
    recorded = GOLD  # logits over the vocabulary are too large to store; the teacher runs during training
    call = "tokens"
    pipeline = "fill-mask"
    example = f"a {MASK} text"
    scaled = frozenset({"perplexity", "nll", "masked_accuracy"})
    scale_note = "vocabularies differ, and perplexities are on one scale only within a vocabulary"
    scale_column = ("hidden tokens", "tokens")

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule about the column ``text`` that a task's tables break."""
        import pyarrow as pa

        for name, table in tables.items():
            if "text" not in table.column_names:
                yield f"table '{name}' must have the column 'text'"
                continue
            kind = table.schema.field("text").type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                yield f"column 'text' of table '{name}' must contain strings, got {kind}"
            if table.num_rows == 0:
                yield f"table '{name}' must have rows"

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the texts, without empty ones and those that contain the mask."""
        texts: list[str] = []
        dropped: Counter[str] = Counter()
        for text in table["text"].to_pylist():
            if not text or not text.strip():
                dropped["the text is empty"] += 1
            elif MASK in text:
                dropped[f"the text contains {MASK}, which is reserved for hidden words"] += 1
            else:
                texts.append(text)
        return Cleaned(texts, [], dict(dropped))

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return neither classes nor labels."""
        return (), {}

    def stored(self) -> None:
        """Return None, because there are no labels."""
        return

    # -- learning ------------------------------------------------------------------------------------------

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the perplexity of hidden tokens of the validation set."""
        from harness.task_types.token_scores import language_modelling

        nll = float(language_modelling(asked.masked(_WATCHED))["nll"])
        return Watched(-nll, "validation_perplexity", math.exp(min(nll, 700.0)))

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return None; raise HarnessError for class weights, because there are no classes."""
        if how != "uniform":
            raise HarnessError(
                f"cannot use class_weights = '{how}': language modelling has no labels; remove the parameter"
            )
        return None

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of the hidden tokens."""
        return cross_entropy(logits, batch)

    # -- scoring -------------------------------------------------------------------------------------------

    def ask(self, model: Model, texts: Sequence[str], classes: Sequence[str]) -> Answers:
        """Return the prediction for each hidden token, instead of logits."""
        import numpy as np

        types = (np.int32, np.int32, np.int32, np.float32)
        masked = model.masked(texts)
        return {
            name: np.ascontiguousarray(part, dtype=kind)
            for name, part, kind in zip(masked._fields, masked, types, strict=True)
        }

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of :func:`harness.task_types.token_scores.language_modelling`."""
        from harness.task_types.token_scores import language_modelling

        return language_modelling(_masked(answers))

    def agreement(self, answers: Answers, teacher: Answers) -> float | None:
        """Return the share of hidden tokens with the same most probable token.

        Return None if other tokens were hidden from the teacher.
        """
        import numpy as np

        own, other = _masked(answers), _masked(teacher)
        if not all(np.array_equal(a, b) for a, b in zip(own[:2], other[:2], strict=True)):
            return None
        return float((own.predicted == other.predicted).mean())

    def probe(
        self,
        model: Model,
        untuned: Callable[[], Model | None],
        texts: Sequence[str],
        teacher: Mapping[str, Any] | None,
    ) -> Probe:
        """Return the nearest neighbours of frequent words, and the share of them that a teacher has too.

        The neighbours of a fine-tuned teacher are compared with those of the pretrained model.
        """
        from harness.task_types import neighbours

        words = neighbours.words_of(texts)
        own: Neighbours = neighbours.neighbours_of(model, words)
        before: Neighbours = {}
        scores: dict[str, float] = {}
        if teacher is not None:
            before = {kind: teacher[kind + _BEFORE] for kind in neighbours.KINDS if kind + _BEFORE in teacher}
            scores |= neighbours.scores(own, dict(teacher))
        elif (start := untuned()) is not None:
            before = neighbours.neighbours_of(start, words)
        scores |= neighbours.scores(own, before, _BEFORE)
        found = own | ({} if teacher is not None else {kind + _BEFORE: near for kind, near in before.items()})
        asked = words.asked[:: max(1, len(words.asked) // _SHOWN)][:_SHOWN]
        shown = {kind: {word: near[word] for word in asked} for kind, near in found.items()}
        return Probe("neighbours", scores, found, shown)

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction:
        """Return the number of hidden tokens of each text, and how many are predicted correctly."""
        import numpy as np

        from harness.task_types.token_scores import hidden, likelihoods

        masked = _masked(answers)

        def by_text(weights: Any = None) -> NDArray[Any]:
            return np.bincount(masked.rows, weights, minlength=len(examples))

        return Prediction(
            predicted=by_text(masked.predicted == masked.gold).astype(np.int16),
            confidence=np.zeros(0, np.float32),
            gold=by_text().astype(np.int16),
            task_type=self,
            numbers=by_text(likelihoods(masked)).astype(np.float32),
            scale=hidden(masked),
        )

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return perplexity, negative log-likelihood and masked accuracy."""
        from harness.task_types.token_scores import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return the counts of the texts with a hidden token; a text may be too short for one."""
        import numpy as np

        from harness.task_types.token_scores import Guesses

        gold = predictions[0].gold
        has = gold > 0
        nll = np.stack([one.numbers for one in predictions if one.numbers is not None]).astype(np.float64)
        right = np.stack([one.predicted for one in predictions]).astype(np.float64)
        return Guesses(right[:, has], nll[:, has], gold.astype(np.float64)[has]), int(has.sum())

    # -- shipping ------------------------------------------------------------------------------------------

    def unfit(self, classes: Sequence[str]) -> str:
        """Return why a model cannot have these classes: it has none."""
        return f"a language model has no labels, got {len(classes)}" if classes else ""

    def short(self, model: Shipped) -> Callable[[str], list[str]]:
        """Return a function from one text to the most probable token for each MASK."""
        reads: Any = model.featuriser
        single, encode, name = model.single, reads.encode, reads.tokenizer.id_to_token
        return lambda text: [name(i) or "" for i in single(encode((text,))[0]).argmax(axis=1).tolist()]

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return `masks`: for each MASK its best `token`, the `score`, and the `top` tokens.

        Token and score are null for a MASK that was cut off at the maximum length.
        """
        blocks = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
        return [answer for block in blocks for answer in _predicted(model, block, top or _TOKENS)]

    def as_tsv(self, answer: Mapping[str, Any], top: int | None = None) -> str:
        """Return the predicted tokens, separated by spaces; with `top`, a cell with the best of each MASK."""
        if top is not None:
            best = [each.get("top", [each]) for each in answer["masks"]]
            return "\t".join(spaced(one["token"] or "" for one in ranked) for ranked in best)
        return spaced(each["token"] or "" for each in answer["masks"])

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares all tokens except padding, and the accuracy on hidden tokens.

        `outputs` counts all tokens, none of them hidden. On hidden tokens, `perplexity` is the form's,
        `risen` is the rise of the mean negative log-likelihood in nats, and `risen_error` its standard error.
        """
        return lambda form: _compared(model, form, examples.texts)

    def queries(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with their middle words hidden."""
        hidden = []
        for words in map(str.split, texts):
            if words:
                words[len(words) // 2] = MASK
                hidden.append(" ".join(words))
        return hidden

    def card(self, classes: Sequence[str]) -> str:
        """Return a sentence about the predicted tokens."""
        return f"It predicts the most probable tokens for each `{MASK}` in a text, with their probabilities."

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """Return examples without labels."""
        return (
            Examples(topical(TINY[:3], ("again", "in may"), True)[0], (), task_type=self),
            Examples(topical(TINY[:3], ("now", "then"), False)[0], (), task_type=self),
        )

    def table(self, examples: Examples) -> pa.Table:
        """See :class:`TaskType`: texts alone."""
        import pyarrow as pa

        return pa.table({"text": list(examples.texts)})

    def odd_texts(self, texts: Sequence[str]) -> list[str]:
        """Return the texts, and two texts with hidden words."""
        return [*texts, f"the {MASK} is here", f"so much {MASK} {MASK} !"]

    def rows_before(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of MASKs before each text, and the total: (N + 1,)."""
        import numpy as np

        counts = np.array([text.count(MASK) for text in texts], dtype=np.int64)
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return labels of three tokens; hidden tokens always have a label."""
        import torch

        return torch.randint(0, 3, (rows,), generator=generator)

    def check_model(self, model: Model, texts: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
        """Yield each rule about hidden tokens and word vectors that a model breaks."""
        from harness.task_types.token_scores import model_problems

        return model_problems(model, texts, odd)


def _masked(answers: Answers) -> Masked:
    return Masked(*(answers[name] for name in Masked._fields))


def _predicted(model: Shipped, texts: Sequence[str], top: int) -> list[dict[str, Any]]:
    import numpy as np

    reads: Any = model.featuriser
    logits = model.predict(texts)
    read: NDArray[np.bool_] = np.any(logits, axis=1)
    # A partition is faster than a full sort.
    best = np.argpartition(-logits, min(top, logits.shape[1]) - 1, axis=1)[:, :top]
    largest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - largest).sum(axis=1, dtype=np.float64)
    found: list[dict[str, Any]] = []
    for row, places, known, high, over in zip(logits, best, read, largest[:, 0], total, strict=True):
        if not known:
            found.append({"token": None, "score": None})
            continue
        ranked = [
            {
                "token": reads.tokenizer.id_to_token(int(place)),
                "score": round(float(np.exp(float(row[place]) - float(high)) / over), DIGITS),
            }
            for place in places[np.argsort(-row[places], kind="stable")]
        ]
        found.append({**ranked[0], **({"top": ranked} if top > 1 else {})})
    masks = iter(found)
    return [{"masks": list(islice(masks, reads.masks(text)))} for text in texts]


def _compared(model: Any, form: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Return the comparison of :meth:`MaskedLanguageModelling.parity` for one form."""
    import numpy as np

    from harness.featurise.tokens import batches_by_length

    tokens = form.featuriser.tokens(texts)
    outputs, changed, difference, spread = 0, 0, 0.0, 1.0
    for rows in batches_by_length(tokens, min(_BUDGET, form.at_once)):
        ids = tokens.batch(rows)
        marked = ids + tokens.size * (ids != tokens.padding)
        expected, found = model.marked_logits(marked), form.marked_logits(marked)
        outputs += len(found)
        changed += int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
        apart = float(np.abs(expected - found).max())
        difference = max(difference, apart if apart == apart else np.inf)
        spread = max(spread, float(np.abs(expected).max()))
    old, new = model.masked(texts), form.masked(texts)
    right = [(each.predicted == each.gold).astype(np.float64) for each in (old, new)]
    count = max(1, len(right[0]))
    # Tokens of one text are not independent, so the standard errors are computed over texts.
    moved = np.bincount(old.rows, right[0] - right[1], minlength=len(texts)) / count
    worse = (old.log_likelihood - new.log_likelihood).astype(np.float64)
    risen = float(worse.sum() / count)
    apart_by_text = np.bincount(old.rows, worse - risen, minlength=len(texts)) / count
    score = [float(each.sum() / count) for each in right]
    mean = new.log_likelihood.mean(dtype=np.float64) if len(new.gold) else math.nan
    return {
        "texts": len(texts),
        "outputs": outputs,
        "changed": changed,
        "difference": difference,
        "spread": spread,
        "score": score[1],
        "lost": score[0] - score[1],
        "error": float(np.sqrt((moved**2).sum())),
        "perplexity": float(np.exp(-mean)),
        "risen": risen,
        "risen_error": float(np.sqrt((apart_by_text**2).sum())),
    }
