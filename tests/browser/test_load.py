"""The page as it opens: light, from this one file alone, and silent to its end."""

import pytest

from tasks import report
from tests.browser import pages

pytestmark = pytest.mark.browser


def test_light_at_load_and_whole_at_the_end(page, folder):
    assert (folder / report.PAGE).stat().st_size < 10_000_000
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert page.evaluate("document.querySelectorAll('.main-svg').length") == 0
    pages.to_the_end(page)
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    errors, calibration, latency = 6 + 2 + 4, (2 + 2 + 3) + (2 + 2 + 3), 1 + 3
    assert charts == 3 * (2 + 9 + 2) + errors + calibration + latency + 1  # and what h264 made of the clips
    page.locator("[data-figure]:not(:has(.main-svg))").first.wait_for(state="detached")
    assert not page.evaluate("document.querySelectorAll('a[href^=http]').length")


def test_silent_and_alone_all_its_life(page, context):
    """The fixture fails on a request and on any error or warning in the console."""
    context.set_offline(True)
    pages.to_the_end(page)
    for value in ("absolute", "strength"):
        page.check(f"input[value={value}]")
    page.select_option("[data-filter=severity]", "3")
    for choice in ("#errors-choice", "#task", "#slice-model"):
        page.select_option(choice, index=1)
    page.locator("#cards .example button").first.click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.locator("#slice-table thead th").first.click()
    page.fill("#slices input[type=search]", "east")
    page.click("#theme")
    page.pdf()
    page.set_viewport_size({"width": 390, "height": 800})
    page.go_back()
    page.reload()
    pages.to_the_end(page)


def test_nothing_points_outside(whole):
    """No source, link, style or font from anywhere but the file, and no button that would upload a chart."""
    targets = whole.evaluate(
        """() => [...document.querySelectorAll('*')].flatMap((node) =>
            ['src', 'href', 'xlink:href', 'srcset', 'poster', 'action', 'data'].map((name) => node.getAttribute(name)))
            .filter(Boolean)"""
    )
    assert len(targets) > 50
    assert [target[:80] for target in targets if "//" in target.split(",")[0]] == []
    styles = whole.evaluate("[...document.styleSheets].flatMap((s) => [...s.cssRules]).map((r) => r.cssText)")
    assert len(styles) > 100
    assert [rule for rule in styles if "@import" in rule or "@font-face" in rule or 'url("http' in rule] == []
    buttons = set(whole.locator(".modebar-btn").evaluate_all("all => all.map((b) => b.dataset.title)"))
    assert "Download plot as a PNG" in buttons
    assert not any(word in (title or "").lower() for title in buttons for word in ("share", "cloud", "edit in"))


def test_charts_travel_light(folder, whole):
    text = (folder / report.PAGE).read_text(encoding="utf-8")
    data = text.split(' id="data">', 1)[1].split("</script>", 1)[0]
    assert len(data.encode()) < 500_000
    assert data.count('"colorway"') <= 2, "the light template and the dark one"
    assert whole.locator(".js-plotly-plot").count() >= 24
