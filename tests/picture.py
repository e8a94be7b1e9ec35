"""Take the README's picture from a report: `python -m tests.picture reports/robustness.html docs/report.png`."""

import sys
from pathlib import Path

from tests import chromium

PART = "#map .block[data-task=detection]"
"""The robustness map of the boxes: where does it break?"""


def take(page: Path, picture: Path) -> None:
    """Write a PNG of `PART` of a report, light and 1,440 px wide."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
        opened = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        opened.goto(page.resolve().as_uri())
        opened.locator(PART).scroll_into_view_if_needed()
        opened.locator(f"{PART} .xtick text").first.wait_for()  # charts are drawn as they come into view
        opened.wait_for_timeout(500)
        opened.locator(PART).screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
