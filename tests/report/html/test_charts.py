from __future__ import annotations

import itertools
import random

import pytest
from reporting import HOSTILE, Results

from harness.report.html import charts, tasks
from harness.report.html.figures import THEMES, log_axis, painted
from harness.report.html.sections import Section, sections
from harness.results.board import build


def section_of(results: Results, predictions: bool = False) -> Section:
    board = build(results.records, results.predictions if predictions else None)
    return sections(board, results.records)[0]


def traces(chart: charts.Chart) -> dict[str, list]:
    """The (x, y) of each trace by name; a student's own baseline has its name too."""
    found: dict[str, list] = {}
    for trace in chart.data:
        found.setdefault(trace["name"], []).extend(zip(trace["x"], trace["y"], strict=True))
    return found


# -- the Pareto front ----------------------------------------------------------------------------------------


def dominated(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return other != one and other[0] <= one[0] and other[1] >= one[1]


def test_the_front_is_what_nothing_dominates() -> None:
    generator = random.Random(0)
    for _ in range(200):
        points = [(generator.randint(1, 6), generator.randint(1, 6)) for _ in range(generator.randint(1, 12))]
        expected = {one for one in points if not any(dominated(one, other) for other in points)}
        found = [points[i] for i in charts.front(points)]
        assert set(found) == expected
        assert found == sorted(expected)  # by cost, and of equal points one
        mirrored = [(x, -y) for x, y in points]
        assert charts.front(mirrored, lower=True) == charts.front(points)


def test_the_front_of_these_results(results: Results) -> None:
    chart = charts.parameters(section_of(results))
    assert chart is not None
    assert [row[0] for row in chart.rows if row[-1] == "yes"] == [
        "small · mask · kl",
        "wide · mask · kl",
        "big (teacher)",
    ]
    line = chart.data[0]
    assert line["x"] == [1_000, 50_000, 20_000_000]
    assert line["y"] == pytest.approx([100 * 102.5 / 110, 100 * 107.5 / 110, 100])


def test_a_long_name_is_a_line_of_the_legend(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = charts.parameters(section_of(results))
    assert chart is not None and chart.layout["height"] == 400
    front = chart.data[0]
    assert [text.strip() for text in front["text"]] == ["small", "wide", "big"]
    assert front["textposition"] == ["bottom right", "bottom right", "middle left"]
    monkeypatch.setattr(charts, "LONG", 3)
    longer = charts.parameters(section_of(results))
    assert longer is not None and longer.layout["height"] > 400
    assert [text.strip() for text in longer.data[0]["text"]] == ["", "", "big"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1_000, 50_000, 20_000_000], ["1k", "10k", "100k", "1M", "10M"]),
        ([0.02, 8.0], ["0.1", "1", "10"]),
        ([2_100, 4_900], ["2k", "3k", "4k", "5k", "6k"]),
        ([30_000, 700_000], ["50k", "100k", "200k", "500k"]),
        ([80_000], ["70k", "80k", "90k", "100k"]),
    ],
)
def test_logarithmic_axes_always_have_ticks(values: list[float], expected: list[str]) -> None:
    found = log_axis("x", values)
    assert found["ticktext"] == expected
    low, high = (10**end for end in found["range"])
    assert low < min(values) <= max(values) < high


# -- one table -----------------------------------------------------------------------------------------------


def test_the_trade_off_has_a_point_for_each_row(results: Results) -> None:
    section = section_of(results)
    for chart in (charts.parameters(section), charts.latency(section)):
        assert chart is not None
        drawn = [one for trace in chart.data[1:] for one in trace["x"] if one is not None]
        assert len(drawn) == len(chart.rows) == len(section.entries)
        assert chart.layout["xaxis"]["type"] == "log"
    latency = charts.latency(section)
    assert latency is not None
    assert dict(zip(latency.head, latency.rows[0], strict=True)) == {
        "row": "small · mask · kl",
        "median time for one text, ms": "0.02 ms (onnx)",
        "accuracy, %": "85.4 ± 0.6",
        "% of the teacher's": "93.2",
        "best trade-off": "yes",
    }


def test_bars_are_intervals_where_there_are_predictions_else_deviations() -> None:
    results = Results()
    for with_predictions in (False, True):
        section = section_of(results, with_predictions)
        chart = charts.parameters(section)
        assert chart is not None
        (trace,) = [t for t in chart.data if t["name"] == "wide" and not t["showlegend"]]  # its baseline
        entry = next(e for e in section.entries if e.label == "wide · labels alone")
        if with_predictions:
            assert entry.row.interval is not None
            expected = 100 * (entry.row.interval[1] - 100.5 / 120) / (110 / 120)
            assert "95 %" in chart.note
        else:
            expected = 100 * (0.5**0.5 / 120) / (110 / 120)  # of 100 and 101 right
            assert "deviations over seeds" in chart.note
        assert trace["error_y"]["array"] == pytest.approx([expected])


def test_lines_lead_from_the_plain_set_to_the_augmented_one(results: Results) -> None:
    chart = charts.transfer(section_of(results))
    assert chart is not None
    found = traces(chart)
    assert found["small · kl"] == [
        (600, pytest.approx(100 * 96.5 / 120)),
        (3000, pytest.approx(100 * 102.5 / 120)),
    ]
    assert set(found) == {
        *("small · kl", "wide · kl", "small · labels alone", "wide · labels alone"),
        "open symbol: labels alone",
    }
    assert [row[:2] for row in chart.rows if row[0].startswith("small")] == [
        ("small · none · kl", "600"),
        ("small · labels alone", "600"),
        ("small · mask · kl", "3,000"),
    ]


def test_many_students_share_the_colours_of_their_names() -> None:
    results = Results()
    for width in range(8):
        more = Results()
        for one in more.records[1:]:
            one["student"]["params"] = {"width": width}
            one["cell"] += str(width)
        results.records += more.records[1:]
    section = section_of(results)
    chart = charts.parameters(section)
    assert chart is not None
    assert {entry.family for entry in section.entries} == {"big", "small", "wide"}
    assert len({entry.colour for entry in section.entries}) == 3
    listed = [trace["name"] for trace in chart.data if trace.get("showlegend", True)]
    assert listed == ["best trade-offs", "big (teacher)", "small", "wide", "open symbol: labels alone"]
    assert any("width=3" in row[0] for row in chart.rows)


def test_sets_of_one_size_make_no_chart() -> None:
    results = Results()
    results.records = [r for r in results.records if (r.get("augmenter") or {}).get("name") != "mask"]
    assert charts.transfer(section_of(results)) is None


def test_a_single_row_makes_no_chart() -> None:
    results = Results()
    results.records = results.records[:1]
    assert charts.of_section(section_of(results)) == []


def test_rows_without_a_size_are_left_out() -> None:
    results = Results()
    for record in results.records:
        record["parameters"] = None
        record["latency"] = []
    assert [chart.id for chart in charts.of_section(section_of(results))] == ["emotion-local-transfer"]


# -- across tasks --------------------------------------------------------------------------------------------


def across(results: Results) -> charts.Chart | None:
    return tasks.error_reduction(sections(build(results.records), results.records))


def test_saved_errors_are_over_the_same_student_alone() -> None:
    chart = across(Results(("emotion", "reviews"), shift=2))
    assert chart is not None
    found = traces(chart)
    # small alone makes 29.5 errors of 120; its best recipe 17.5, or 19.5 on reviews.
    assert found["small"] == [
        ("emotion", pytest.approx(-100 * 12 / 29.5)),
        ("reviews", pytest.approx(-100 * 10 / 29.5)),
    ]
    assert found["wide"][0] == ("emotion", pytest.approx(-100 * 7 / 19.5))
    assert found["teacher, over the best student alone"][0] == ("emotion", pytest.approx(-100 * 9.5 / 19.5))
    assert chart.rows[0] == ("emotion", "wide · mask · kl", "83.8", "89.6", "-35.9")


def test_the_recipe_is_chosen_on_the_validation_split() -> None:
    results = Results(("emotion", "reviews"))
    for record in results.records:
        plain = (record.get("augmenter") or {}).get("name") == "none"
        record["validation"] = {"accuracy": 0.9 if plain else 0.1}
    chart = across(results)
    assert chart is not None
    assert {row[1] for row in chart.rows} == {"wide · none · kl", "small · none · kl", "big (teacher)"}


def test_one_task_or_other_metrics_make_no_comparison_across() -> None:
    assert across(Results()) is None
    results = Results(("emotion", "reviews"))
    for record in results.records:
        record["task"]["headline"] = "perplexity"
        record["metrics"] = {"perplexity": 20.0}
    assert across(results) is None


def test_sample_corpora_are_compared_only_among_themselves() -> None:
    real, sample = Results(("emotion",)), Results(("emotion", "reviews"), source="sample")
    assert across(sample) is not None
    real.records += sample.records
    assert across(real) is None  # one real task, beside two that are none


# -- paint ---------------------------------------------------------------------------------------------------


def test_paint_escapes_data_and_nothing_else() -> None:
    figure = {
        "data": [
            {"name": HOSTILE[0], "hovertemplate": "<b>%{x}</b>", "x": [HOSTILE[1], 1, None], "color": "@ink"}
        ],
        "layout": {"title": {"text": HOSTILE[2]}, "plot_bgcolor": "@surface"},
    }
    found = painted(figure, "dark")
    assert found["data"][0] == {
        "name": "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;",
        "hovertemplate": "<b>%{x}</b>",
        "x": ['"&gt;&lt;svg onload=alert(2)&gt;', 1, None],
        "color": THEMES["dark"]["@ink"],
    }
    assert found["layout"]["title"]["text"] == "&lt;!--&lt;script&gt;alert(3)"
    assert found["layout"]["plot_bgcolor"] == THEMES["dark"]["@surface"]


def test_a_text_that_looks_like_a_colour_stays_a_text() -> None:
    assert painted({"name": "@ink", "y": ["@muted"]}) == {"name": "@ink", "y": ["@muted"]}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_inks_can_be_read_on_both_themes() -> None:
    for (theme, colours), (ink, least) in itertools.product(THEMES.items(), [("@ink", 7), ("@muted", 4.5)]):
        low, high = sorted((luminance(colours[ink]), luminance(colours["@surface"])))
        assert (high + 0.05) / (low + 0.05) >= least, (theme, ink)
