"""How a recommendation is told."""

from __future__ import annotations

import json
from typing import Any

from test_intervals import COUNT, scored
from test_leaderboard import latency
from test_recommend import ask, language, model, shown

from harness.report.advice import to_json


def test_each_form_says_what_to_ship() -> None:
    teacher = scored("teacher", 390, validation={"accuracy": 0.97}, latency=[latency("torch", 17.0)])
    advice = ask([teacher, model("best", 352, 1.0), model("fast", 351, 0.4)], p50_ms=2.0)
    text = shown(advice)
    lines = {line.strip().split("  ")[0]: line for line in text.splitlines() if line}
    assert lines["student"].split() == ["student", "fast", "best"]
    assert lines["test accuracy, %"].split()[-3:] == ["87.8", "88.0", "97.5"]
    assert lines["p50, ms"].split()[-3:] == ["0.400", "1.00", "17.0"]
    assert lines["shipped as"].split()[-3:] == ["onnx", "onnx", "torch"]
    assert lines["size"].split()[-4:] == ["5.00", "kB", "5.00", "kB"]
    assert "95 % interval" in lines and "emotion, local data" in text
    value = json.loads(to_json([advice]))["tasks"][0]
    assert value["ship"]["student"]["name"] == "fast"
    assert value["ship"]["form"] == {"backend": "onnx", "p50_ms": 0.4, "size_bytes": 5000}
    assert value["runner_up"]["student"]["name"] == "best"
    assert value["real"] is False and value["split"] == "validation" and value["equal"] == 2
    assert value["ruled_out"] == {"latency": 1}
    assert value["ship"]["stats"]["accuracy"]["mean"] == 351 / COUNT


def test_the_teachers_time_is_of_the_device_that_was_asked_for() -> None:
    def timed(slow: float, quick: float) -> list[dict[str, Any]]:
        return [latency("torch", slow), latency("torch", quick) | {"device": "cuda"}]

    teacher = scored("teacher", 390, validation={"accuracy": 0.97}, latency=timed(17.0, 2.0))
    student = model("best", 352, latency=timed(1.0, 0.5))
    for device, expected in (("cpu", ["1.00", "17.0"]), ("cuda", ["0.500", "2.00"])):
        text = shown(ask([teacher, student], device=device, backend="torch", p50_ms=1.5))
        (line,) = (line for line in text.splitlines() if line.strip().startswith("p50"))
        assert line.split()[-2:] == expected


def test_hostile_names_do_not_reach_the_terminal() -> None:
    text = shown(ask([model("\x1b[31m[bold]red\u202e", 300)]))
    assert "[bold]red" in text and "\x1b" not in text and "\u202e" not in text


def test_perplexities_are_told_in_their_own_digits() -> None:
    advice = ask([language("good", 50, 5), language("fast", 50.02, 1)])
    text = shown(advice)
    assert "this one is best" in text and "scores highest" not in text
    assert "perplexity on the test split: -0.0200 (95 % interval " in text
    assert "scores highest" in shown(ask([model("best", 352, 1.0), model("fast", 351, 0.9)]))
