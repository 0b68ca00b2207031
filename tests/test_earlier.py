"""Exports and results of an earlier version are read, and give the same answers.

The files in ``tests/fixtures/earlier`` were written before task types became components.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.report.html import svg
from harness.report.html.figures import Chart
from harness.runtime import load

EARLIER = Path(__file__).parent / "fixtures" / "earlier"
BUNDLES = sorted(path.name for path in (EARLIER / "bundles").iterdir() if path.is_dir())
RESULTS = sorted(path.name for path in (EARLIER / "results").iterdir())
OPTIONS = {"predict": [], "predict --top 3": ["--top", "3"], "predict --int8": ["--int8"]}


def expected_of(bundle: str) -> dict[str, Any]:
    return json.loads((EARLIER / "bundles" / f"{bundle}.expected.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def close(found: Any, expected: Any) -> bool:
    """Whether two JSON values are equal, but for the last digits of numbers, which depend on the CPU."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return bool(np.isclose(found, expected, rtol=1e-3, atol=1e-4))
    return bool(found == expected)


def test_close_tells_apart() -> None:
    assert close({"a": [1.0, "x"]}, {"a": [1.00001, "x"]})
    assert not close({"a": [1.0, "x"]}, {"a": [1.1, "x"]})
    assert not close({"a": [1.0]}, {"a": [1.0, 2.0]})
    assert not close({"a": 1}, {"b": 1})


@pytest.mark.parametrize("bundle", BUNDLES)
def test_an_export_gives_the_same_predictions(bundle: str, tmp_path: Path) -> None:
    expected = expected_of(bundle)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in expected["texts"]))
    asked = {name: options for name, options in OPTIONS.items() if expected[name] is not None}
    assert "predict" in asked
    for name, options in asked.items():
        arguments = ["predict", str(EARLIER / "bundles" / bundle), "--text", "text", *options]
        done = CliRunner().invoke(main, arguments, input=texts.read_bytes())
        assert done.exit_code == 0, done.output
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert close(found, expected[name]), (name, found)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_each_form_of_an_export_gives_the_same_logits(bundle: str) -> None:
    expected = expected_of(bundle)
    forms = {form: known for form, known in expected["runtime"].items() if known}  # others were too large
    assert "onnx" in forms
    for form, known in forms.items():
        model = load(EARLIER / "bundles" / bundle, form)
        if known["short"] is not None:
            assert close([model.answer(text) for text in expected["texts"]], known["short"]), form
        logits = model.predict(expected["texts"])
        wanted = np.array(known["logits"], dtype=np.float32)
        assert np.allclose(logits[:, : wanted.shape[1]], wanted, rtol=1e-3, atol=1e-3), form


@pytest.mark.parametrize("suite", RESULTS)
def test_results_give_the_same_leaderboard_recommendation_and_comparison(suite: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(EARLIER / "results" / suite, results / suite)
    for name, arguments in (
        ("leaderboard", ["leaderboard", suite, "--format", "json"]),
        ("recommend", ["recommend", suite, "--json"]),
        ("compare", ["compare", "role=baseline", "role=distilled", "--in", suite, "--json"]),
    ):
        done = CliRunner().invoke(main, [*arguments, "--results", str(results)])
        assert done.exit_code in (0, 1), done.output
        wanted = json.loads((EARLIER / "expected" / suite / f"{name}.json").read_text(encoding="utf-8"))
        assert close(json.loads(done.stdout), wanted), name


def test_reports_of_such_results_are_written(tmp_path: Path) -> None:
    """One browser, whose start takes seconds, draws the charts of all."""
    charts: list[Chart] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svg, "write", lambda made, folder: charts.extend(made) or [])
        for suite in RESULTS:
            shutil.copytree(EARLIER / "results" / suite, tmp_path / suite)
            done = CliRunner().invoke(main, ["report", suite, "--results", str(tmp_path)])
            assert done.exit_code == 0, done.output
            assert "distilled" in (tmp_path / suite / "index.html").read_text(encoding="utf-8")
    if not svg.missing():
        assert charts and len(svg.write(charts, tmp_path / "charts")) == len(charts)
