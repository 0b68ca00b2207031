"""Which form of an export answers by default, and how forms are timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.steps.shipping import ranked, timed


def report(p50_ms: float, samples_per_s: float, **more: Any) -> dict[str, Any]:
    return {
        "texts": 1000,
        "outputs": 1000,
        "changed": 0,
        "lost": 0.0,
        "p50_ms": p50_ms,
        "samples_per_s": samples_per_s,
        **more,
    }


def test_the_fastest_form_is_first_and_the_reason_is_one_line() -> None:
    forms = {"onnx": report(8.0, 200), "onnx-int8": report(4.0, 400, changed=9, lost=0.002)}
    order, why = ranked(forms)
    assert order == ["onnx-int8", "onnx"]
    assert why == (
        "'onnx-int8' answers by default: 4.00 ms for one text, 400 texts/s in batches; "
        "'onnx' is 0.500 times as fast"
    )


@pytest.mark.parametrize(
    ("int8", "why"),
    [
        (report(0.2, 2000), "'onnx-int8' is 0.500 times as fast"),  # slower
        (report(0.1, 4100), "'onnx-int8' is 1.01 times as fast"),  # within noise
        (report(0.01, 9e4, changed=11), "'onnx-int8' changes 1.1 % of the answers (more than 1 %)"),
        (report(0.01, 9e4, lost=0.006), "'onnx-int8' loses 0.6 points (more than 0.5)"),
        (report(0.01, 9e4, risen=0.03), "'onnx-int8' raises the negative log-likelihood by 0.030 nats"),
    ],
)
def test_a_form_that_is_slower_or_loses_is_not_first(int8: dict[str, Any], why: str) -> None:
    found = ranked({"onnx": report(0.1, 4000), "onnx-int8": int8})
    assert found.order[0] == "onnx" and why in found.why
    assert ("onnx-int8" in found.order) == ("times as fast" in why)


def test_the_plainer_of_two_equal_forms_is_first() -> None:
    forms = {"onnx": report(0.1, 9000), "onnx-int8": report(0.1, 9000), "numpy": report(0.1, 9000)}
    assert ranked(forms).order == ["numpy", "onnx", "onnx-int8"]
    rejected = {"onnx": report(1.0, 90), "onnx-int8": {"rejected": "it is bad"}}
    assert ranked(rejected).order == ["onnx"]


class Slow:
    """A model that takes some milliseconds for each text."""

    def __init__(self, milliseconds: float) -> None:
        self.seconds = milliseconds / 1e3

    def predict(self, texts: Sequence[str]) -> Any:
        time.sleep(self.seconds * len(texts))
        return np.zeros((len(texts), 2))


def test_forms_are_timed_on_one_text_and_on_many() -> None:
    models: Any = {"slow": Slow(4.0), "quick": Slow(0.4)}
    found = timed(models, ["a text"] * 8)
    for form, model in models.items():
        assert found[form]["p50_ms"] > 1e3 * model.seconds
        assert found[form]["samples_per_s"] < 1 / model.seconds
    assert found["slow"]["p50_ms"] > 2 * found["quick"]["p50_ms"]
