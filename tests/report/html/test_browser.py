"""The report in a real browser: from disk, without a network, at any width, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opening import Browser, Shared
from reporting import HOSTILE, SCORES, Results

from harness.report.html import write as report
from harness.report.html.figures import shortened

ROWS = 1 + len(SCORES)
SHOWN = ".board tbody tr:not([hidden])"


@pytest.fixture(scope="module")
def shared(chromium: Any, page: Path) -> Iterator[Shared]:
    """The report of one task, opened once, where the system's theme is dark."""
    opened = Shared(chromium, page, color_scheme="dark")
    yield opened
    opened.browser.close()


@pytest.fixture
def shown(shared: Shared) -> Iterator[Any]:
    """The same as it was when opened; at the end it may have complained of nothing."""
    yield shared.page
    assert shared.put_back() == []


def column(page: Any, title: str) -> list[str]:
    """The texts of a column of the table, of the rows that are shown."""
    titles = [
        text.replace("\n", " ").split(" ↕")[0] for text in page.locator(".board thead th").all_inner_texts()
    ]
    at = titles.index(title)
    texts: list[str] = page.locator(SHOWN).evaluate_all(
        "(rows, at) => rows.map(row => row.cells[at].innerText)", at
    )
    return texts


def sort_by(page: Any, title: str) -> Any:
    return page.locator(".board thead button", has_text=title).first


# -- the table -----------------------------------------------------------------------------------------------


def test_the_table_sorts_by_the_number_behind_the_text(shown: Any) -> None:
    assert shown.locator(SHOWN).count() == ROWS
    button = sort_by(shown, "parameters")
    button.click()
    sizes = column(shown, "parameters")
    assert sizes == ["20.0 M", *["50,000"] * 3, *["1,000"] * 4]
    assert shown.locator("th[aria-sort]").all_inner_texts() == ["parameters"]
    assert shown.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.click()
    assert column(shown, "parameters") == sizes[::-1]
    assert shown.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_missing_numbers_stay_last_whatever_the_order(shown: Any) -> None:
    for _ in range(2):
        sort_by(shown, "gain").click()
        gains = column(shown, "gain, points")
        assert gains[-3:] == ["—"] * 3  # the teacher and two baselines
        assert "—" not in gains[:-3]


def test_the_keyboard_sorts(shown: Any) -> None:
    sort_by(shown, "model").focus()
    shown.keyboard.press("Enter")
    assert shown.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    names = column(shown, "model")
    assert names == sorted(names)
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.closest('th').innerText").startswith("accuracy")


def test_words_and_facets_filter_the_table_and_dim_the_charts(shown: Any) -> None:
    out = shown.locator(".filters output")
    shown.get_by_label("Filter", exact=True).fill("small KL")
    assert column(shown, "model") == ["small"] * 2
    assert out.inner_text() == f"2 of {ROWS} rows"
    faded = shown.locator("#emotion-local-parameters .points path.point").evaluate_all(
        "all => all.filter(one => getComputedStyle(one).opacity < 0.5).length"
    )
    assert faded == ROWS - 2
    shown.get_by_role("button", name="Clear").click()
    shown.locator(".filters output", has_text=re.compile(f"^{ROWS} rows$")).wait_for(timeout=10_000)
    shown.locator("select[name=role]").select_option("distilled")
    shown.locator("select[name=augmenter]").select_option("mask")
    assert column(shown, "model") == ["wide", "small"]
    assert out.inner_text() == f"2 of {ROWS} rows"


def test_facets_with_one_value_are_not_asked_for(shown: Any) -> None:
    names = shown.locator("form[role=search] select").evaluate_all("all => all.map(one => one.name)")
    assert names == ["role", "student", "augmenter", "loss"]  # there is one teacher


# -- charts --------------------------------------------------------------------------------------------------


def test_every_chart_is_drawn_and_has_its_table(shown: Any) -> None:
    charts = shown.locator("figure.chart")
    assert charts.count() == 11
    for chart in charts.all():
        assert chart.locator(".main-svg").count() >= 1, chart.get_attribute("id")
        assert chart.locator("details tbody tr").count() >= 2, chart.get_attribute("id")
        assert "table below" in (chart.locator(".plot").get_attribute("aria-label") or "")


def test_points_tell_what_they_are(shown: Any) -> None:
    point = shown.locator("#emotion-local-parameters .points path.point").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    tip = shown.locator("#emotion-local-parameters .hoverlayer .hovertext")
    tip.wait_for(timeout=10_000)
    assert "big (teacher)" in tip.text_content()
    assert "accuracy 91.7 %" in tip.text_content()
    assert "20.0 M parameters" in tip.text_content()


def test_a_closer_look_follows_its_rows(shown: Any) -> None:
    numbers = shown.locator("#emotion-local-classes .numbers")
    assert "wide · mask · kl" in numbers.text_content()  # the best student, beside its teacher
    assert "big (teacher)" in numbers.text_content()
    row = shown.locator("select[name=row]")
    row.select_option(label="small · none · mse: 70.4 %")
    assert "small · none · mse" in numbers.text_content()
    assert "wide" not in numbers.text_content()
    legend = shown.locator("#emotion-local-classes .legendtext").all_text_contents()
    assert legend == ["small · none · mse", "big (teacher)"]
    # 84 and 85 of 120 right, 40 texts of each class: 28, 28, 28 and 29, 28, 28.
    grid = shown.locator("#emotion-local-confusion tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert grid == [
        ["anger", "57", "23", "0"],
        ["joy", "0", "56", "24"],
        ["love", "24", "0", "56"],
    ]


def test_a_click_on_a_point_looks_closer(shown: Any) -> None:
    point = shown.locator("#emotion-local-latency .points path.point").first
    point.scroll_into_view_if_needed()
    point.click(force=True)
    assert shown.locator("select[name=row]").evaluate("one => one.selectedOptions[0].text").startswith("big")


def test_tasks_are_shown_one_at_a_time(browser: Browser, page_of_tasks: Path) -> None:
    opened = browser.open(page_of_tasks)
    shown = "section.task:not([hidden]) h2"
    assert opened.locator(shown).all_inner_texts() == ["emotion, local data"]
    opened.get_by_role("link", name="reviews, local data").press("Enter")
    opened.wait_for_selector("#reviews-local:not([hidden])")
    assert opened.locator(shown).all_inner_texts() == ["reviews, local data"]
    assert opened.locator("nav a[aria-current]").all_inner_texts() == ["reviews, local data"]
    assert opened.locator("#reviews-local-parameters .main-svg").count() >= 1
    assert opened.locator("#error-reduction .barlayer .point").count() == 4  # two students, two tasks


# -- how it looks --------------------------------------------------------------------------------------------


def test_the_theme_follows_the_system_and_the_button(shown: Any) -> None:

    def colours() -> tuple[str, str]:
        body = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        text = "getComputedStyle(document.querySelector('.xtick text')).fill"
        return body, shown.evaluate(text)

    dark = colours()
    assert dark == ("rgb(14, 17, 22)", "rgb(232, 234, 237)")
    shown.get_by_role("button", name="Light theme").press("Enter")
    assert colours() == ("rgb(246, 247, 249)", "rgb(27, 31, 36)")
    shown.get_by_role("button", name="Dark theme").click()
    assert colours() == dark


def test_no_width_scrolls_sideways(browser: Browser, page_of_tasks: Path) -> None:
    opened = browser.open(page_of_tasks, width=320)
    for width in (320, 390, 768, 1280):
        opened.set_viewport_size({"width": width, "height": 800})
        opened.wait_for_timeout(300)  # charts follow the width when it rests
        narrow = "width => document.documentElement.scrollWidth <= width"
        opened.wait_for_function(narrow, arg=width, timeout=10_000)
        board = opened.locator("section.task:not([hidden]) .board")
        assert board.evaluate("table => table.parentElement.clientWidth") <= width  # it scrolls in its box
        rights = opened.locator("section.task:not([hidden]) .plot").evaluate_all(
            "all => all.map(one => one.querySelector('.main-svg').getBoundingClientRect().right)"
        )
        assert rights and max(rights) <= width


def test_tables_can_be_read_without_scripts(browser: Browser, page_of_tasks: Path) -> None:
    opened = browser.open(page_of_tasks, charts=False, java_script_enabled=False)
    assert opened.locator(".board").count() == 2
    assert "need JavaScript" in opened.locator("noscript").inner_text()
    assert opened.locator("form.filters").first.is_hidden()


def test_a_browser_that_cannot_unpack_says_so(browser: Browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    start = text.index('id="plotly">') + len('id="plotly">')
    broken = tmp_path / "broken.html"
    broken.write_text(text[:start] + "AAAA" + text[text.index("</script>", start) :], encoding="utf-8")
    opened = browser.open(broken, charts=False)
    trouble = opened.locator("#trouble")
    trouble.wait_for(state="visible", timeout=10_000)
    assert "the charts cannot be drawn here" in trouble.inner_text().lower()
    sort_by(opened, "parameters").click()
    assert column(opened, "parameters")[0] == "20.0 M"


# -- the verdict, on a phone too -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1280])
def test_the_verdict_comes_first(browser: Browser, distilled_page: Path, width: int) -> None:
    opened = browser.open(distilled_page, width=width, charts=False)
    assert opened.locator("h1").inner_text() == "tickets.csv"
    titles = opened.locator("main h2").all_inner_texts()
    assert titles[:4] == ["Ship wide, taught by big", "Did distillation pay?", "Smaller", "All models"]
    assert opened.locator(".verdict p").all_inner_texts() == ["89.6 % accuracy", "200 kB", "<b>yes</b>"]
    assert opened.locator(".cards").count() == 0  # they might name another model
    sizes = opened.locator(".verdict h2").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert sizes[0] > sizes[1] == sizes[2]
    assert opened.locator(".verdict .first").bounding_box()["y"] < 300


def test_commands_can_be_copied(browser: Browser, distilled_page: Path) -> None:
    opened = browser.open(distilled_page, charts=False)
    opened.evaluate("() => { navigator.clipboard.writeText = async text => { window.copied = text; }; }")
    button = opened.get_by_role("button", name="Copy").nth(1)
    button.press("Enter")
    opened.locator(".copy", has_text="Copied").wait_for(timeout=10_000)
    assert opened.evaluate("window.copied") == "harness export out/tickets --row student=small"
    opened.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }")
    opened.get_by_role("button", name="Copy").first.click()
    opened.locator(".copy", has_text="Selected").wait_for(timeout=10_000)
    assert opened.evaluate("String(getSelection())") == "harness predict out/model < texts.txt"


def test_a_phone_shows_the_score_of_each_model(browser: Browser, distilled_page: Path) -> None:
    opened = browser.open(distilled_page, width=390, charts=False)
    titles = [text.split("\n")[0] for text in opened.locator(".board thead th").all_inner_texts()]
    assert titles[:4] == ["#", "model", "accuracy,", "95 %"]
    scores = opened.locator(".board tbody td:nth-child(3)").all()
    assert len(scores) == ROWS
    for score in scores:
        box = score.bounding_box()
        assert box["x"] + box["width"] <= 390


LABELLED = """node => {
    const box = one => one.getBoundingClientRect();
    const labels = [...node.querySelectorAll(".annotation-text")].map(one => [one.textContent, box(one)]);
    const points = [...node.querySelectorAll(".points path.point")].map(one => ["point", box(one)]);
    const [plot] = [...node.querySelectorAll(".bglayer, .gridlayer")].map(box).filter(one => one.width);
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const met = [];
    labels.forEach(([text, at], i) => {
        const others = [...labels.slice(i + 1), ...points];
        for (const [other, its] of others) if (meet(at, its)) met.push([text, other]);
        if (at.left < plot.left || at.right > plot.right) met.push([text, "the edge"]);
    });
    return { labels: labels.map(([text]) => text), points: points.length, met };
}"""


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_labels_cover_no_points_nor_each_other(browser: Browser, page: Path, width: int) -> None:
    opened = browser.open(page, width=width)
    for kind in ("parameters", "latency"):
        found = opened.locator(f"#emotion-local-{kind} .plot").evaluate(LABELLED)
        assert found["met"] == []
        assert found["points"] >= ROWS
        assert set(found["labels"]) <= {"big", "small", "wide"} and len(found["labels"]) >= 2


def test_labels_follow_a_new_width(browser: Browser, page: Path) -> None:
    opened = browser.open(page, width=1280)
    plot = opened.locator("#emotion-local-parameters .plot")
    before = plot.evaluate("node => node.placed")
    opened.set_viewport_size({"width": 330, "height": 900})
    placed = "before => document.querySelector('#emotion-local-parameters .plot').placed !== before"
    opened.wait_for_function(placed, arg=before, timeout=10_000)
    found = plot.evaluate(LABELLED)
    assert found["met"] == [] and len(found["labels"]) >= 2


def test_no_buttons_lie_over_the_data_but_charts_can_be_saved(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    opened = browser.open(page, width=390, accept_downloads=True)
    assert opened.locator(".modebar-btn").count() == 0
    with opened.expect_download(timeout=20_000) as waiting:
        opened.locator("#emotion-local-latency").get_by_role("button", name="Save as SVG").press("Enter")
    assert waiting.value.suggested_filename == "emotion-local-latency.svg"
    waiting.value.save_as(tmp_path / "chart.svg")
    assert "median time for one text" in (tmp_path / "chart.svg").read_text(encoding="utf-8")


def test_long_names_are_cut_in_their_middle(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"a question about the account of a customer, number {n}" for n in range(30))
    results = Results(classes=names)
    report.write(results.board, results.records, results.predictions, tmp_path / "many" / "many")
    for width, most in ((1280, 28), (390, 18)):
        opened = browser.open(tmp_path / "many" / "many" / "index.html", width=width)
        shown = opened.locator("#emotion-local-classes .ytick text").all_text_contents()
        assert len(shown) == 20 and set(shown) < {shortened(name, most) for name in names}
        matrix = opened.locator(
            "#emotion-local-confusion .plot .heatmaplayer image, #emotion-local-confusion .hm"
        )
        assert matrix.first.bounding_box()["width"] > 150
        assert opened.locator("#emotion-local-confusion .xtick text").count() == 0


# -- trust ---------------------------------------------------------------------------------------------------


def test_hostile_texts_are_texts(browser: Browser, hostile_page: Path) -> None:
    opened = browser.open(hostile_page)
    for name in (
        "img",
        "b:not([class])",
        "i",
        "[onload]",
        "[onerror]",
        "a[href^=javascript]",
        "svg [*|href^=javascript]",
    ):
        assert opened.locator(name).count() == 0, name
    assert opened.locator("script").count() == 4  # data, packed and unpacked plotly.js, ours
    assert opened.locator("h1").inner_text() == HOSTILE[0]
    assert HOSTILE[0] in column(opened, "model")
    classes = opened.locator("[id$=local-classes] .ytick text, [id*=local-2-classes] .ytick text")
    assert {shortened(name, 28) for name in HOSTILE[:3]} == set(classes.all_text_contents())
    legend = opened.locator("[id$=parameters] .legendtext").all_text_contents()
    assert HOSTILE[0] in legend
    assert f"{HOSTILE[1]} (teacher)" in legend
    for option in range(3):
        opened.locator("section.task:not([hidden]) form.look select[name=row]").select_option(index=option)
        opened.locator("section.task:not([hidden]) form.look select[name=other]").select_option(
            index=option + 1
        )
    opened.locator("nav a").last.click()
    point = opened.locator("section.task:not([hidden]) .points path.point").first
    point.hover(force=True)
    opened.locator(".hoverlayer .hovertext").first.wait_for(timeout=10_000)
    assert opened.locator("img, [onload], [onerror]").count() == 0


def test_the_policy_holds_even_where_something_slips_in(
    chromium: object, hostile_page: Path, tmp_path: Path
) -> None:
    """Were a text ever taken for HTML, its script would not run and its image not be fetched."""
    text = hostile_page.read_text(encoding="utf-8")
    slipped = '<img src="https://example.com/x.png" onerror="alert(1)"><script>alert(2)</script>'
    (tmp_path / "slipped.html").write_text(text.replace("<h1>", f"{slipped}<h1>", 1), encoding="utf-8")
    opening = Browser(chromium)
    opening.open(tmp_path / "slipped.html")
    opening.close()
    assert not [said for said in opening.complaints if said.startswith(("dialog", "response"))]
    assert sum("Content Security Policy" in said for said in opening.complaints) >= 2


def test_the_overview_links_to_each_suite(browser: Browser, page: Path, hostile_page: Path) -> None:
    opened = browser.open(page.parent.parent / "index.html", charts=False)
    assert opened.locator("h2 a").get_attribute("href") == "emotion/index.html"
    assert "wide · mask · kl" in opened.locator("tbody").inner_text()
    opened = browser.open(hostile_page.parent.parent / "index.html", charts=False, width=390)
    assert opened.locator("img").count() == 0
    assert opened.locator("h2 a").inner_text() == "<img src=x onerror=alert(5)>"
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
