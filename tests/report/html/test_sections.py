from __future__ import annotations

import pytest
from reporting import Results

from harness.report.html.sections import COLOURS, Section, sections
from harness.results.board import build


def of(results: Results, predictions: bool = True) -> list[Section]:
    return sections(build(results.records, results.predictions if predictions else None), results.records)


def test_rows_have_their_records_and_one_colour_a_student(results: Results) -> None:
    (section,) = of(results)
    assert [len(entry.records) for entry in section.entries] == [1] + [2] * 7
    colours = {(entry.model, entry.colour) for entry in section.entries}
    assert colours == {("big", "@ink"), ("small", COLOURS[0]), ("wide", COLOURS[1])}
    assert [entry.label for entry in section.entries][:3] == [
        "big (teacher)",
        "wide · mask · kl",
        "wide · none · kl",
    ]
    assert {entry.label for entry in section.entries} > {"small · labels alone"}


def test_a_student_has_the_same_colour_in_every_table() -> None:
    found = of(Results(("emotion", "reviews", "topics")))
    looks = [{entry.model: entry.colour for entry in section.entries} for section in found]
    assert looks[0] == looks[1] == looks[2]


def test_shares_are_of_the_teachers_score(results: Results) -> None:
    (section,) = of(results)
    best = section.first("distilled")
    assert best is not None
    assert section.share(best) == pytest.approx(100 * 107.5 / 110)
    teacher = section.first("teacher")
    assert teacher is not None
    assert section.share(teacher) == 100
    assert section.score(best) == pytest.approx(100 * 107.5 / 120)


def test_less_is_better_turns_shares_around() -> None:
    results = Results()
    for record in results.records:
        record["task"] |= {"type": "language-modelling", "headline": "perplexity"}
        record["metrics"] = {"perplexity": 20.0 if record["role"] == "teacher" else 25.0}
    (section,) = of(results, predictions=False)
    (student,) = [e for e in section.entries if e.label == "wide · mask · kl"]
    assert section.lower
    assert not section.percent
    assert section.share(student) == pytest.approx(80)


def test_without_a_teacher_there_is_no_share() -> None:
    results = Results()
    results.records = [record for record in results.records if record["role"] == "baseline"]
    (section,) = of(results)
    assert [section.share(entry) for entry in section.entries] == [None, None]


def test_latency_is_the_fastest_runtimes_on_the_cpu_where_there_is_one() -> None:
    results = Results()
    for record in results.records:
        record["latency"].append({**record["latency"][0], "device": "cuda:0", "p50_ms": 0.0001})
        if record["role"] == "teacher":
            record["latency"] = [record["latency"][-1]]
    (section,) = of(results)
    assert section.entries[0].latency == (0.0001, "torch on cuda")
    assert section.entries[-1].latency == (0.02, "onnx")


def test_a_form_that_answers_otherwise_is_no_match_for_the_score() -> None:
    results = Results()
    for record in results.records:
        record["latency"].append({**record["latency"][0], "backend": "onnx-int8", "p50_ms": 0.001})
        changed = 1 if record["role"] == "teacher" else 0
        forms = {"onnx": {"changed": 0, "texts": 120}, "onnx-int8": {"changed": changed, "texts": 120}}
        record["export"] = {"exported": True, "forms": forms}  # type: ignore[typeddict-unknown-key]
    (section,) = of(results)
    assert section.entries[0].latency == (8.0, "onnx")
    assert section.entries[1].latency == (0.001, "onnx-int8")


def test_texts_learned_from_are_the_transfer_sets_or_the_training_splits(results: Results) -> None:
    (section,) = of(results)
    sizes = {entry.label: entry.learned_from for entry in section.entries}
    assert sizes["wide · mask · kl"] == 3000
    assert sizes["wide · none · kl"] == 600
    assert sizes["wide · labels alone"] == 600
    assert sizes["big (teacher)"] is None


def test_slugs_are_plain_and_no_two_the_same() -> None:
    results = Results(("a/b", "a b", "../..", "<>"))
    slugs = [section.slug for section in of(results)]
    assert sorted(slugs) == ["a-b-local", "a-b-local-2", "local", "local-2"]


def test_real_data_come_before_sample_corpora() -> None:
    real, sample = Results(("z",)), Results(("a",), source="sample")
    real.records += sample.records
    assert [section.sample for section in of(real, predictions=False)] == [False, True]


def test_a_teacher_that_all_share_needs_no_column(results: Results) -> None:
    (section,) = of(results)
    assert "teacher" not in [column.title for column in section.columns]
    two = Results()
    other = Results(names={"big": "bigger"})
    for record in other.records:
        record["cell"] += "'"
    two.records += other.records
    (section,) = of(two)
    assert "teacher" in [column.title for column in section.columns]


def test_no_records_make_no_sections() -> None:
    assert sections(build([]), []) == []
