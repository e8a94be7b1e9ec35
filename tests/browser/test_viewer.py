"""The viewer: severities of one frame, filmstrips, addresses and commands to copy, and the slices behind examples."""

import itertools
from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import gallery_factory, report_factory
from tests.browser import access, pages

pytestmark = pytest.mark.browser

TASKS = ("detection", "semantic", "tracking")


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The report of a made-up run with filmstrips, slices and clean examples."""
    run = gallery_factory.params()
    layout = Layout(tmp_path_factory.mktemp("viewer"))
    report_factory.write(run, layout, report_factory.scores(run, tasks=TASKS, slices=["camera=north"]), frames=3)
    gallery_factory.write(run, layout)
    with pytest.MonkeyPatch.context() as patch:
        rows = report_factory.gates(run, statuses=["fail"])  # of the slice camera=north
        patch.setattr(report.rules, "evaluate", lambda *_: rows)
        patch.setattr(report.failure_cases, "failure_cases", lambda *_: "")  # no table of examples here
        report.publish(run, layout)
    return layout.reports


def open_fog(page) -> None:
    """The worst detection under fog at severity 3, opened by keyboard."""
    for name, value in {"task": "detection", "corruption": "fog", "severity": "3", "model": "crossing-v1"}.items():
        page.select_option(f"[data-filter={name}]", value)
    page.locator("#cards .example button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()


def open_film(page) -> None:
    for name in ("task", "corruption", "severity", "model"):
        page.select_option(f"[data-filter={name}]", "")
    page.locator("#films .film button").first.click()
    assert page.locator("#viewer").is_visible()


def picture(page) -> str:
    return page.locator("#viewer-body .large use").get_attribute("href")


def test_the_slider_shows_the_same_frame_at_other_severities(page):
    open_fog(page)
    assert page.locator("#viewer-steps li").all_text_contents() == ["clean: 0.500", "1: 0.000", "3: 0.000", "5: 0.000"]
    slider = page.locator("#viewer-severity")
    assert (slider.get_attribute("max"), slider.input_value()) == ("3", "2")
    seen = {picture(page)}
    slider.focus()
    for told in ("fog, severity 5 (5): score 0.000", None):
        page.keyboard.press("ArrowRight")
        if told:
            assert page.locator("#viewer-at").text_content() == told
            assert slider.get_attribute("aria-valuetext") == told
            assert page.locator("#viewer-steps [aria-current]").text_content() == "5: 0.000"
            assert page.locator("#viewer-title").text_content() == "fog, severity 5 (5) · Detection, crossing-v1"
            assert picture(page) not in seen
            seen.add(picture(page))
    assert page.evaluate("document.activeElement.id") == "viewer-severity", "arrows on the slider leave it in focus"
    page.keyboard.press("Home")
    assert page.locator("#viewer-at").text_content() == "clean data: score 0.500"
    assert page.locator("#viewer-body figure").count() == 2, "clean: no corrupted picture"
    assert picture(page) not in seen
    page.keyboard.press("Escape")
    back = page.evaluate("document.activeElement.closest('.example').dataset.example")
    assert back == "crossing-v1/detection/fog/3/0"
    assert "open" not in page.evaluate("location.hash")
    assert "at=" not in page.evaluate("location.hash")


def test_the_address_holds_the_severity(page, context, folder):
    open_fog(page)
    page.locator("#viewer-severity").focus()
    page.keyboard.press("End")
    place = page.evaluate("location.hash")
    assert "at=5" in place
    other = context.new_page()
    other.goto(pages.address(folder, place))
    assert other.evaluate("location.hash") == place
    assert other.locator("#viewer-severity").input_value() == "3"
    assert other.locator("#viewer-title").text_content() == page.locator("#viewer-title").text_content()
    assert picture(other) == picture(page)
    other.click("#next")
    assert "at=" not in other.evaluate("location.hash"), "the next example stands at its own severity"
    assert other.locator("#viewer-title").text_content().startswith("fog, severity 3")


def test_link_and_command_are_copied_or_given_to_copy(page, context):
    open_fog(page)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-link")
    page.locator("#viewer-copied", has_text="Link copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    page.click("#copy-command")
    page.locator("#viewer-hand").wait_for()
    chosen = "[document.activeElement.id, getSelection().toString() || document.activeElement.value]"
    assert page.evaluate(chosen) == [
        "viewer-text",
        "stormglass export-qa qa --model crossing-v1 --task detection --severity 3"
        " --where 'frame_id == 0 and corruption == \"fog\"'",
    ]
    assert page.evaluate("document.activeElement.selectionEnd") == len(page.evaluate("document.activeElement.value"))
    assert page.locator("#viewer-copied").text_content() == ""


def test_filmstrips_show_five_frames_and_the_change_of_id(page):
    page.locator("#films-title").scroll_into_view_if_needed()
    film = page.locator("#films .film").first
    assert film.locator("figure").count() == 5
    assert film.locator("figcaption").all_text_contents() == [
        "frame 7: id 7",
        "frame 8: no track",
        "frame 9: id 12 switch",
        "frame 10: id 12",
        "frame 11: id 12",
    ]
    told = film.locator(".evidence").text_content()
    assert told == "Track 3 (car) changes from id 7 to id 12 in frame 9: occlusion."
    dash = "(n, name) => getComputedStyle(n.querySelector('.film-' + name)).strokeDasharray"
    dashes = [film.evaluate(f"(n) => ({dash})(n, '{name}')") for name in ("truth", "before", "now")]
    assert len(set(dashes)) == 3, "not by colour alone"
    film.locator("button").focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer-body figure svg").count() == 5
    assert not page.locator("#viewer-series").is_visible()
    page.uncheck("[data-layer=prediction]")
    assert not page.locator("#viewer-body .film-now").first.is_visible()
    page.check("[data-layer=prediction]")
    page.keyboard.press("ArrowRight")
    assert "in plain view" in page.locator("#viewer-body .evidence").text_content()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.film').dataset.model") == "crossing-v2"
    page.select_option("[data-filter=model]", "crossing-v1")
    assert page.locator("#films .film").count() == 1
    page.select_option("[data-filter=task]", "detection")
    assert page.locator("#films-empty").is_visible()


def test_slices_lead_to_the_frames_that_are_in_them(page):
    page.locator("#slice-table tbody a", has_text="camera=north").first.click()
    assert "gslice=camera%3Dnorth" in page.evaluate("location.hash")
    page.wait_for_selector("#cards .example")
    frames = "[...new Set([...document.querySelectorAll('#cards .example')].map((c) => Number(c.dataset.frame)))]"
    assert set(page.evaluate(frames)) <= gallery_factory.NORTH
    count = page.locator("#gallery-count").text_content()
    page.reload()
    assert page.locator("#gallery-count").text_content() == count
    page.select_option("[data-filter=slice]", "size=small")
    assert page.evaluate(frames) == [1], "the frames that show a small object"
    page.locator("#gate-table a", has_text="pictures").first.click()
    assert page.locator("[data-filter=slice]").input_value() == "camera=north"


def test_a_point_of_a_curve_leads_to_its_pictures(page):
    curve = page.locator("#curve-detection-fog .chart")
    curve.scroll_into_view_if_needed()
    page.wait_for_selector("#curve-detection-fog .main-svg")
    point = page.locator("#curve-detection-fog .scatterlayer .trace").last.locator(".points path").nth(3).bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    pages.until(page, "location.hash.startsWith('#gallery')")
    cards = page.locator("#cards .example")
    found = cards.evaluate_all(
        "all => all.map((c) => [c.dataset.task, c.dataset.corruption, c.dataset.severity].join())"
    )
    assert set(found) == {"detection,fog,3"}
    assert {"crossing-v1", "crossing-v2"} == set(cards.evaluate_all("all => all.map((c) => c.dataset.model)"))


def test_cards_say_what_matters_and_which_rule_caught_them(page):
    for name, value in {"task": "detection", "corruption": "rain", "severity": "5"}.items():
        page.select_option(f"[data-filter={name}]", value)
    first = page.locator("#cards .example").first
    assert first.locator(".evidence").text_content() == "1 of 2 boxes of class car found.; camera north; rain 5"
    assert first.locator("a", has_text="blind").get_attribute("href") == "failure_cases.md"
    page.select_option("[data-filter=severity]", "3")
    assert page.locator("#cards .example a").count() == 0


def test_a_difference_map_says_what_became_of_the_pixels(page):
    page.select_option("[data-filter=task]", "semantic")
    page.locator("#cards .example button").first.click()
    captions = page.locator("#viewer-body figcaption").all_text_contents()
    assert captions == [
        "Clean",
        "Corrupted",
        "Truth",
        "Prediction",
        "Difference: 62 % right (dark), 38 % confused (blue)",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_open_viewer_shuts_nobody_out(browser, folder, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(pages.address(folder))
    pages.settled(page)
    for opened in (open_fog, open_film):
        opened(page)
        assert access.violations(page) == []
        page.keyboard.press("Escape")
    context.close()


def test_nothing_overlaps_on_a_telephone(browser, folder):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(pages.address(folder))
    pages.settled(page)
    for opened in (open_fog, open_film):
        opened(page)
        parts = page.evaluate(
            """() => [...document.querySelectorAll('.viewer-tools button, #viewer-title, #viewer-severity, #viewer-at,'
                + ' #viewer-steps li, #viewer-layers label, #viewer-body svg.picture, #viewer-body figcaption,'
                + ' #viewer-body .evidence, #viewer-command')].map((n) => n.getBoundingClientRect())
                .filter((r) => r.width && r.height).map((r) => [r.left, r.top, r.right, r.bottom])"""
        )
        assert len(parts) > 12
        for a, b in itertools.combinations(parts, 2):
            across = min(a[2], b[2]) - max(a[0], b[0])
            down = min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 1 or down <= 1, (a, b)
        assert min(part[0] for part in parts) >= 0
        assert max(part[2] for part in parts) <= 390
        assert page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.querySelector('#viewer'))")
        page.keyboard.press("Escape")
    context.close()
