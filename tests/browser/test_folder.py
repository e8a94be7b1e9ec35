"""The page as a folder, opened from disk: its pictures come from beside it, and nothing from anywhere else."""

from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import diagnostics_factory, gallery_factory, report_factory
from tests.browser import pages

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of a made-up run's report, moved to where nobody made it."""
    root = tmp_path_factory.mktemp("folder")
    run = report_factory.params()
    run = run.model_copy(update={"report": run.report.model_copy(update={"form": "directory"})})
    made = diagnostics_factory.explained(run, report_factory.scores(run, tasks=["detection"]))
    report_factory.write(run, Layout(root), made, frames=3)
    report.publish(run, Layout(root))
    return (root / "reports").rename(root / "moved") / report.FOLDER


def address(folder: Path, place: str = "") -> str:
    return (folder / "index.html").as_uri() + place


def test_pictures_come_late_and_nothing_leaves_the_folder(context, folder):
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address(folder))
    before = len(asked)
    pages.to_the_end(page)
    pages.until(page, "document.querySelectorAll('#cards img').length > 0")
    shown = "[...document.querySelectorAll('#cards .example img')].slice(0, 3).map((one) => one.naturalWidth)"
    page.locator("#cards .example").first.scroll_into_view_if_needed()
    pages.until(page, f"({shown}).every((width) => width === 320)")
    assert before < len(asked)
    assert all(url.startswith(folder.as_uri() + "/") for url in asked if not url.startswith(("data:", "blob:")))
    assert said == []


def test_the_policy_of_the_page_lets_in_no_other_pictures(context, folder):
    page = context.new_page()
    page.goto(address(folder))
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("() => { new Image().src = 'http://127.0.0.1:9/x.png'; }")


def test_links_and_the_viewer_are_those_of_the_file(context, folder):
    page = context.new_page()
    page.goto(address(folder))
    page.locator("#cards .example button").first.click()
    hash_ = page.evaluate("location.hash")
    title = page.locator("#viewer-title").text_content()
    other = context.new_page()
    other.goto(address(folder, hash_))
    assert other.locator("#viewer").is_visible()
    assert other.locator("#viewer-title").text_content() == title
    pages.until(other, "[...document.querySelectorAll('#viewer img')].every((one) => one.naturalWidth === 320)")
    assert other.locator("#viewer img").count() > 0
    for link in page.locator("#method .files a").all():
        target = (folder / str(link.get_attribute("href"))).resolve()
        assert target.parent != folder
        assert target.name == "policy.json" or target.is_file()


def test_readable_without_scripts(browser, folder):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address(folder))
    assert page.locator("#slice-table tbody tr").last.is_visible()
    card = page.locator("#cards .example").first
    assert card.is_visible()
    picture = page.locator("#cards .example svg.picture").nth(1)
    # What just came into view is read and decoded while the rest is painted.
    assert any(len(picture.screenshot()) > 600 for _ in range(20)), "a picture, not an empty frame"
    context.close()


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> Path:
    """The folder of a report with filmstrips, clean frames and other severities of the same frame, moved as well."""
    root = tmp_path_factory.mktemp("filmed")
    run = gallery_factory.params()
    run = run.model_copy(update={"report": run.report.model_copy(update={"form": "directory"})})
    tasks = ["detection", "semantic", "tracking"]
    report_factory.write(run, Layout(root), report_factory.scores(run, tasks=tasks, slices=["camera=north"]), frames=3)
    gallery_factory.write(run, Layout(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.failure_cases, "failure_cases", lambda *_: "")  # no table of examples here
        report.publish(run, Layout(root))
    return (root / "reports").rename(root / "moved") / report.FOLDER


def test_no_picture_is_missing_in_cards_films_strips_and_the_viewer(context, filmed):
    page = context.new_page()
    look_at_every_picture(page, filmed, severities=["1", "3", "5"])


def look_at_every_picture(page, folder, *, severities):
    """All pictures of the page, then those of every step of the slider and of a film, loaded from the folder alone."""
    wrong, asked = [], []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address(folder))
    seen = set()

    def loaded(place: str) -> int:
        page.evaluate(f"[...document.querySelectorAll('{place} img')].forEach((one) => {{ one.loading = 'eager'; }})")
        pending = (
            f"[...document.querySelectorAll('{place} img')].filter((one) => !(one.complete && one.naturalWidth > 0))"
        )
        pages.until(page, f"{pending}.length === 0")
        found = page.locator(f"{place} img").evaluate_all("all => all.map((one) => one.src)")
        seen.update(found)
        return len(found)

    pages.to_the_end(page)
    assert loaded("#cards .example") > 0
    assert loaded("#data-set") > 0
    assert loaded("#films .film") >= 5
    page.select_option("[data-filter=task]", "detection")
    page.select_option("[data-filter=corruption]", "fog")
    page.locator("#cards .example:visible button").first.click()
    slider = page.locator("#viewer-severity")
    slider.focus()
    page.keyboard.press("Home")
    told = []
    for place in range(int(slider.get_attribute("max")) + 1):
        assert loaded("#viewer") > 0
        told.append(page.locator("#viewer-at").text_content())
        if place < int(slider.get_attribute("max")):
            page.keyboard.press("ArrowRight")
    assert [text.split("severity ")[1].split(" ")[0] for text in told if "severity" in text] == severities
    page.keyboard.press("Escape")
    for name in ("task", "corruption"):
        page.select_option(f"[data-filter={name}]", "")
    page.locator("#films .film button").first.click()
    assert loaded("#viewer") >= 5
    assert wrong == []
    assert all(url.startswith(folder.as_uri() + "/") for url in asked if not url.startswith(("data:", "blob:")))
    assert len(seen) > 5
