"""A page opened in Chromium, from disk: how long until it is ready, what it asks for, and how large it grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests import chromium

MAP: Final = "#map"
"""A place where many charts are in view at once."""

WATCH: Final = """
window.ready = new Promise((done) => {
  const inSight = (node) => {
    const { top, bottom } = node.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  const look = () => {
    const scripted = document.readyState === "complete" && document.documentElement.classList.contains("scripted");
    const charts = scripted ? Array.from(document.querySelectorAll("[data-figure]")).filter(inSight) : [];
    const drawn = scripted && charts.every((node) => node.querySelector(".main-svg"));
    if (drawn) requestAnimationFrame(() => done(performance.now()));
    else requestAnimationFrame(look);
  };
  look();
});
"""
"""Runs before the page's own script; `ready` resolves to milliseconds since the navigation began."""

NODES: Final = "document.querySelectorAll('*').length"

WALK: Final = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 60));
  }
}"""


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
        yield found
        found.close()


def ready(chrome: Any, page: Path, *, place: str = "", throttle: int = 1) -> float:
    """Seconds until the page is loaded, its script is done and every chart in view is drawn.

    Args:
        chrome: from `browser`.
        page: an HTML file.
        place: the anchor that it is opened at; its top without one.
        throttle: how many times slower the processor is made.
    """
    context, opened = _opened(chrome, throttle)
    opened.goto(page.resolve().as_uri() + place)
    seconds = float(opened.evaluate("ready")) / 1e3
    context.close()
    return seconds


def walked(chrome: Any, page: Path) -> dict[str, float]:
    """What the page asks for and says, and its nodes as it is loaded and after all of it was scrolled by."""
    context, opened = _opened(chrome, 1)
    asked: list[str] = []
    said: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(page.resolve().as_uri())
    at_load = opened.evaluate(NODES)
    opened.evaluate(WALK)
    at_end = opened.evaluate(NODES)
    context.close()
    asked = [url for url in asked if not url.startswith(("data:", "blob:"))]
    here = page.resolve().parent.as_uri() + "/"
    return {
        "dom_nodes_at_load": at_load,
        "dom_nodes_at_end": at_end,
        "requests": len(asked),
        "requests_elsewhere": sum(not url.startswith(here) for url in asked),
        "console_messages": len(said),
    }


def _opened(chrome: Any, throttle: int) -> tuple[Any, Any]:
    context = chrome.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.add_init_script(WATCH)
    if throttle > 1:
        context.new_cdp_session(opened).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    return context, opened
