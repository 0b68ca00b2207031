"""Ask an exported model, which may abstain from texts or pass them on to a second, larger model.

A cascade of a cheap and a costly model (Viola & Jones, 2001) answers most texts at the price of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.runtime.calibration import check_abstains
from harness.values import is_fault
from harness.wording import tsv

if TYPE_CHECKING:
    from harness.runtime.exported import Exported

Answer = dict[str, Any]  # of a task type, as JSON values; or the `error` for a text

STUDENT, TEACHER = "student", "teacher"  # the models of a cascade


@dataclass
class Answerer:
    """A model, and what happens to texts of which it is not sure.

    Raise HarnessError if the models cannot abstain or do not belong together.
    """

    model: Exported
    threshold: float | None = None  # the lowest score of an answer; None: all texts are answered
    second: Exported | None = None  # answers the other texts; without it, they get no label
    asked: int = 0  # number of texts that were answered or not
    unsure: int = 0  # number of those below the threshold

    def __post_init__(self) -> None:
        for one in (self.model, self.second):
            if self.threshold is not None and one is not None:
                check_abstains(one.task_type)
        if self.second is not None and (odd := set(self.model.classes) ^ set(self.second.classes)):
            raise HarnessError(
                "cannot pass texts on: expected two models with the same labels, but only one of them has "
                f"{min(odd)!r}"
            )

    def answers(self, texts: Sequence[str], top: int | None) -> list[Answer]:
        """Return an answer for each text; if the model fails on some of them, these get an `error`.

        With a threshold, an answer also has `abstained`, or in a cascade `answered_by`.
        """
        found = _told(self.model, texts, top)
        if self.threshold is None:
            return found
        answered = [i for i, answer in enumerate(found) if "error" not in answer]
        unsure = [i for i in answered if found[i]["score"] < self.threshold]
        self.asked += len(answered)
        self.unsure += len(unsure)
        if self.second is None:
            for i in answered:
                found[i]["abstained"] = False
            for i in unsure:
                found[i] |= {"label": None, "abstained": True}
            return found
        for i in answered:
            found[i]["answered_by"] = STUDENT
        for i, answer in zip(unsure, _told(self.second, [texts[i] for i in unsure], top), strict=True):
            found[i] = answer if "error" in answer else {**answer, "answered_by": TEACHER}
        return found

    def as_tsv(self, answer: Answer, top: int | None) -> str:
        """Return an answer as one line of tab-separated values."""
        plain = answer
        if answer.get("abstained"):
            first, *others = answer.get("top", [answer])
            plain = {**answer, "label": "", "top": [{**first, "label": ""}, *others]}
        as_tsv = self.model.task_type.as_tsv
        line = as_tsv(plain) if top is None else as_tsv(plain, top)
        more = [str(answer[name]).lower() for name in ("abstained", "answered_by") if name in answer]
        return "\t".join([line, tsv(more)]) if more else line

    @property
    def summary(self) -> str:
        """Return how many texts the model was not sure of, in words; "" if it answers all."""
        if self.threshold is None:
            return ""
        share = 100 * self.unsure / max(1, self.asked)
        what = "no label was given to" if self.second is None else "the second model answered"
        return f"{what} {self.unsure:,} of {self.asked:,} texts ({share:.1f}%): their scores are below " + (
            f"{self.threshold:.4g}"
        )


def _told(model: Exported, texts: Sequence[str], top: int | None) -> list[Answer]:
    """Return a model's answers; if it fails on some of the texts, these get an `error`."""
    try:
        told = model.task_type.answers(model, texts, top) if texts else []
    except BaseException as error:  # of ONNX Runtime, a tokenizer or a plugin's task type
        if not is_fault(error):
            raise
        if len(texts) > 1:
            return [answer for text in texts for answer in _told(model, [text], top)]
        why = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        return [{"error": f"cannot answer: {why}"}]
    return [answer if _finite(answer) else {"error": "the model returned NaN or infinity"} for answer in told]


def _finite(value: Any) -> bool:
    """Return whether all numbers in a JSON value are finite."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list) or all(map(_finite, value))
