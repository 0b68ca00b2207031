"""Write the suites of a distillation: teachers, students, and the final one.

Each is an ordinary suite in a file, so that it can be read, edited and run again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.distill.candidates import Candidates, Table
from harness.wording import printable

Suite = dict[str, Any]

# A student that is only tried is trained for an epoch, or for this number of examples.
_TRIED = {"epochs": 1, "min_examples": 60_000}


@dataclass(frozen=True)
class Taught:
    """A teacher with the texts that it labels, and the loss by which students learn from it."""

    teacher: Table
    copies: int  # new texts for each training text; 0: none
    augmenters: Sequence[Table]  # the members of the chain that makes new texts
    loss: Table
    unlabelled: Table | None = None  # the augmenter that reads the user's unlabelled texts

    def augmenter(self, train: int) -> Table:
        """Return the augmenter for some training texts."""
        chain: Table | None = None
        if self.copies and self.augmenters:
            chain = {"use": "chain", "copies": self.copies, "of": [dict(one) for one in self.augmenters]}
        if self.unlabelled is None:
            return chain or {"use": "none"}
        if chain is None:
            return dict(self.unlabelled)
        own, pool = train * self.copies, int(self.unlabelled["size"])
        member = {name: value for name, value in self.unlabelled.items() if name != "size"}
        return {
            "use": "mix",
            "size": own + pool,
            "of": [member, chain | {"copies": 1}],
            "weights": [pool, own],
        }


def of_teachers(name: str, task: Table, teachers: Iterable[Table], simple: Iterable[Table]) -> Suite:
    """Return the suite that compares teachers with simple models on the validation split."""
    return {
        "suite": {"name": name, "seeds": [0], "latency": False},
        "task": [task],
        "teacher": [*teachers],
        "student": [*simple],
    }


def of_students(
    name: str, task: Table, taught: Taught, students: Iterable[Table], train: int, baseline: str
) -> Suite:
    """Return the suite that tries students; `baseline` is the name of the loss on labels alone."""
    return {
        "suite": {"name": name, "seeds": [0], "latency": False},
        "task": [task],
        "teacher": [taught.teacher],
        "student": [*students],
        "augmenter": [taught.augmenter(train)],
        "loss": [taught.loss],
        "exclude": [{"loss": baseline}],
    }


def final(
    name: str,
    task: Table,
    taught: Taught | None,
    students: Sequence[Table],
    simple: Sequence[Table],
    alone: Sequence[Table],
    seeds: int,
    train: int,
    baseline: str,
) -> Suite:
    """Return the suite of what may be shipped: students, with a teacher and on labels, and simple models.

    `alone` are students that take nothing from a teacher, and learn from the labels only. `baseline` is the
    name of the loss on labels: beside a teacher, one seed of it is enough.
    """
    found: Suite = {
        "suite": {"name": name, "seeds": [*range(seeds)]},
        "task": [task],
        "student": [*students, *alone, *simple],
    }
    if taught is not None:
        found |= {
            "teacher": [taught.teacher],
            "augmenter": [taught.augmenter(train)],
            "loss": [taught.loss],
        }
        excluded: list[Table] = []
        if untaught := [*alone, *simple]:
            excluded.append({"student": untaught, "loss": taught.loss["use"]})
        if seeds > 1:
            excluded.append({"loss": baseline, "seed": [*range(1, seeds)]})
        found["exclude"] = excluded
    return found


def shortened(table: Table, candidates: Candidates) -> Table:
    """Return a student that is trained for a short time, as far as its parameters allow it."""
    known = candidates.parameters("student", table)
    return {**table, **{name: value for name, value in _TRIED.items() if name in known}}


def written(suite: Suite, out: Path, chosen: str) -> str:
    """Return the text of a suite in TOML; `chosen` says in words what was chosen."""
    import tomli_w

    chosen, where = printable(chosen), printable(again(out))
    comment = (
        "# Written by harness distill. You can edit this suite. To run it again, from the same folder:\n"
        f"#   harness bench {where}\n"
        f"# Choice: {chosen}\n\n"
    )
    return comment + tomli_w.dumps(_plain({kind: given for kind, given in suite.items() if given}))


def again(out: Path) -> str:
    """Return the arguments of ``harness bench`` that run the final suite of a distillation again."""
    return f"{shlex.quote(str(out / 'suite.toml'))} --results {shlex.quote(str(out))}"


def _plain(value: Any) -> Any:
    """Return a value as TOML has it: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
