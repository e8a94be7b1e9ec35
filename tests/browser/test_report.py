"""The page in a real browser, from disk: charts, tables, filters, the viewer, links, without scripts, on paper."""

import os
import re
from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import chromium, diagnostics_factory, report_factory

pytestmark = pytest.mark.browser

TASKS = ["detection", "semantic", "classification"]


@pytest.fixture(scope="session")
def browser():
    path = chromium.find()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: `python -m tests.chromium` installs one")
        pytest.skip("no Chromium: `python -m tests.chromium` installs one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The report of a made-up run with every kind of section."""
    root = tmp_path_factory.mktemp("report")
    run = report_factory.params()
    layout = Layout(root)
    made = diagnostics_factory.explained(run, report_factory.scores(run, tasks=TASKS))
    report_factory.write(run, layout, made, frames=3)
    diagnostics_factory.write(run, layout, TASKS)
    with pytest.MonkeyPatch.context() as patch:
        statuses = ["pass", "fail", "uncertain", "fail", "not_run"]
        patch.setattr(report.rules, "evaluate", lambda run, _: report_factory.gates(run, statuses=statuses))
        report.publish(run, layout)
    return layout.reports


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def page(context, folder):
    """The page, opened; at the end nothing may have been complained about or asked for."""
    opened = context.new_page()
    complaints, requests = [], []
    opened.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address(folder))
    yield opened
    assert complaints == []
    assert {r.split("#")[0] for r in requests if not r.startswith(("data:", "blob:"))} == {address(folder)}


def address(folder: Path, place: str = "") -> str:
    return (folder / report.PAGE).as_uri() + place


def to_the_end(page) -> None:
    """Scroll slowly enough for everything to come into view."""
    page.evaluate(
        """async () => {
            for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
                scrollTo(0, y);
                await new Promise((done) => setTimeout(done, 60));
            }
        }"""
    )


def test_light_at_load_and_whole_at_the_end(page, folder):
    assert (folder / report.PAGE).stat().st_size < 10_000_000
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert page.evaluate("document.querySelectorAll('.main-svg').length") == 0
    to_the_end(page)
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    errors, calibration = 6 + 2 + 4, (2 + 2 + 3) + (2 + 2 + 3)
    assert charts == 3 * (2 + 9 + 2) + errors + calibration + 1  # and what h264 made of the clips
    page.wait_for_function(f"document.querySelectorAll('[data-figure] .main-svg:first-child').length === {charts}")
    assert not page.evaluate("document.querySelectorAll('a[href^=http]').length")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_telephone(browser, folder, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address(folder))
    to_the_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_the_switch_changes_paper_and_charts(page):
    to_the_end(page)
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(f"[{ink}, {paper}]")
    page.click("#theme")
    after = page.evaluate(f"[{ink}, {paper}]")
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("state", ["light", "dark", "dialog"])
def test_nothing_shuts_anybody_out(page, state):
    """No violation of what axe-core can check, everything drawn."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    to_the_end(page)
    if state == "dark":
        page.click("#theme")
    if state == "dialog":
        page.locator("#cards .example button").first.click()
        assert page.locator("#viewer").is_visible()
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found] == []


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


def test_gallery_filters_and_says_when_a_cell_has_no_picture(page):
    page.select_option("[data-filter=corruption]", "fog")
    page.select_option("[data-filter=severity]", "3")
    page.select_option("[data-filter=task]", "detection")
    cards = page.locator("#cards .example")
    assert cards.count() == 2 * 3
    assert set(cards.evaluate_all("all => all.map((c) => c.dataset.corruption + c.dataset.severity)")) == {"fog3"}
    page.select_option("[data-filter=severity]", "4")
    assert cards.count() == 0
    page.click("#gallery-empty a")
    assert cards.count() > 0
    assert cards.first.get_attribute("data-corruption") == "fog"
    assert cards.first.get_attribute("data-task") == "detection"


def test_viewer_opens_steps_and_gives_the_focus_back(page):
    page.select_option("[data-filter=task]", "detection")
    page.locator("#cards .example button").nth(1).click()
    viewer = page.locator("#viewer")
    assert viewer.is_visible()
    title = page.locator("#viewer-title").text_content()
    assert page.locator("#viewer-body g.side-prediction path").count() == 2
    assert page.locator("#viewer-body text", has_text="car").count() >= 2
    page.uncheck("[data-layer=prediction]")
    assert not page.locator("#viewer-body g.side-prediction").is_visible()
    page.check("[data-layer=prediction]")
    page.keyboard.press("ArrowRight")
    here = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('open')")
    assert here == page.locator("#cards .example").nth(2).get_attribute("data-example")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-title").text_content() == title
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    focused = page.evaluate("document.activeElement.closest('.example').dataset.example")
    assert focused == page.locator("#cards .example").nth(1).get_attribute("data-example")


def test_the_address_brings_back_what_is_open(page, folder):
    page.select_option("[data-filter=corruption]", "snow")
    page.select_option("[data-filter=task]", "detection")
    page.locator("#cards .example button").first.click()
    place = page.evaluate("location.hash")
    title = page.locator("#viewer-title").text_content()
    page.reload()
    assert page.evaluate("location.hash") == place
    assert page.locator("#viewer").is_visible()
    assert page.locator("#viewer-title").text_content() == title
    assert page.locator("[data-filter=corruption]").input_value() == "snow"
    page.go_back()
    page.wait_for_function("!document.querySelector('#viewer').open")


def test_a_gate_leads_to_its_curve_and_its_pictures(page):
    row = page.locator("#gate-table tbody tr").first
    assert "fails" in row.text_content()
    row.locator("a", has_text="curve").click()
    assert page.locator("#curve-detection-fog").evaluate("n => n.classList.contains('marked')")
    row.locator("a", has_text="pictures").click()
    cards = page.locator("#cards .example")
    found = cards.evaluate_all(
        "all => all.map((c) => [c.dataset.model, c.dataset.corruption, c.dataset.severity].join())"
    )
    assert set(found) == {"crossing-v2,fog,3"}
    page.locator("#gate-table tbody tr", has_text="camera").first.locator("a", has_text="slices").click()
    shown = page.locator("#slice-table tbody tr")
    assert shown.count() == 1
    assert "camera=north" in shown.text_content()


def test_a_cell_of_the_map_leads_to_its_pictures(page):
    page.locator("#map .chart").first.scroll_into_view_if_needed()
    page.wait_for_selector("#map .chart .main-svg")
    box = page.locator("#map .chart .heatmaplayer").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 3.5 / 8)
    page.wait_for_function("location.hash.includes('corruption=fog')")
    assert "severity=3" in page.evaluate("location.hash")
    assert page.locator("#cards .example").first.get_attribute("data-corruption") == "fog"


def test_csv_is_the_table_and_the_file(page, folder):
    with page.expect_download() as waiting:
        page.click("#export")
    whole = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert whole == (folder / "slices.csv").read_text(encoding="utf-8")
    page.select_option("#slice-model", "crossing-v2")
    page.fill("#slices input[type=search]", "night")
    with page.expect_download() as waiting:
        page.click("#export")
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    wanted = [line for line in whole.splitlines()[1:] if "crossing-v2" in line and "night" in line]
    assert lines == [whole.splitlines()[0], *wanted]
    assert len(wanted) == len(TASKS)


def test_tables_sort_numbers_as_numbers(page):
    head = page.locator("#slice-table thead th", has_text="rPC")
    head.click()
    cells = "#slice-table tbody tr td:nth-child(11)"
    column = f"[...document.querySelectorAll('{cells}')].map((c) => Number(c.dataset.order))"
    # The table is drawn again a moment after the click; as text, 0.09 would not come before 0.1.
    page.wait_for_function(f"((v) => v.length > 5 && v.every((x, i) => !i || v[i - 1] <= x))({column})")
    assert re.search(r"order=10\.", page.evaluate("location.hash"))


def test_the_comparison_marks_what_is_told_apart(page):
    rows = page.locator("#comparison-table tbody tr")
    assert rows.first.locator(".outcome.regression").text_content() == "▼ regression"
    assert "not told apart" in rows.first.text_content()
    assert page.locator("#models .told li").count() == len(TASKS)
    page.locator("#comparison-table thead th", has_text="Δ mPC").click()
    first = "Number(document.querySelector('#comparison-table tbody td:nth-child(5)').dataset.order)"
    page.wait_for_function(f"{first} < 0")
    shown = page.locator("#comparison-table tbody td:nth-child(5)").evaluate_all(
        "all => all.map((cell) => Number(cell.dataset.order))"
    )
    assert shown == sorted(shown), "by the figure, not as text"


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


def test_confusions_sort_follow_the_task_and_save_as_csv(page):
    table = page.locator("#confusion-table")
    page.select_option("#task", "detection")
    assert set(table.locator("tbody td:first-child").all_text_contents()) == {"Detection"}
    with page.expect_download() as waiting:
        page.click("[data-export=confusion-table]")
    assert waiting.value.suggested_filename == "confusions.csv"
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "task,model,data,true_class,predicted_class,count,unit,share"
    assert all(line.startswith("Detection,") for line in lines[1:])
    counts = [int(line.split(",")[5]) for line in lines[1:] if ",crossing-v1,all corruptions," in line]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 4
    table.locator("thead th", has_text="Count").click()
    table.locator("thead th[aria-sort=ascending]", has_text="Count").wait_for()
    shown = [int(text) for text in table.locator("tbody td:nth-child(6)").all_text_contents()]
    assert shown == sorted(shown)


def test_tables_fit_the_page(page):
    for table in ("gate-table", "slice-table", "comparison-table", "confusion-table", "policy-thresholds"):
        assert page.evaluate(f"document.getElementById('{table}').scrollWidth") <= 1400


def test_curves_have_bands(page):
    curve = page.locator("#curve-detection-fog .chart")
    curve.scroll_into_view_if_needed()
    page.wait_for_selector("#curve-detection-fog .main-svg")
    assert curve.locator(".fills path").count() >= 2 or curve.locator("path.js-fill").count() >= 2


def test_chart_data_opens_as_a_table(page):
    details = page.locator("#map details.data").first
    details.locator("summary").click()
    details.locator("tbody tr").nth(7).wait_for()  # filled when it opens
    assert details.locator("tbody tr").count() == 8
    details.locator("tbody a").first.click()
    assert page.evaluate("location.hash").startswith("#gallery?")


def test_readable_without_scripts(browser, folder):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address(folder))
    assert page.locator("h1", has_text="Do not ship").is_visible()
    assert page.locator("#gate-table tbody tr").count() == 5
    assert page.locator("#slice-table tbody tr").last.is_visible()
    page.locator("#map details.data summary").first.click()
    assert page.locator("#map details.data table").first.is_visible()
    card = page.locator("#cards .example").first
    assert card.is_visible()
    box = card.locator("svg.picture").first.bounding_box()
    assert box["width"] > 100
    shot = page.locator("#cards .example svg.picture").nth(1).screenshot()
    assert len(shot) > 600, "a picture, not an empty frame"
    assert not page.locator(".needs-script").first.is_visible()
    context.close()


def test_print_has_every_chart_and_row_in_light(browser, folder):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(address(folder))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    assert page.evaluate("document.querySelectorAll('[data-figure] .main-svg:first-child').length") == charts
    rows = len((folder / "slices.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert page.locator("#slice-table tbody tr").count() == rows
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()


def test_hostile_names_do_nothing(browser, tmp_path):
    run = report_factory.params()
    hostile = report_factory.HOSTILE
    layout = Layout(tmp_path)
    tasks = ["detection", "classification", "semantic"]
    made = report_factory.scores(run, tasks=tasks, slices=[f"camera={hostile}"], classes=[hostile])
    report_factory.write(run, layout, diagnostics_factory.explained(run, made), class_name=hostile)
    diagnostics_factory.write(run, layout, tasks, class_name=hostile)
    with pytest.MonkeyPatch.context() as patch:
        rows = report_factory.gates(run, statuses=["fail"], slice_=f"camera={hostile}")
        patch.setattr(report.rules, "evaluate", lambda *_: rows)
        report.publish(run, layout)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints = []
    page.on("dialog", lambda dialog: complaints.append("a script of a name ran") or dialog.dismiss())
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address(layout.reports))
    to_the_end(page)
    page.locator("#gate-table a", has_text="slices").first.click()
    assert page.locator("#slice-table tbody tr").count() == 1
    page.locator("#cards .example button").first.click()
    assert hostile in page.locator("#viewer-body text").first.text_content()
    page.keyboard.press("Escape")
    for place in ("#confusion-crossing-v1-0 .ytick", "#classes-crossing-v1 .ytick"):
        assert hostile in page.locator(place).all_text_contents()
    assert hostile in page.locator("#policy-thresholds").text_content()
    page.select_option("#task", "")
    assert hostile in page.locator("#confusion-table").text_content()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("img").count() == 0
    assert complaints == []
    context.close()
