from __future__ import annotations

import csv
import io
import json
import math
import random
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.report import columns, leaderboard
from harness.report.html import page as html
from harness.report.latex import to_latex
from harness.report.leaderboard import build, to_csv, to_frame, to_json, to_markdown, to_rich
from harness.results import record
from harness.results.ranking import Stat
from harness.results.record import Record

TASK = {"train": 16000, "validation": 2000, "test": 2000, "origin": "/data/emotion"}


def part(name: str, **params: Any) -> Any:
    return {"name": name, "params": params, "plugin": "distil-harness 0.1.0", "version": 1}


MINILM, MLP = part("minilm"), part("mlp", width=16)
KL, CE = part("kl", temperature=2.0), part("cross-entropy")


def make(role: str, score: float | None = None, seed: int = 0, **fields: Any) -> Record:
    """A record; `score` is its accuracy, and none means that it failed unless `status` says otherwise."""
    task = (
        part("emotion")
        | TASK
        | {"source": "local", "fingerprint": "abcdef0123456789", "headline": "accuracy"}
    )
    value: Any = {
        "schema": 1,
        "suite": "emotion",
        "status": "failed" if score is None else "ok",
        "reason": None,
        "role": role,
        "task": task | fields.pop("task", {}),
        "teacher": None if role == "baseline" else MINILM,
        "student": None if role == "teacher" else MLP,
        "augmenter": None,
        "loss": {"teacher": None, "baseline": CE, "distilled": KL}[role],
        "seed": seed,
        "metrics": {} if score is None else {"accuracy": score, "f1_macro": score / 2},
        "provenance": {"packages": {"distil-harness": "9.9"}, "cpu": "Old CPU, 2 cores", "gpu": []},
    }
    value |= fields
    value["cell"] = json.dumps(
        [value[k] for k in ("role", "task", "teacher", "student", "augmenter", "loss")]
    )
    return record.check(value | {"cell": f"{value['cell']} {seed}"})


def latency(backend: str, p50: float, **fields: Any) -> Any:
    return {"backend": backend, "device": "cpu", "threads": 1, "batch": 1, "n": 99, "p50_ms": p50} | fields


def grid(markdown: str) -> list[list[str]]:
    """The cells of the first Markdown table, with its titles."""
    lines = markdown.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    last = next(i for i, line in enumerate([*lines[first:], ""]) if not line.startswith("|")) + first
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:last]]
    return [rows[0], *rows[2:]]


def column(markdown: str, title: str) -> list[str]:
    titles, *rows = grid(markdown)
    return [row[titles.index(title)] for row in rows]


def terminal(records: list[Record], width: int) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_rich(build(records), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def usual() -> list[Record]:
    return [
        make("teacher", 0.92),
        *(make("baseline", score, seed) for seed, score in enumerate((0.85, 0.86, 0.87))),
        *(make("distilled", score, seed) for seed, score in enumerate((0.90, 0.91, 0.92))),
    ]


def test_mean_and_sample_deviation_over_seeds() -> None:
    table = to_markdown(build(usual()))
    assert column(table, "accuracy, %") == ["92.0", "91.0 ± 1.0", "86.0 ± 1.0"]
    assert column(table, "macro F1, %") == ["46.0", "45.5 ± 0.5", "43.0 ± 0.5"]
    assert column(table, "role") == ["teacher", "distilled", "baseline"]
    assert column(table, "model") == ["minilm", "mlp", "mlp"]
    assert column(table, "teacher") == ["—", "minilm", "—"]
    assert column(table, "n") == ["1", "3", "3"]
    assert column(table, "gain, points") == ["—", "+5.0", "—"]
    assert column(table, "kept, %") == ["—", "98.9", "—"]  # 0.91 / 0.92: none was recorded
    (found,) = build(usual()).tables
    stat = vars(found.rows[1].stats["accuracy"])
    assert stat == {"mean": pytest.approx(0.91), "std": pytest.approx(0.01), "n": 3}


def test_equal_scores_have_no_spread_to_the_bit() -> None:
    (table,) = build([make("baseline", 0.1, seed) for seed in range(3)]).tables
    assert vars(table.rows[0].stats["accuracy"]) == {"mean": 0.1, "std": 0.0, "n": 3}


@pytest.mark.parametrize("seed", range(20))
def test_statistics_and_order_on_random_records(seed: int) -> None:
    rng = random.Random(seed)
    records, scores = [], {}
    for width in range(rng.randint(1, 12)):
        scores[width] = [rng.random() for _ in range(rng.randint(1, 6))]
        records += [
            make("distilled", s, i, student=part("mlp", width=width)) for i, s in enumerate(scores[width])
        ]
    rng.shuffle(records)
    (table,) = build(records).tables
    assert len(table.rows) == len(scores)
    for row in table.rows:
        student: Any = row.parts["student"]
        expected = scores[student["params"]["width"]]
        assert row.stats["accuracy"].mean == pytest.approx(statistics.fmean(expected))
        spread = statistics.stdev(expected) if len(expected) > 1 else None
        assert row.stats["accuracy"].std == (None if spread is None else pytest.approx(spread))
        assert row.seeds == tuple(range(len(expected)))
    means = [row.stats["accuracy"].mean for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert [row.rank for row in table.rows] == list(range(1, len(means) + 1))


@pytest.mark.parametrize("seed", range(5))
def test_the_same_records_in_any_order_give_the_same_bytes(seed: int) -> None:
    records = [*usual(), make("distilled", 0.9, student=part("cnn")), make("teacher", teacher=part("hub"))]
    shuffled = random.Random(seed).sample(records, len(records))
    for render in (to_markdown, to_csv, to_json):
        assert render(build(shuffled)) == render(build(records))


def test_a_seed_counts_once() -> None:
    old, new = make("baseline", 0.5), make("baseline", 0.7)
    (table,) = build([old, new]).tables
    assert [row.stats["accuracy"].mean for row in table.rows] == [0.7]


def test_other_data_never_shares_a_table() -> None:
    board = build(
        [
            make("baseline", 0.99, task={"source": "sample", "fingerprint": "s", "origin": "grammar"}),
            make("baseline", 0.9, task={"fingerprint": "2222"}),
            make("baseline", 0.8, task={"fingerprint": "1111"}),
            make("baseline", 0.7, task={"params": {"fold": 2}}),
            make("baseline", 0.7, task={"fingerprint": "1111", "source": "hub", "origin": "id@1f"}),
        ]
    )
    assert [(t.label, t.task["source"], t.task["fingerprint"]) for t in board.tables] == [
        ("emotion", "local", "1111"),
        ("emotion", "local", "2222"),
        ("emotion", "hub", "1111"),
        ("emotion", "sample", "s"),
        ("emotion(fold=2)", "local", "abcdef0123456789"),
    ]
    assert all(len(table.rows) == 1 for table in board.tables)
    text = to_markdown(board)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## emotion, local data",
        "## emotion, local data",
        "## emotion, hub data",
        "## emotion, sample data",
        "## emotion(fold=2), local data",
    ]
    assert (
        "/data/emotion; fingerprint abcdef012345; 16,000 train, 2,000 validation, 2,000 test; seed 0" in text
    )


def test_the_first_line_says_how_it_was_made() -> None:
    first = to_markdown(build(usual())).splitlines()[0]
    assert first == "Made by harness 9.9 from 7 records of emotion (local data) on Old CPU, 2 cores."


def test_a_part_of_a_suite_is_told_from_all_of_it() -> None:
    made = usual()
    assert "cells" not in to_markdown(build(made)).split("|")[0]
    for one in made:
        one["task"] = {**one["task"], "cells": 7}  # as many as there are
    assert "cells" not in to_markdown(build(made)).split("|")[0]
    made[0]["task"]["cells"] = 12  # the suite has grown since
    assert "seeds 0, 1, 2; 7 of the suite's 12 cells" in to_markdown(build(made))


def test_several_commits_are_told_of() -> None:
    made = usual()
    for each, commit in zip(made, ("a" * 40, "a" * 40, "b" * 40 + "-dirty"), strict=False):
        each["provenance"] = {**each["provenance"], "git": commit}
    first = to_markdown(build(made)).splitlines()[0]
    assert first.endswith(
        " on Old CPU, 2 cores, by the code of an installed copy and aaaaaaaaa and bbbbbbbbb-dirty."
    )
    assert build(made).commits == ("", "a" * 40, "b" * 40 + "-dirty")
    assert "by the code" not in to_markdown(build(made[:2]))  # of one commit, as it was committed
    assert ", by the code of bbbbbbbbb-dirty." in to_markdown(build(made[2:3]))  # edited, perhaps twice


def test_components_are_told_apart_within_their_table() -> None:
    old, new = part("mlp", width=8), part("mlp", width=8, accumulate=1)
    records = [
        make("baseline", 0.9, student=old),
        make("baseline", 0.9, student=new, task={"source": "sample"}),
    ]
    assert [row.labels["student"] for table in build(records).tables for row in table.rows] == ["mlp", "mlp"]


def test_components_within_parameters_show_only_what_tells_them_apart() -> None:
    def student(**params: Any) -> Any:
        return part("bilstm", hidden=9, **params)

    plain = {"use": "minilm", "epochs": 3, "rate": 0.1}
    records = [
        make("baseline", 0.9, student=student(embeddings="own")),
        make("baseline", 0.9, student=student(embeddings=plain)),
        make("baseline", 0.9, student=student(embeddings=plain | {"epochs": 5})),
        make("baseline", 0.9, student=student(embeddings={"use": "bert", "epochs": 3})),
    ]
    assert {row.labels["student"] for row in build(records).tables[0].rows} == {
        "bilstm(embeddings=own)",
        "bilstm(embeddings=minilm(epochs=3))",
        "bilstm(embeddings=minilm(epochs=5))",
        "bilstm(embeddings=bert)",
    }


def test_swept_rows_are_told_apart_by_what_varies() -> None:
    records = [
        make("distilled", 0.9, augmenter=part("mask", copies=copies, share=0.1), loss=loss)
        for copies in (1, 5)
        for loss in (
            KL,
            part("weighted", losses=[{"use": "kl", "temperature": 2.0}, {"use": "mse"}], on=True),
        )
    ]
    records.append(make("distilled", 0.9, loss=part("weighted", losses=[{"use": "mse"}], on=True)))
    rows = build(records).tables[0].rows
    assert {row.labels["augmenter"] for row in rows} == {"", "mask(copies=1)", "mask(copies=5)"}
    assert {row.labels["loss"] for row in rows} == {
        "kl",
        "weighted(losses=[kl, mse])",
        "weighted(losses=[mse])",
    }
    assert {row.labels["teacher"] for row in rows} == {"minilm"}


def test_equal_members_are_counted() -> None:
    two = [{"use": "minilm", "epochs": 4}] * 2
    teachers = (
        part("ensemble", of=two, weights=[1, 1]),
        part("ensemble", of=[*two, {"use": "bert"}, {"use": "minilm", "epochs": 2}], weights=[1, 1, 2, 2]),
    )
    rows = build([make("teacher", 0.9, teacher=teacher) for teacher in teachers]).tables[0].rows
    assert {row.labels["teacher"] for row in rows} == {
        "ensemble(of=[2 × minilm(epochs=4)], weights=[1, 1])",
        "ensemble(of=[2 × minilm(epochs=4), bert, minilm(epochs=2)], weights=[1, 1, 2, 2])",
    }


def test_components_of_one_name_and_other_code_are_told_apart() -> None:
    records = [make("baseline", 0.8, student=MLP | {"version": version}) for version in (1, 2)]
    assert {row.labels["student"] for row in build(records).tables[0].rows} == {
        "mlp(version=1)",
        "mlp(version=2)",
    }


def test_the_gain_is_over_the_students_own_baseline() -> None:
    wide, mask = part("mlp", width=99), part("mask", copies=5)
    records = [
        make("baseline", 0.80),
        make("baseline", 0.82, loss=part("focal")),  # the best of the student's baselines counts
        make("baseline", 0.99, augmenter=mask),  # a baseline with augmentation does not
        make("baseline", 0.95, student=wide),
        make("distilled", 0.90, augmenter=mask),
        make("distilled", 0.81, augmenter=part("none")),
        make("distilled", 0.91, student=part("cnn")),  # has no baseline
        make("distilled", 0.97, student=wide),
        make("distilled", 0.5, task={"fingerprint": "other"}),  # another table's baselines do not count
    ]
    first, second = build(records).tables
    gains = {
        (row.labels["student"], row.labels["augmenter"]): row.gain
        for row in first.rows
        if row.role == "distilled"
    }
    assert gains == {
        ("mlp(width=16)", "mask"): pytest.approx(0.08),
        ("mlp(width=16)", "none"): pytest.approx(-0.01),
        ("cnn", ""): None,
        ("mlp(width=99)", ""): pytest.approx(0.02),
    }
    assert [row.gain for row in second.rows] == [None]
    assert all(row.gain is None for row in first.rows if row.role != "distilled")


def test_a_gain_of_nothing_is_no_loss() -> None:
    table = to_markdown(build([make("baseline", 0.8), make("distilled", 0.79999)]))
    assert column(table, "gain, points") == ["—", "+0.0"]
    assert "gain, points" not in to_markdown(build([make("baseline", 0.8)]))


def test_recorded_share_and_agreement() -> None:
    scores = {"accuracy": 0.9, "agreement": 0.934, "teacher_share": 0.9712}
    table = to_markdown(build([make("teacher", 0.5), make("distilled", 0.9, metrics=scores)]))
    assert column(table, "kept, %") == ["97.1", "—"]
    assert column(table, "agreement, %") == ["93.4", "—"]


@pytest.mark.parametrize(
    ("task", "metrics", "headline"),
    [
        ({"headline": None, "type": "tagging"}, {"f1": 0.8, "accuracy": 0.9}, "f1"),
        ({"headline": None}, {"f1": 0.8, "accuracy": 0.9}, "f1"),
        ({"headline": None}, {"accuracy": 0.9, "f1_macro": 0.8}, "accuracy"),
        ({"headline": None}, {"perplexity": 8.0, "masked_accuracy": 0.4}, "perplexity"),
        ({"headline": "recall_macro"}, {"recall_macro": 0.3, "accuracy": 0.9}, "recall_macro"),
    ],
)
def test_headlines(task: dict[str, Any], metrics: dict[str, float], headline: str) -> None:
    task = {key: value for key, value in task.items() if value}
    value = make("baseline", 0, metrics=metrics, task=task)
    if "headline" not in task:
        value["task"].pop("headline")
    (table,) = build([value]).tables
    assert table.headline == headline and table.rows[0].rank == 1


def test_perplexity_is_better_when_lower() -> None:
    def lm(role: str, perplexity: float) -> Record:
        return make(role, 0, metrics={"perplexity": perplexity}, task={"headline": "perplexity"})

    table = to_markdown(build([lm("baseline", 12), lm("teacher", 8), lm("distilled", 10)]))
    assert column(table, "perplexity") == ["8.00", "10.00", "12.00"]
    assert column(table, "gain") == ["—", "+2.00", "—"]
    assert column(table, "kept, %") == ["—", "80.0", "—"]


def test_what_did_not_work_is_a_row_at_the_bottom_with_its_reason() -> None:
    why = "mlp learns from labels, and kl needs logits"
    records = [
        make("teacher", 0.9),
        *(make("distilled", None, seed, status="incompatible", reason=why) for seed in range(3)),
        make("teacher", None, teacher=part("hub"), status="unavailable", reason="no network"),
        make("baseline", 0.8, 0),
        make("baseline", None, 1, reason="killed"),
        make("baseline", 0.82, 2),
    ]
    board = build(records)
    assert [row.status for row in board.tables[0].rows] == ["ok", "ok", "unavailable", "incompatible"]
    assert [row.rank for row in board.tables[0].rows] == [1, 2, None, None]
    text = to_markdown(board)
    assert column(text, "accuracy, %") == ["90.0", "81.0 ± 1.4"]
    assert column(text, "n") == ["1", "2 of 3"]
    rest = grid(text[text.index("| without a result") :])
    assert rest[1:] == [
        ["baseline", "mlp", "—", "—", "cross-entropy", "seed 1", "failed: killed"],
        ["teacher", "hub", "—", "—", "—", "seed 0", "unavailable: no network"],
        ["distilled", "mlp", "minilm", "—", "kl", "seeds 0, 1, 2", f"incompatible: {why}"],
    ]
    assert text.count(why) == 1 and terminal(records, 300).count(why) == 1 and to_csv(board).count(why) == 1


def test_a_task_without_data_is_a_table_of_reasons() -> None:
    task = {
        "source": None,
        "fingerprint": None,
        "origin": None,
        "train": None,
        "validation": None,
        "test": None,
    }
    records = [make("baseline", task=task, status="unavailable", reason="no network", provenance={})]
    text = to_markdown(build(records))
    assert "## emotion, no data\n\nseed 0\n" in text and "unavailable: no network" in text
    assert "no data" in terminal(records, 80)


@pytest.mark.parametrize("counts", [{}, {"train": None, "validation": None, "test": None}])
def test_the_heading_is_from_a_cell_that_knows_its_data(counts: dict[str, None]) -> None:
    never_ran = make("distilled", status="incompatible")
    task: Any = {key: value for key, value in never_ran["task"].items() if key not in TASK}
    never_ran["task"] = task | counts
    assert "16,000 train" in to_markdown(build([never_ran, make("teacher", 0.9)]))


def test_numbers_are_fit_to_read() -> None:
    def model(name: str, parameters: int, size: int, seconds: float, *runs: Any) -> Record:
        return make(
            "baseline",
            0.5,
            student=part(name),
            parameters={"total": parameters},
            size_bytes={"model": size, "onnx": None},
            cost={"train_s": seconds},
            latency=list(runs),
        )

    records = [
        model("a", 80_102, 999, 37.123, latency("torch", 0.12345), latency("onnx", 0.0093)),
        model("b", 22_713_216, 90_900_000, 612.4, latency("torch", 11.234), latency("native", 2)),
        model("c", 999_999, 321_000, 0.004, latency("torch", 1234.5), latency("torch", 0.5, device="cuda:0")),
        model("d", 7_000_000_000, 14_000_000_000, 0, latency("torch", 999.96)),
        make("baseline", 0.5, student=part("e")),
    ]
    text = to_markdown(build(records))
    assert column(text, "parameters") == ["80,102", "22.7 M", "999,999", "7.0 G", "—"]
    assert column(text, "size") == ["999 B", "90.9 MB", "321 kB", "14.0 GB", "—"]
    assert column(text, "train, s") == ["37.1", "612", "0.00400", "0", "—"]
    assert column(text, "torch p50, ms") == ["0.123", "11.2", "1,230", "1,000", "—"]
    assert column(text, "onnx p50, ms") == ["0.00930", "—", "—", "—", "—"]
    assert column(text, "torch cuda p50, ms") == ["—", "—", "0.500", "—", "—"]
    titles = [title for title in grid(text)[0] if "p50" in title]
    assert titles == ["torch p50, ms", "onnx p50, ms", "native p50, ms", "torch cuda p50, ms"]
    assert "cuda" not in to_markdown(build(records[:2]))


def test_latency_is_of_one_text_on_the_fewest_threads() -> None:
    runs = [latency("onnx", 5, batch=32), latency("onnx", 2, threads=1), latency("onnx", 1, threads=8)]
    for order in (runs, runs[::-1]):
        (table,) = build([make("baseline", 0.5, latency=order)]).tables
        assert table.rows[0].stats["latency_onnx_cpu_p50_ms"].mean == 2


def test_what_is_no_number_is_left_out() -> None:
    metrics = {"accuracy": 0.5, "nll": None, "flag": True, "per_class": {"a": 1}, "bad": math.nan}
    (table,) = build([make("baseline", 0.5, metrics=metrics)]).tables
    assert set(table.rows[0].stats) == {"accuracy"}


HOSTILE = [
    "a|b",
    "a\\|b",
    "trailing\\",
    "two\nlines\r\nthree",
    "<script>alert(1)</script>",
    "`code` *bold* _it_ ~~x~~",
    "![i](http://x/y.png) [l](javascript:x)",
    "&lt;b&gt;",
    "[bold red]markup[/]",
    "\x1b[31mred\x07\u202egnp",
    "=cmd|' /C calc'!A0",
    "$x$",
    "# heading",
    "- item",
    "    indented",
    "> quote",
    "---",
    "lone \udcff",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_cannot_break_out(name: str) -> None:
    plain = leaderboard.printable(name)
    records = [
        make("baseline", 0.5, student=part(name), task={"name": name, "origin": name}, suite=name),
        make("baseline", 0.4, student=part("mlp"), task={"name": name, "origin": name}, loss=part(name)),
        make("distilled", student=part(name), reason=name, task={"name": name, "origin": name}),
        make("baseline", 0, metrics={name: 0.5}, task={"headline": name, "fingerprint": "other"}),
    ]
    board = build(records)

    from markdown_it import MarkdownIt  # rich brings it along

    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(to_markdown(board))
    types = [token.type for token in tokens]
    assert types.count("table_open") == 3 and types.count("heading_open") == 2
    assert not {"bullet_list_open", "blockquote_open", "ordered_list_open"} & set(types)
    assert not any(token.type in ("html_block", "fence", "code_block", "hr") for token in tokens)
    inline = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for token in inline for child in token.children or ()}
    assert kinds <= {"text", "text_special", "softbreak"}
    texts = ["".join(child.content for child in token.children or ()) for token in inline]
    assert {plain.strip(), f"failed: {plain}".strip()} <= {text.strip() for text in texts}
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert len(rows) == 4
    assert next(row for row in rows if row["status"] == "failed")["student"] in (plain, f"'{plain}")
    assert not any(str(text).lstrip().startswith(("=", "+", "@")) for row in rows for text in row.values())
    assert json.loads(to_json(board))["tables"]
    shown = terminal(records, 400)
    assert "\x1b" not in shown and "\u202e" not in shown and plain.strip() in shown


def test_csv_is_for_machines() -> None:
    records = [*usual(), make("distilled", None, 3, reason="killed")]
    rows = list(csv.DictReader(io.StringIO(to_csv(build(records)))))
    assert [row["role"] for row in rows] == ["teacher", "distilled", "baseline"]
    row = rows[1]
    assert float(row["accuracy_mean"]) == pytest.approx(0.91)
    assert float(row["accuracy_std"]) == pytest.approx(0.01)
    assert float(row["gain"]) == pytest.approx(0.05)
    assert (row["n"], row["seeds"], row["rank"], row["status"]) == ("3", "0 1 2", "2", "ok")
    assert (row["task"], row["source"], row["headline"]) == ("emotion", "local", "accuracy")
    assert (row["student"], json.loads(row["student_params"])) == ("mlp", {"width": 16})
    assert row["problems"] == "seed 3 failed: killed"
    assert rows[0]["accuracy_std"] == rows[0]["student"] == rows[0]["gain"] == ""
    assert list(to_frame(build(records))["rank"]) == [1, 2, 3]


def test_a_result_of_an_earlier_run_has_a_footnote() -> None:
    failure = {"status": "failed", "reason": "no *space*", "when": "2026-01-02T03:04:05+00:00"}
    kept = [make("distilled", 0.7, seed, last_failure=failure) for seed in (0, 1)]
    records = [make("teacher", 0.9), *kept, make("distilled", 0.8, 2)]
    board = build(record.check(json.loads(json.dumps(one))) for one in records)
    note = "distilled, mlp, minilm, kl, seeds 0, 1: the result is of an earlier run; on 2026-01-02 "
    text = to_markdown(board)
    assert f"† {note}the cell was failed: no \\*space\\*" in text
    assert text.count("mlp †") == 1 and column(text, "n") == ["1", "3"]
    assert f"† {note}the cell was failed: no *space*" in " ".join(terminal(records, 300).split())
    (_, row) = json.loads(to_json(board))["tables"][0]["rows"]
    told = {"status": "failed", "reason": "no *space*", "when": "2026-01-02", "seeds": [0, 1]}
    assert (row["failures"], row["problems"]) == ([told], [])
    (_, flat) = csv.DictReader(io.StringIO(to_csv(board)))
    assert flat["problems"] == "seeds 0, 1 failed on 2026-01-02: no *space*"
    latex = to_latex(board, records)
    assert r"mlp \textdagger{}" in latex and r"\par{\footnotesize \textdagger{} distilled" in latex


def test_a_negative_number_stays_a_number() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(build([make("distilled", 0.7), make("baseline", 0.8)])))))
    assert float(rows[1]["gain"]) == pytest.approx(-0.1)


def test_json_holds_everything() -> None:
    value = json.loads(to_json(build(usual())))
    (table,) = value["tables"]
    assert table["headline"] == "accuracy" and table["seeds"] == [0, 1, 2] and value["records"] == 7
    row = table["rows"][1]
    assert row["student"] == MLP and row["teacher"] == MINILM and row["labels"]["student"] == "mlp"
    assert row["stats"]["accuracy"] == {"mean": pytest.approx(0.91), "std": pytest.approx(0.01), "n": 3}


def test_nothing_yet() -> None:
    board = build([])
    assert to_markdown(board).endswith("No results yet.\n")
    assert to_csv(board) == "\n" or to_csv(board).count("\n") == 1
    assert json.loads(to_json(board))["tables"] == []
    assert "no results yet" in terminal([], 80)
    assert to_frame(board).empty


def test_write(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "emotion"
    leaderboard.write(usual(), folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "leaderboard.csv",
        "leaderboard.md",
        "records.jsonl",
    ]
    assert record.read(folder / "records.jsonl") == usual()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    leaderboard.write(record.read(folder / "records.jsonl"), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_terminal_drops_what_does_not_fit_and_says_so(width: int) -> None:
    runs = [latency("torch", 0.1), latency("onnx", 0.01)]
    records = [
        make("distilled", 0.9, seed, parameters={"total": 80102}, latency=runs, cost={"train_s": 30.0})
        for seed in range(3)
    ]
    text = terminal(records, width)
    assert max(map(len, text.splitlines())) <= width
    assert "90.0 ± 0.0" in text and "distilled" in text and "mlp" in text
    assert ("not shown" in text) == (width < 120)
    assert ("80,102" in text) == ("parameters" not in text.partition("not shown")[2])


def test_importing_is_cheap() -> None:
    heavy = "{'torch', 'pandas', 'pydantic', 'rich', 'tabulate', 'sklearn'}"
    code = f"import sys, harness.report.leaderboard; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_student_that_borrows_is_held_against_its_own_teachers_parts() -> None:
    task = {"headline": "perplexity", "type": "language-modelling"}
    big, small = part("big"), part("small")  # of other vocabularies: 9 of one may be worse than 20 of another

    def row(role: str, perplexity: float, teacher: Any) -> Record:
        return make(role, 0, metrics={"perplexity": perplexity}, task=task, teacher=teacher)

    records = [
        *(row("teacher", 10, big), row("baseline", 30, big), row("distilled", 20, big)),
        *(row("teacher", 5, small), row("baseline", 9, small), row("distilled", 6, small)),
    ]
    (table,) = build(records).tables
    found = {row.labels["teacher"]: row for row in table.rows if row.role == "distilled"}
    assert found["big"].gain == pytest.approx(10) and found["small"].gain == pytest.approx(3)
    assert found["big"].stats["teacher_share"].mean == pytest.approx(0.5)
    # One that borrows nothing has one baseline, whoever teaches it.
    alone = [make("baseline", 0.5), make("distilled", 0.6), make("distilled", 0.7, teacher=big)]
    (table,) = build(alone).tables
    assert [row.gain for row in table.rows] == [pytest.approx(0.2), pytest.approx(0.1), None]


def test_a_latency_that_other_programs_disturbed_is_marked() -> None:
    def runs(slow: float, quick: float, **fields: Any) -> list[Any]:
        return [latency("torch", slow, **fields), latency("onnx", quick)]

    cells = [
        make("baseline", 0.5, 0, latency=runs(9.0, 0.1, disturbed=3.0)),
        make("baseline", 0.5, 1, latency=runs(2.0, 0.1)),
        make("distilled", 0.9, 0, latency=runs(7.0, 0.1, disturbed=3.0)),
    ]
    board = build(cells)
    (table,) = board.tables
    distilled, baseline = table.rows
    assert baseline.stats["latency_torch_cpu_p50_ms"].mean == 2 and not baseline.disturbed  # the calm seed's
    assert "latency_torch_cpu_p50_ms" in distilled.disturbed
    assert "latency_onnx_cpu_p50_ms" not in distilled.disturbed
    told = to_markdown(board)
    assert "7.00 ‡" in told and "0.100 |" in told and "‡: other programs used the CPUs" in told
    assert json.loads(to_json(board))["tables"][0]["rows"][0]["disturbed"] == sorted(distilled.disturbed)
    assert "‡" not in to_markdown(build(cells[:2]))


def test_there_is_one_rule_of_what_is_a_share() -> None:
    from harness_multilabel.task_type import MultiLabel

    (table,) = build([make("baseline", 0.5)]).tables
    row = replace(
        table.rows[0], stats={name: Stat(0.2, None, 1) for name in ("hamming_loss", "labels_per_text")}
    )
    table = replace(table, task_type=MultiLabel(), rows=(row,))
    assert table.is_share("hamming_loss") and table.is_share("validation_hamming_loss")
    assert not table.is_share("labels_per_text")  # has no upper end
    assert not table.is_share("cost_train_s") and not table.is_share("latency_onnx_cpu_p50_ms")
    beyond = replace(row, stats={"hamming_loss": Stat(1.2, None, 1)})
    assert not table.is_share("hamming_loss", [row, beyond, None])


# -- long tables ---------------------------------------------------------------------------------------------


def test_people_see_the_best_rows_of_a_long_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "SHOWN", 3)
    many = [make("distilled", 0.5 + 0.01 * width, student=part("mlp", width=width)) for width in range(8)]
    lost = [make("distilled", student=part("cnn", width=width), reason="why") for width in range(5)]
    records = [*many, *lost, make("teacher", 0.4)]
    board = build(records)
    text = to_markdown(board)
    shown = [row[2] for row in grid(text)[1:]]
    assert shown == ["mlp(width=7)", "mlp(width=6)", "mlp(width=5)", "minilm"]  # the teacher is the last
    assert "the best rows are shown, 7 of 14; leaderboard.csv has all of them" in text
    assert text.count("failed: why") == 3
    assert "of the suite's" not in text
    assert "width=7" in terminal(records, 200) and "width=4" not in terminal(records, 200)
    page = html.render(board, records, {}, "long")
    assert "width=5" in page and "width=4" not in page and "7 of 14" in page
    assert "width=4" not in to_latex(board, records)
    assert (
        len(to_csv(board).splitlines()) == 15 and len(json.loads(to_json(board))["tables"][0]["rows"]) == 14
    )


def test_cells_of_rows_that_are_not_shown_count_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "SHOWN", 2)
    many = [
        make("distilled", 0.5, seed, student=part("mlp", width=width), task={"cells": 9})
        for width in range(4)
        for seed in range(2)
    ]
    assert "8 of the suite's 9 cells" in to_markdown(build(many))
