"""Pictures: filtered, opened, stepped through."""

import base64
import io

import pytest
from PIL import Image

pytestmark = pytest.mark.browser


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


def test_pictures_are_small_webp_with_size_and_words(page):
    stored = page.locator("#store image").evaluate_all(
        "all => all.map((i) => [i.id, i.getAttribute('href'), i.getAttribute('width'), i.getAttribute('height')])"
    )
    assert len(stored) > 20
    for name, href, width, height in stored:
        assert href.startswith("data:image/webp;base64,"), name
        with Image.open(io.BytesIO(base64.b64decode(href.partition(",")[2]))) as picture:
            assert picture.format == "WEBP"
            assert max(picture.size) <= 320
            assert picture.width / picture.height == pytest.approx(float(width) / float(height), rel=0.02), name
    shown = page.locator("svg.picture").evaluate_all(
        "all => all.map((s) => [s.getAttribute('role'), s.getAttribute('aria-label'), s.getAttribute('viewBox'),"
        " s.querySelector('use').getAttribute('href').slice(1)])"
    )
    assert len(shown) > 12 * 2
    known = {name for name, *_ in stored}
    assert {role for role, *_ in shown} == {"img"}
    assert all(label and label.strip() and box for _, label, box, _ in shown)
    assert {place for *_, place in shown} <= known
    assert len(known) == len(stored), "each picture is stored once"
    assert page.locator("#cards .example").count() == 12, "the others are made when they are asked for"
