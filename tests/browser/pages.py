"""What the browser tests share: where a page lies, what it holds, and a slow walk to its end."""

from pathlib import Path

from tasks import report

TASKS = ["detection", "semantic", "classification"]


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
