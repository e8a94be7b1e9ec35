"""What tests of access to the pages share: what axe-core finds, and how wide a page is on a telephone."""

import pytest

from tests.browser import pages

TELEPHONE = {"width": 390, "height": 800}


def violations(page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong with the page as it stands: each rule with the first places that break it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]


def violations_by_theme(page) -> dict[str, list[tuple[str, list[str]]]]:
    """`violations` in light and in dark; then the page is light again."""
    found = {}
    for theme in ("light", "dark"):
        found[theme] = violations(page)
        page.click("#theme")
    return found


def width_on_a_telephone(browser, address: str, scheme: str = "light") -> int:
    """How wide the page at `address` is in pixels where a telephone's width is to be seen, everything drawn."""
    context = browser.new_context(viewport=TELEPHONE, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    pages.to_the_end(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    return width
