"""Charts: what they show follows the reader's choices, and their tables say the same."""

import pytest

from tests import diagnostics_factory
from tests.browser import pages

pytestmark = pytest.mark.browser


def test_the_switch_changes_paper_and_charts(page):
    page.locator("#map .chart").first.scroll_into_view_if_needed()
    page.wait_for_selector("#map .chart .xtick text")
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(f"[{ink}, {paper}]")
    page.click("#theme")
    after = page.evaluate(f"[{ink}, {paper}]")
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_toggles_change_what_charts_show(page):
    page.locator("#map .chart").first.scroll_into_view_if_needed()
    page.wait_for_selector("#map .chart .main-svg")
    first = "document.querySelector('#map .chart')"
    assert page.evaluate(f"{first}.data.map((t) => t.visible)") == [True, True, False, False]
    page.check("input[name=cells][value=absolute]")
    assert page.evaluate(f"{first}.data.map((t) => t.visible)") == [False, False, True, True]
    curve = page.locator("#curve-detection-jpeg_compression .chart")
    curve.scroll_into_view_if_needed()
    page.wait_for_selector("#curve-detection-jpeg_compression .main-svg")
    page.check("input[name=axis][value=strength]")
    node = "document.querySelector('#curve-detection-jpeg_compression .chart')"
    assert page.evaluate(f"{node}.data[2].x") == [None, 25, 18, 15, 10, 7]
    band = [None, 25, 18, 15, 10, 7]
    assert page.evaluate(f"{node}.data[0].x") == band + band[::-1]
    low, high = page.evaluate(f"{node}._fullLayout.xaxis.range")
    assert low > high, "milder stands left"
    page.check("input[name=axis][value=severity]")
    assert page.evaluate(f"{node}.data[2].x") == [0, 1, 2, 3, 4, 5]
    assert page.evaluate(f"{node}.data[0].x") == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]


def test_curves_have_bands(page):
    curve = page.locator("#curve-detection-fog .chart")
    curve.scroll_into_view_if_needed()
    page.wait_for_selector("#curve-detection-fog .main-svg")
    assert curve.locator(".fills path").count() >= 2 or curve.locator("path.js-fill").count() >= 2


def test_error_causes_draw_and_their_table_says_the_same(page):
    page.locator("nav.bar a", has_text="Errors").click()
    card = page.locator("#kinds-detection-tide_miss")
    card.scroll_into_view_if_needed()
    page.wait_for_selector("#kinds-detection-tide_miss .main-svg")
    node = "document.querySelector('#kinds-detection-tide_miss .chart')"
    page.select_option("#errors-choice", "fog")
    card.locator(".xtitle", has_text="severity, fog").wait_for()
    drawn = page.evaluate(f"{node}.data.map((trace) => Array.from(trace.y))")
    details = page.locator("#errors-detection details.data").first
    details.locator("summary").click()
    details.locator("tbody tr").nth(90).wait_for()
    heads = details.locator("thead th").all_text_contents()
    lines = details.locator("tbody tr").evaluate_all(
        "all => all.map((row) => [...row.cells].map((c) => c.textContent))"
    )
    column = heads.index("missed: no box for it")
    for place, model in enumerate(("crossing-v1", "crossing-v2")):
        told = [float(line[column].split(" ")[0]) for line in lines if line[0] == "fog" and line[2] == model]
        assert told == pytest.approx(drawn[place][1:], abs=6e-4)
        cell = [diagnostics_factory.value("detection", model, "tide_miss", "fog", s) for s in range(6)]
        assert drawn[place] == pytest.approx(cell, abs=6e-5)


def test_one_choice_of_corruption_for_all_charts_and_the_address(page):
    page.locator("nav.bar a", has_text="Calibration").click()
    page.locator("#ece-detection-d_ece").scroll_into_view_if_needed()
    page.wait_for_selector("#ece-detection-d_ece .main-svg")
    page.select_option("#calibration-choice", "rain")
    assert page.locator("#errors-choice").input_value() == "rain"
    assert "under=rain" in page.evaluate("location.hash")
    page.reload()
    assert page.locator("#calibration-choice").input_value() == "rain"
    node = "document.querySelector('#ece-detection-d_ece .chart')"
    page.locator("#ece-detection-d_ece").scroll_into_view_if_needed()
    page.locator("#ece-detection-d_ece .xtitle", has_text="severity, rain").wait_for()
    expected = [diagnostics_factory.value("detection", "crossing-v2", "d_ece", "rain", s) for s in range(6)]
    assert page.evaluate(f"Array.from({node}.data[1].y)") == pytest.approx(expected, abs=6e-5)
    heat = "document.querySelector('#classes-crossing-v1 .chart')"
    page.locator("#classes-crossing-v1").scroll_into_view_if_needed()
    page.locator("#classes-crossing-v1 .xtitle", has_text="severity, rain").wait_for()
    cells = page.evaluate(f"[{heat}.data[0].z.flat(), Array.from({heat}.data[1].text)]")
    assert [float(text) for text in cells[1]] == pytest.approx(cells[0], abs=6e-3)
    page.select_option("#errors-choice", "")
    page.locator("#classes-crossing-v1 .xtitle", has_text="mean of all corruptions").wait_for()
    assert "under" not in page.evaluate("location.hash")


def test_chart_data_opens_as_a_table(page):
    details = page.locator("#map details.data").first
    details.locator("summary").click()
    details.locator("tbody tr").nth(7).wait_for()  # filled when it opens
    assert details.locator("tbody tr").count() == 8
    details.locator("tbody a").first.click()
    assert page.evaluate("location.hash").startswith("#gallery?")


def test_every_chart_has_a_heading_a_sentence_and_its_data(whole):
    told = whole.locator("[data-figure]").evaluate_all(
        """all => all.map((node) => {
            const card = node.closest('.card'), rows = card.closest('.multiples');
            const sentence = card.querySelector('.takeaway');
            const place = rows ? rows.parentNode : card;
            return {id: node.dataset.figure, heading: (card.querySelector('h3, h4, h5') || {}).textContent,
                sentence: sentence && sentence.textContent, label: node.getAttribute('aria-label'),
                cells: [...place.querySelectorAll('table tbody td')].length};
        })"""
    )
    assert len(told) > 50
    for chart in told:
        assert (chart["heading"] or "").strip(), chart
        assert (chart["sentence"] or "").strip().endswith("."), chart
        assert chart["label"], chart
        assert chart["cells"] >= 2, chart


def test_tables_hold_what_the_maps_and_curves_show(whole):
    """Every cell of every map and every point of every curve, rounded as the page rounds."""
    maps = whole.locator("#map .card").evaluate_all(
        """all => all.map((card) => [card.querySelector('.chart').data.map((trace) => Array.from(trace.text).flat()),
            [...card.querySelectorAll('table tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))])"""
    )
    assert len(maps) == 2 * len(pages.TASKS)
    for (_, kept, _, values), rows in maps:
        assert len(rows) == 8
        for place, row in enumerate(rows):
            for column, cell in enumerate([*row[2:8]]):
                value, share = values[6 * place + column], kept[6 * place + column]
                assert cell.split(" ")[0] == value
                assert column == 5 or cell.endswith(f"{share} of clean")
            assert row[8].startswith(kept[6 * place + 5])
    blocks = whole.locator("#curves .block[id^=curves-]").evaluate_all(
        """all => all.map((block) => [[...block.querySelectorAll('.card')].map((card) =>
            [card.querySelector('h4').textContent.toLowerCase(), card.querySelector('.chart').data.filter((t) =>
            t.mode === 'lines+markers').map((t) => [Array.from(t.x), Array.from(t.y)])]),
            [...block.querySelectorAll('table tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))])"""
    )
    assert len(blocks) == len(pages.TASKS)
    for cards, rows in blocks:
        known = {(row[0].lower(), int(row[1])): row[3:] for row in rows}
        for name, lines in cards:
            for place, (across, values) in enumerate(lines):
                for severity, value in zip(across, values, strict=True):
                    told = known[(name, severity) if severity else ("clean", 0)][place].split(" ")[0]
                    assert float(told) == pytest.approx(value, abs=5.6e-4), (name, severity)
