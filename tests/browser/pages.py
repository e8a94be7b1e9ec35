"""What the browser tests share: where a page lies, what it holds, and a slow walk to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def alone(context, address: str) -> Iterator:
    """The page at `address`, opened; at the end nothing may have been complained about or asked for."""
    opened = context.new_page()
    found, requests = complaints(opened), []
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address)
    settled(opened)
    yield opened
    asked = {r.split("#")[0] for r in requests if not r.startswith(("data:", "blob:"))}
    assert (found, asked) == ([], {address}), (found, asked)


def until(page, condition: str) -> None:
    """Wait until a JavaScript expression holds.

    Asked from outside each time: Playwright's own waiting asks again from within, where the page's rules forbid `eval`.
    """
    for _ in range(1500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it never came to hold that {condition}")


def settled(page) -> None:
    """Wait until what the page makes when there is time is made: tables, and last the pictures."""
    unmade = page.locator("table.data[data-page]:not(.dataTable), noscript[data-long=soon], #store noscript")
    for _ in range(1000):
        if unmade.count() == 0:
            return
        page.wait_for_timeout(20)
    raise AssertionError("a table was never made")


def to_the_end(page) -> None:
    """Scroll to the end and wait until all that came into view is made and drawn.

    Each step waits for a frame, with which the page learns what is in view.
    """
    page.evaluate(
        """async () => {
            for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
                scrollTo(0, y);
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            }
        }"""
    )
    settled(page)
    figures = "[...document.querySelectorAll('[data-figure]')]"
    # On a telephone small charts stand side by side: those to the right come into view when somebody goes there.
    away = "!n.checkVisibility() || n.getBoundingClientRect().left >= innerWidth"
    until(page, f"{figures}.every((n) => {away} || n.querySelector('svg'))")
