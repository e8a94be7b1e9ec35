"""The page on a telephone."""

import pytest

from tests.browser import access, pages

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_telephone(browser, folder, scheme):
    assert access.width_on_a_telephone(browser, pages.address(folder), scheme) <= access.TELEPHONE["width"]


def test_what_is_wider_than_the_telephone_says_so(browser, folder):
    """Tables in words and a shade; small charts stand side by side, the first before the eyes, the next one peeking."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(pages.address(folder))
    pages.settled(page)
    page.locator("#slices .scroll.sideways").wait_for()
    table = page.locator("#slices .scroll")
    assert "scrolls sideways" in table.evaluate("node => getComputedStyle(node, '::before').content")
    assert table.evaluate("node => getComputedStyle(node).boxShadow") != "none"
    table.evaluate("node => node.scrollTo(10000, 0)")
    page.locator("#slices .scroll.less:not(.more)").wait_for()
    row = page.locator("#curves-detection .multiples")
    first, second = (row.locator(".card").nth(place).bounding_box() for place in (0, 1))
    assert first["y"] == second["y"]
    assert 0 <= first["x"] < second["x"] < 390
    assert row.evaluate("node => node.tabIndex") == 0
    page.goto(pages.address(folder, "#curve-detection-h264"))
    card = page.locator("#curve-detection-h264")
    card.locator(".main-svg").first.wait_for()
    box = card.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    context.close()


def test_wide_pages_need_no_such_words(whole):
    assert whole.locator(".multiples.sideways").count() == 0
    assert whole.locator("#curves-detection .multiples").first.evaluate("node => node.tabIndex") == -1
