"""Links inside the page, and addresses that bring back what was seen."""

import pytest

from tests.browser import pages

pytestmark = pytest.mark.browser


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
    pages.until(page, "!document.querySelector('#viewer').open")


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
    pages.until(page, "location.hash.includes('corruption=fog')")
    assert "severity=3" in page.evaluate("location.hash")
    assert page.locator("#cards .example").first.get_attribute("data-corruption") == "fog"


SEEN = """() => ({
    slices: document.querySelector('#slices input[type=search]').value,
    model: document.querySelector('#slice-model').value,
    task: document.querySelector('#task').value,
    sorted: [...document.querySelectorAll('#slice-table thead th')].map((th) => th.getAttribute('aria-sort')),
    first: document.querySelector('#slice-table tbody tr').textContent,
    cells: document.querySelector('input[name=cells]:checked').value,
    axis: document.querySelector('input[name=axis]:checked').value,
    under: document.querySelector('#errors-choice').value,
    cards: [...document.querySelectorAll('#cards .example')].map((card) => card.dataset.example),
    title: document.querySelector('#viewer').open ? document.querySelector('#viewer-title').textContent : '',
})"""


def test_what_is_seen_survives_reload_back_and_the_sent_address(page, browser):
    page.fill("#slices input[type=search]", "camera")
    page.select_option("#slice-model", "crossing-v2")
    page.select_option("#task", "detection")
    page.locator("#slice-table thead th", has_text="rPC").click()
    page.locator("#slice-table thead th[aria-sort=ascending]", has_text="rPC").wait_for()
    page.check("input[name=cells][value=absolute]")
    page.check("input[name=axis][value=strength]")
    page.select_option("#errors-choice", "fog")
    page.select_option("[data-filter=corruption]", "rain")
    page.locator("#cards .example button").nth(1).click()
    before = page.evaluate(SEEN)
    assert before["title"]
    assert before["slices"] == "camera"
    assert len(before["cards"]) > 1
    page.reload()
    pages.settled(page)
    assert page.evaluate(SEEN) == before
    sent = page.evaluate("location.href")
    other = browser.new_context(viewport={"width": 1440, "height": 900})
    receiver = other.new_page()
    receiver.goto(sent)
    pages.settled(receiver)
    assert receiver.evaluate(SEEN) == before
    other.close()
    page.keyboard.press("Escape")
    page.locator("#gate-table a", has_text="curve").first.click()
    assert page.evaluate("location.hash").startswith("#curve")
    page.go_back()
    back = page.evaluate(SEEN)
    assert {**back, "title": before["title"]} == before
