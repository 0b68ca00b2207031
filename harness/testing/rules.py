"""What the checks of :mod:`harness.testing.checks` are told by, and what they ask of tables and losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.api import SPLITS, Batch, Component, HarnessError, Loss, Unavailable
from harness.task_types.bio import OUTSIDE, to_bio
from harness.testing.tiny import HIDDEN, TAGS, tiny_states

if TYPE_CHECKING:
    import pyarrow as pa

# What a loss may ask for.
NEEDS = frozenset({"labels", "logits", "hidden", "layers", "attention", "relations"})
NOISE = 1e-4  # what another batch's shape may change in a number, relative to the largest
_VOCABULARY = 7  # how many tokens a language model's logits are for


class Rules:
    """``must(rule, holds)``: AssertionError with the component and the rule unless it holds."""

    def __init__(self, component: Component) -> None:
        self.who = f"{component.kind} '{component.name}'"

    def __call__(self, rule: str, holds: bool) -> None:
        """Raise unless the rule holds."""
        if not holds:
            raise AssertionError(f"{self.who}: {rule}")

    @contextmanager
    def manage(self, rule: str) -> Iterator[None]:
        """Whatever is raised within breaks the rule, but for what is absent here."""
        try:
            yield
        except (AssertionError, Unavailable):
            raise
        except Exception as error:
            why = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{self.who}: {rule}, but: {why.strip().splitlines()[0]}") from error


def widths_of(component: Component) -> list[int]:
    """How many classes to check a component with: three, one for a regression's score, TAGS, or HIDDEN."""
    outputs = {"classification": 3, "regression": 1, "tagging": TAGS, "language-modelling": HIDDEN}
    return [width for kind, width in outputs.items() if kind in component.task_types]


def known(needs: frozenset[str]) -> bool:
    """Whether these are names of what a loss may ask for, and one at least."""
    return bool(needs) and needs <= NEEDS


def listed(names: frozenset[str]) -> str:
    """Names for people."""
    return ", ".join(sorted(names)) or "nothing"


def check_labels(must: Rules, tables: Mapping[str, pa.Table], scored: bool) -> None:
    """That texts have labels: of names that training has, or numbers."""
    import pyarrow as pa

    for name, table in tables.items():
        for column in ("text",) if name == "unlabelled" else ("text", "label"):
            must(f"table '{name}' must have the column '{column}'", column in table.column_names)
            kind = table.schema.field(column).type
            string = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
            wanted, right = ("numbers", number) if scored and column == "label" else ("strings", string)
            must(f"column '{column}' of table '{name}' must hold {wanted}, not {kind}", right)
        must(f"table '{name}' must have rows", table.num_rows > 0)
    labels = {split: set(tables[split]["label"].to_pylist()) - {None} for split in SPLITS}
    must(f"training must have two {'scores' if scored else 'classes'} or more", len(labels["train"]) > 1)
    for split in () if scored else SPLITS[1:]:
        extra = sorted(labels[split] - labels["train"])
        must(f"'{split}' must have no label that training lacks, got {extra}", not extra)


def check_tags(must: Rules, tables: Mapping[str, pa.Table]) -> None:
    """That words have tags, of a scheme that is known and of types that training has."""
    import pyarrow as pa

    def strings(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    kinds: dict[str, set[str]] = {}
    for name, table in tables.items():
        must(f"table '{name}' must have rows", table.num_rows > 0)
        for column in ("text",) if name == "unlabelled" else ("tokens", "tags"):
            must(f"table '{name}' must have the column '{column}'", column in table.column_names)
            kind = table.schema.field(column).type
            lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
            right = strings(kind) if column == "text" else lists and strings(kind.value_type)
            wanted = "strings" if column == "text" else "lists of strings"
            must(f"column '{column}' of table '{name}' must hold {wanted}, not {kind}", right)
        if name == "unlabelled":
            continue
        tags = table["tags"].to_pylist()
        pairs = zip(table["tokens"].to_pylist(), tags, strict=True)
        even = all(words and mine and len(words) == len(mine) for words, mine in pairs)
        must(f"each row of table '{name}' must have words, and a tag for each", even)
        with must.manage(f"tags of table '{name}' must be BIO, IOB1 or IOBES"):
            kinds[name] = {tag[2:] for mine in tags for tag in to_bio(mine) if tag != OUTSIDE}
    must("training must have an entity", bool(kinds["train"]))
    for split in SPLITS[1:]:
        extra = sorted(kinds[split] - kinds["train"])
        must(f"'{split}' must have no type of entity that training lacks, got {extra}", not extra)


def check_texts(must: Rules, tables: Mapping[str, pa.Table]) -> None:
    """That there are texts to model."""
    import pyarrow as pa

    for name, table in tables.items():
        must(f"table '{name}' must have the column 'text'", "text" in table.column_names)
        kind = table.schema.field("text").type
        string = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        must(f"column 'text' of table '{name}' must hold strings, not {kind}", string)
        must(f"table '{name}' must have rows", table.num_rows > 0)


def check_values(must: Rules, loss: Loss, classes: int) -> None:
    """That a loss is finite for all sorts of batches, and has a gradient."""
    import torch

    needs = loss.needs

    reached = "logits" if needs <= {"labels", "logits"} else "logits or inner states"

    def flat(states: Mapping[str, Any]) -> list[torch.Tensor]:
        return [part for each in states.values() for part in (each if isinstance(each, tuple) else (each,))]

    def value(
        rows: int, what: str, scale: float = 3.0, unlabelled: bool = False, weighted: bool = False
    ) -> tuple[float, bool]:
        """The loss of random models that give no more than it needs, and whether its gradient moves."""
        generator = torch.Generator().manual_seed(rows)
        width = classes or _VOCABULARY
        student, teacher = (torch.randn(2, rows, width, generator=generator) * scale).unbind()
        labels = torch.randint(0, 3, (rows,), generator=generator)
        labels = labels if classes != 1 else labels.float()
        if classes != HIDDEN:  # what was hidden is always known
            labels[0 if unlabelled else rows // 2 + 1 :] = -1 if classes > 1 else torch.nan
        own, theirs, mask = tiny_states(needs, rows, scale, generator)
        mine = [student, *flat(own)]
        others = [teacher, labels, mask, *flat(theirs)]
        before = [each.clone() for each in (*mine, *others)]
        for each in mine:
            each.requires_grad_()
        weights = torch.linspace(0.5, 1.5, rows) if weighted else None
        batch = Batch(labels if "labels" in needs else None, rows, own, theirs, mask, weights)
        with must.manage(f"it must take {what}, and ask for nothing but its needs"):
            out = loss(student, teacher if "logits" in needs else None, batch)
        scalar = isinstance(out, torch.Tensor) and out.shape == ()
        must(f"it must give a scalar tensor, got {getattr(out, 'shape', out)} for {what}", scalar)
        must(f"it must be finite, got {out.item()} for {what}", bool(out.isfinite()))
        after = [each.detach() for each in (*mine, *others)]
        same = all(
            torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(before, after, strict=True)
        )
        must("it must not change the tensors that it is given", same)
        must(f"its gradient must reach the student's {reached}", out.requires_grad)
        found = torch.autograd.grad(out, mine, allow_unused=True)
        gradients = [each for each in found if each is not None]
        must(f"its gradient must reach the student's {reached}", bool(gradients))
        finite = all(bool(each.isfinite().all()) for each in gradients)
        must(f"its gradient must be finite, for {what}", finite)
        return out.item(), any(bool(each.any()) for each in gradients)

    first, moves = value(8, "a batch of 8")
    must("its gradient must not be zero where student and teacher differ", moves)
    must("the same batch must give the same value", value(8, "a batch of 8")[0] == first)
    value(1, "a batch of 1")
    value(8, "logits of 10,000", scale=1e4)
    value(8, "a batch whose rows have weights", weighted=True)
    if "labels" in needs:
        value(8, "a batch without gold labels", unlabelled=True)
