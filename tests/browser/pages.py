"""What the browser tests share: where a page lies, what it holds, and a slow walk to its end."""

from pathlib import Path

from tasks import report

TASKS = ["detection", "semantic", "classification"]


def address(folder: Path, place: str = "") -> str:
    return (folder / report.PAGE).as_uri() + place


def complaints(page) -> list[str]:
    """What goes wrong in `page` from now on, as it comes: errors, warnings, and scripts that no page of ours holds."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append("a script of a name ran") or dialog.dismiss())
    return found


def settled(page) -> None:
    """Wait until what the page makes when there is time is made: tables, and last the pictures."""
    unmade = page.locator("table.data[data-page]:not(.dataTable), noscript[data-long=soon], #store noscript")
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
