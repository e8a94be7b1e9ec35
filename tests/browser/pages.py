"""What the browser tests share: where a page lies, what it holds, and a slow walk to its end."""

from pathlib import Path

from tasks import report

TASKS = ["detection", "semantic", "classification"]


def address(folder: Path, place: str = "") -> str:
    return (folder / report.PAGE).as_uri() + place


def settled(page) -> None:
    """Wait until the tables are made that the page makes when there is time."""
    unmade = page.locator("table.data[data-page]:not(.dataTable)")
    for _ in range(1000):
        if unmade.count() == 0:
            return
        page.wait_for_timeout(20)
    raise AssertionError("a table was never made")


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
