"""Nobody is shut out: by keyboard, by a screen reader, without scripts."""

import pytest

from tests.browser import access, pages

pytestmark = pytest.mark.browser


def test_nothing_shuts_anybody_out(page):
    """No violation of what axe-core can check, everything drawn: in light, in dark, with an example open."""
    pages.to_the_end(page)
    assert access.violations_by_theme(page) == {"light": [], "dark": []}
    page.locator("#cards .example button").first.click()
    assert page.locator("#viewer").is_visible()
    assert access.violations(page) == []


@pytest.mark.slow
def test_nothing_shuts_anybody_out_on_a_telephone(page):
    page.set_viewport_size(access.TELEPHONE)
    pages.to_the_end(page)
    assert access.violations(page) == []


def test_readable_without_scripts(browser, folder):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(pages.address(folder))
    assert page.locator("h1", has_text="Do not ship").is_visible()
    assert page.locator("#gate-table tbody tr").count() == 5
    assert page.locator("#slice-table tbody tr").last.is_visible()
    page.locator("#map details.data summary").first.click()
    assert page.locator("#map details.data table").first.is_visible()
    card = page.locator("#cards .example").first
    assert card.is_visible()
    box = card.locator("svg.picture").first.bounding_box()
    assert box["width"] > 100
    picture = page.locator("#cards .example svg.picture").nth(1)
    # What just came into view is decoded while the rest is painted.
    assert any(len(picture.screenshot()) > 600 for _ in range(20)), "a picture, not an empty frame"
    assert not page.locator(".needs-script").first.is_visible()
    context.close()


def test_every_control_is_reached_by_keyboard(page):
    """Tab from the top goes through everything that can be used, and leaves."""
    page.select_option("[data-filter=task]", "detection")  # a gallery of one page is enough to walk through
    page.evaluate("document.activeElement.blur()")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')].filter(
            (node) => node.checkVisibility() && !node.disabled && !(node.type === 'radio' && !node.checked)
            && node.getAttribute('tabindex') !== '-1').map((node, place) => (node.dataset.walk = String(place)))"""
    )
    assert len(wanted) > 80
    page.evaluate("scrollTo(0, 0)")
    reached = set()
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "document.activeElement === document.body ? '' : document.activeElement.dataset.walk ?? '?'"
        )
        if found == "":
            break
        reached.add(found)
    missed = [place for place in wanted if place not in reached]
    told = page.evaluate(
        "(missed) => missed.map((m) => document.querySelector(`[data-walk='${m}']`).outerHTML.slice(0, 120))", missed
    )
    assert told == []


def test_keys_sort_open_and_come_back(page):
    head = page.locator("#slice-table thead th", has_text="Clean")
    head.first.evaluate("""th => (th.querySelector('button, [tabindex="0"]') || th).focus()""")
    page.keyboard.press("Enter")
    page.locator("#slice-table thead th[aria-sort]", has_text="Clean").first.wait_for()
    summary = page.locator("#map details.data summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("#map details.data table").first.wait_for()  # it is made when the page hears of the opening
    button = page.locator("#cards .example button").first
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        inside = page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('#viewer')"
        )
        assert inside, "a dialog keeps the focus"
    page.keyboard.press("Escape")
    assert button.evaluate("node => node === document.activeElement")


def test_nothing_moves_for_those_who_ask(browser, folder):
    moving = """() => [...document.querySelectorAll('*')].filter((node) => {
        const style = getComputedStyle(node);
        return style.animationName !== 'none' || style.transitionDuration.split(', ').some((t) => parseFloat(t) > 0)
            || style.scrollBehavior === 'smooth';
    }).length"""
    counts = []
    for wish in ("no-preference", "reduce"):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion=wish)
        page = context.new_page()
        page.goto(pages.address(folder))
        page.wait_for_timeout(100)
        page.locator("#map .chart").first.scroll_into_view_if_needed()
        page.wait_for_selector("#map .chart .main-svg")
        counts.append(page.evaluate(moving))
        context.close()
    assert counts[0] > 0, "plotly's buttons fade"
    assert counts[1] == 0
