"""The page as a folder, opened from disk: its pictures come from beside it, and nothing from anywhere else."""

from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import diagnostics_factory, report_factory
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
    page.wait_for_function("document.querySelectorAll('#cards img').length > 0")
    shown = "[...document.querySelectorAll('#cards .example img')].slice(0, 3).map((one) => one.naturalWidth)"
    page.locator("#cards .example").first.scroll_into_view_if_needed()
    page.wait_for_function(f"({shown}).every((width) => width === 320)")
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
    other.wait_for_function("[...document.querySelectorAll('#viewer img')].every((one) => one.naturalWidth === 320)")
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
    assert len(page.locator("#cards .example svg.picture").nth(1).screenshot()) > 600, "a picture, not an empty frame"
    context.close()
