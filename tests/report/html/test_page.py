from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
import math
import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from reporting import HOSTILE, Results, hostile

from harness import HarnessError
from harness.report import verdict
from harness.report.html import svg
from harness.report.html import write as pages
from harness.report.html.page import _in_order, embedded, packed_plotly, policy, render, static
from harness.report.html.sections import sections
from harness.report.latex import to_latex
from harness.report.leaderboard import explained
from harness.report.verdict import Section, Verdict
from harness.results import record
from harness.results.board import build
from harness.results.record import write as write_records


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and what stands in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.texts: list[str] = []
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within == "script":
            attributes = self.elements[-1][1]
            name = attributes.get("id") or "code"
            self.scripts[name] = self.scripts.get(name, "") + data
        else:
            self.texts.append(data)

    def cards(self) -> list[str]:
        joined = "\n".join(text.strip() for text in self.texts if text.strip())
        return joined.split("All results")[0].splitlines()


def parsed(results: Results) -> Parsed:
    return Parsed(render(results.board, results.records, results.predictions, results.suite))


def test_the_headline_comes_first(results: Results) -> None:
    text = " ".join(parsed(results).cards())
    assert "Teacher, accuracy 91.7 % big: 20.0 M parameters, 8 ms a text" in text
    assert "Best student, accuracy 89.6 ± 0.6 % wide · mask · kl, 97.7 % of the teacher's" in text
    assert "Gain over labels alone +5.8 points" in text
    assert "largest gain: +10.0 for small · mask · kl" in text
    assert "Parameters 50,000 400 × fewer than the teacher" in text
    assert "Latency 0.5 ms median for one text, onnx; 16 × faster" in text


def test_a_verdict_stands_in_for_the_cards(results: Results, tmp_path: Path) -> None:
    made = Verdict("tickets.csv", (Section("Ship wide", ("89.6 % accuracy",), "harness predict model"),))
    write_records(results.records, tmp_path / "records.jsonl")
    verdict.write(made, tmp_path)

    def texts() -> str:
        pages.write(results.board, results.records, results.predictions, tmp_path)
        return " ".join(Parsed((tmp_path / "index.html").read_text(encoding="utf-8")).texts)

    told = re.sub(r"\s+", " ", texts())
    assert "Ship wide 89.6 % accuracy harness predict model Copy All models" in told
    assert "All models" in told and "Best student" not in told

    write_records(results.records[:-1], tmp_path / "records.jsonl")  # of a later run
    told = texts()
    assert "tickets.csv" in told and "Best student" in told
    assert "Ship wide" not in told and "The results have changed since harness distill chose a model" in told

    (tmp_path / verdict.FILE).write_text("[]", encoding="utf-8")
    told = texts()
    assert "Best student" in told and "cannot read" in told and "expected an object" in told


def test_the_score_is_among_the_first_columns(results: Results) -> None:
    (section,) = sections(results.board, results.records)
    titles = [column.title for column in _in_order(section)]
    assert titles[:5] == ["#", "model", "accuracy, %", "95 % interval", "role"]
    assert sorted(titles) == sorted(column.title for column in section.columns)


def test_terms_of_the_tables_are_explained(results: Results) -> None:
    told = " ".join(parsed(results).texts)
    for term in ("95 % interval", "gain", "kept", "agreement", "p50"):
        assert term in dict(explained(results.board)) and term in told
    assert "macro F1: the mean of the classes' F1" in told
    assert not re.search("headroom|ECE|by test|Pareto|gold", told)


def test_the_machine_and_the_data_are_named(results: Results) -> None:
    text = " ".join(parsed(results).texts)
    for fact in (
        "Some CPU, 2 cores",
        "Linux Python 3.11.0",
        "f" * 40,
        "torch 2.0",
        "sha256:emotion",
        "1.0 GB",
    ):
        assert fact in text, fact
    assert "2026-01-01 10:00 to 2026-01-01 10:05 UTC" in text


def test_rows_without_a_result_say_why() -> None:
    results = Results()
    lost = dict(results.records[-1]) | {"status": "failed", "reason": "out of memory", "cell": "x", "seed": 9}
    results.records.append(record.check(lost))
    assert "failed: out of memory" in parsed(results).texts


@pytest.mark.parametrize("kept", ["none", "failed", "teacher", "baseline"])
def test_any_results_make_a_page(kept: str) -> None:
    results = Results()
    if kept == "failed":
        results.records = [
            record.check(dict(one) | {"status": "failed", "metrics": {}}) for one in results.records
        ]
    else:
        results.records = [one for one in results.records if one["role"] == kept]
    found = parsed(results)
    data = json.loads(found.scripts["data"])
    assert len(data["sections"]) == (kept != "none")
    if kept == "failed":
        assert "No results yet." in found.texts


def test_records_that_know_nothing_make_a_page() -> None:
    bare = record.check(
        {
            "schema": 1,
            "suite": "s",
            "cell": "c",
            "status": "ok",
            "role": "distilled",
            "seed": 0,
            "task": {"name": "t", "params": {}, "source": None, "fingerprint": None},
        }
    )
    results = Results()
    results.records, results.predictions = [bare], {}
    assert parsed(results).scripts["data"]


ODD: list[Any] = [
    *(None, "x", -1, 0, 1.5, True, math.nan, math.inf),
    *([], {}, [1], [[1]], [[1, "a"], [2, 3]], [None], [{}], [{"examples": 1}]),
    *({"a": 1}, {"a": {"f1": "x"}}, {"rows": "x"}, {"rows": -1}, {"forms": [1]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a record."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("seed", range(4))
def test_what_no_schema_checks_costs_a_chart_and_never_the_page(seed: int) -> None:
    generator = random.Random(seed)
    whole = Results(("emotion", "reviews"))
    for one in whole.records:
        if one["role"] != "teacher":  # whose curves alone are long enough to be thinned
            del dict(one)["history"][4:]
    ran = 0
    for _ in range(30):
        records = list(whole.records)
        at = generator.randrange(len(records))
        changed: Any = copy.deepcopy(records[at])
        *path, last = generator.choice(list(places(changed)))
        inside = changed
        for key in path:
            inside = inside[key]
        inside[last] = copy.deepcopy(generator.choice(ODD))
        try:
            records[at] = record.check(changed)
        except HarnessError:
            continue
        board = build(records, whole.predictions)
        assert render(board, records, whole.predictions, "s")
        assert to_latex(board, records)
        assert svg.all_charts(board, records, whole.predictions)
        ran += 1
    assert ran > 5


# -- trust ---------------------------------------------------------------------------------------------------


def test_only_our_scripts_may_run(results: Results) -> None:
    found = parsed(results)
    (allowed,) = [
        a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert allowed is not None
    digests = re.findall(r"'sha256-([^']+)'", allowed)
    plotly = gzip.decompress(base64.b64decode(found.scripts["plotly"]))
    for script in (found.scripts["code"].encode(), plotly):
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
        assert digest in digests
        digests.remove(digest)
    assert not digests
    assert "default-src 'none'" in allowed
    assert "connect-src" not in allowed
    assert "http" not in allowed
    assert b"plotly.js v" in plotly[:100]


def test_the_page_refers_to_nothing_outside(results: Results) -> None:
    for tag, attributes in parsed(results).elements:
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)


def test_hostile_texts_make_no_elements(results: Results) -> None:
    tame, wild = parsed(results), parsed(hostile())
    assert {tag for tag, _ in wild.elements} - {tag for tag, _ in tame.elements} == {
        "nav",
        "ul",
        "li",
        "a",
    } - {"a"}
    assert {name for _, a in wild.elements for name in a} - {
        name for _, a in tame.elements for name in a
    } == set()
    assert HOSTILE[0] in wild.texts


def test_json_cannot_end_its_element() -> None:
    value = {"a": [*HOSTILE, "\u2028\u2029", "é", float("nan")]}
    text = embedded(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"a": [*value["a"][:-1], None]}


def test_a_policy_without_scripts_allows_none() -> None:
    assert "script-src 'none'" in policy()


def test_the_same_results_make_the_same_page(results: Results) -> None:
    pages = [render(results.board, results.records, results.predictions, "s") for _ in range(2)]
    assert pages[0] == pages[1]
    packed_plotly.cache_clear()
    assert render(results.board, results.records, results.predictions, "s") == pages[0]


def test_our_script_takes_no_text_for_html() -> None:
    script = static("page.js")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in script


def test_the_page_stays_small(page: Path) -> None:
    assert page.stat().st_size < 2_500_000  # plotly.js takes 2 MB of it
