from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from reporting import HOSTILE, Results, hostile

from harness import HarnessError
from harness.report.html import svg
from harness.report.html import write as report
from harness.report.html.figures import Chart

TAME = ("parameters", "confusion")


def written(results: Results, folder: Path) -> list[Path]:
    return report.write_charts(results.board, results.records, results.predictions, folder)


@pytest.fixture(scope="module")
def can_draw() -> None:
    if why := svg.missing():
        pytest.skip(why)


def some(results: Results, *names: str) -> list[Chart]:
    """The charts of those names, without what needs predictions."""
    return [chart for chart in svg.all_charts(results.board, results.records, {}) if chart.id.endswith(names)]


@pytest.fixture(scope="module")
def drawn(can_draw: None, results: Results, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tame charts and then the hostile ones, by one browser."""
    wanted = [*some(results, *TAME), *some(hostile(), "transfer", "classes")]
    return svg.write(wanted, tmp_path_factory.mktemp("drawn"))


def test_every_chart_of_the_page_is_drawn(results: Results) -> None:
    made = svg.all_charts(results.board, results.records, results.predictions)
    assert [chart.id.removeprefix("emotion-local-") for chart in made] == [
        *("parameters", "latency", "transfer"),
        *("classes", "confusion", "reliability", "confidence", "selective"),
        *("validation", "loss", "timing"),
    ]


def test_sample_corpora_are_drawn_only_where_there_is_nothing_else() -> None:
    real, sample = Results(), Results(source="sample")
    assert svg.all_charts(sample.board, sample.records, sample.predictions)
    real.records += sample.records
    names = {chart.id for chart in svg.all_charts(real.board, real.records, {})}
    assert not any("sample" in name for name in names)


def test_charts_are_svg_and_the_same_each_time(results: Results, drawn: list[Path], tmp_path: Path) -> None:
    first, second = drawn[: len(TAME)], svg.write(some(results, *TAME), tmp_path)
    assert [path.name for path in first] == ["emotion-local-parameters.svg", "emotion-local-confusion.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        root = ElementTree.parse(one).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert int(root.attrib["width"]) == svg.WIDTH
    text = "".join(ElementTree.parse(first[0]).getroot().itertext())
    assert "accuracy, % of the teacher's" in text
    assert "big (teacher)" in text


def test_hostile_names_are_texts_in_charts(drawn: list[Path]) -> None:
    assert drawn[len(TAME) :]
    for path in drawn[len(TAME) :]:
        assert path.parent == drawn[0].parent
        root = ElementTree.parse(path).getroot()
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "img", "image", "foreignObject", "a"}, tags
        assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
        texts = {"".join(element.itertext()) for element in root.iter()}
        assert texts & {HOSTILE[0], f"{HOSTILE[0]} · {HOSTILE[3]}"}


@pytest.mark.usefixtures("without_browser")
def test_without_a_browser_the_reason_is_said(results: Results, tmp_path: Path) -> None:
    assert report.without_charts()
    with pytest.raises(HarnessError, match=r"there is no Chromium or Chrome|kaleido is not installed"):
        written(results, tmp_path)


@pytest.mark.usefixtures("can_draw")
def test_a_browser_that_fails_is_one_sentence(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = shutil.which("false")
    assert false
    monkeypatch.setenv("CHROMIUM", false)
    with pytest.raises(HarnessError, match="cannot draw charts: the browser failed") as caught:
        written(results, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.svg"))
