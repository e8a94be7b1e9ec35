"""footage.html in a real browser, from disk: charts, tables, cameras, themes, without scripts, on paper."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.data import video
from tasks.report import footage
from tests import footage_factory
from tests.browser import access, pages
from tests.report_factory import HOSTILE

pytestmark = pytest.mark.browser

SECTIONS = (
    "alerts",
    "files",
    "expected",
    "nearest",
    "series",
    "drift",
    "odd",
    "decisions",
    "clips",
    "history",
    "method",
)
CHARTS = 2 + 3 * 9 + 2


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a made-up scan, a camera and files of which have hostile names."""
    root = tmp_path_factory.mktemp("scan")
    run = footage_factory.write(root)
    footage.write(run, history=footage_factory.history(), gallery=footage_factory.gallery(root / "gallery"))
    return run / footage.PAGE


@pytest.fixture
def page(context, scanned):
    with pages.alone(context, scanned.as_uri()) as opened:
        yield opened


def test_light_at_load_and_whole_at_the_end(page, scanned):
    assert scanned.stat().st_size < 6_000_000
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert page.evaluate("document.querySelectorAll('.main-svg').length") == 0
    pages.to_the_end(page)
    assert page.evaluate("document.querySelectorAll('[data-figure]').length") == CHARTS
    pages.until(page, f"document.querySelectorAll('[data-figure] .main-svg:first-child').length === {CHARTS}")
    assert page.locator("#series h3", has_text=HOSTILE).count() == 1
    assert not page.evaluate("document.querySelectorAll('a[href^=http]').length")


def test_nothing_shuts_anybody_out(page):
    pages.to_the_end(page)
    assert access.violations_by_theme(page) == {"light": [], "dark": []}


def test_nothing_shuts_anybody_out_on_a_telephone(page):
    page.set_viewport_size(access.TELEPHONE)
    pages.to_the_end(page)
    assert access.violations(page) == []


@pytest.mark.parametrize("camera", ["north", HOSTILE])
def test_a_camera_chosen_is_all_that_is_shown(page, camera):
    page.select_option("#task", camera)
    column = "[...document.querySelectorAll('#drift-table tbody td:nth-child(2)')].map((cell) => cell.textContent)"
    pages.until(page, f"{column}.every((name) => name === {camera!r})")
    assert len(page.evaluate(column)) == 9
    shown = page.locator("#series .block:not([hidden]) h3")
    assert shown.count() == 1
    assert camera in shown.text_content()
    assert page.locator("#clips .block:not([hidden])").count() == 2
    page.reload()
    assert page.locator("#task").input_value() == camera


def test_a_chart_says_which_windows_lie_outside(page):
    page.locator("#series-2-1").scroll_into_view_if_needed()
    page.wait_for_selector("#series-2-1 .main-svg")
    node = "document.querySelector('#series-2-1 .chart')"
    low, high = footage_factory.BANDS["haze"]
    assert page.evaluate(f"[...new Set({node}.data[0].y)].sort()") == [low, high]
    symbols = page.evaluate(f"[...{node}.data[1].marker.symbol]")
    values = page.evaluate(f"[...{node}.data[1].y]")
    assert [symbol == "diamond" for symbol in symbols] == [v is not None and not low <= v <= high for v in values]


def test_links_lead_to_sections_and_videos_lie_beside(page, scanned):
    for section in SECTIONS:
        page.locator(f"nav.bar a[href='#{section}']").click()
        assert page.evaluate("location.hash").startswith(f"#{section}")
    sources = page.locator("#clips video").evaluate_all("all => all.map((v) => [v.getAttribute('src'), v.preload])")
    assert len(sources) == 6
    assert all((scanned.parent / source).is_file() and preload == "none" for source, preload in sources)


def test_a_clip_plays_in_the_page(browser, scanned):
    """The page's own rules allow the videos beside it."""
    pictures = np.random.default_rng(0).integers(0, 255, (10, 90, 160, 3), dtype=np.uint8)
    facts = video.Facts(Fraction(10), Fraction(1, 10240), None)
    place = scanned.parent / "clips" / f"{footage_factory.clip_id(0, 0)}.mp4"
    video.write(place, (video.Timed(one, 1024 * at) for at, one in enumerate(pictures)), facts, container=".mp4")
    context = browser.new_context()
    page = context.new_page()
    complaints = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(scanned.as_uri())
    found = page.evaluate(
        """async (name) => {
            const video = document.querySelector(`#clips video[src="${name}"]`);
            await new Promise((done) => {
                video.onloadeddata = video.onerror = done;
                video.preload = "auto";
                video.load();
            });
            return [video.canPlayType('video/mp4; codecs="avc1.42E01E"') !== "", video.readyState >= 2, video.duration];
        }""",
        f"clips/{place.name}",
    )
    assert complaints == []
    if found[0]:  # a browser without H.264 plays no such file, wherever it lies
        assert found[1:] == [True, 1]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_telephone(browser, scanned, scheme):
    assert access.width_on_a_telephone(browser, scanned.as_uri(), scheme) <= access.TELEPHONE["width"]


def test_how_far_forecasts_were_off_fits_a_telephone(page):
    page.set_viewport_size(access.TELEPHONE)
    table = page.locator("#validation-table")
    table.scroll_into_view_if_needed()
    assert table.locator("tbody tr:not(.group)").count() == 2
    assert table.evaluate("(table) => table.scrollWidth <= table.parentElement.clientWidth")


def test_readable_without_scripts(browser, scanned):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(scanned.as_uri())
    assert page.locator("h1", has_text="Review: 1 alert stands").is_visible()
    assert page.locator(".honesty", has_text="A proxy, not accuracy").is_visible()
    assert page.locator("#drift-table tbody tr").last.is_visible()
    assert page.locator("#file-table tbody tr").count() == 7
    page.locator("#series details.data summary").first.click()
    assert page.locator("#series details.data table").first.is_visible()
    picture = page.locator("#odd svg.picture").first
    assert picture.bounding_box()["width"] > 100
    assert any(len(picture.screenshot()) > 600 for _ in range(20)), "a picture, not an empty frame"
    context.close()


def test_print_has_every_chart_and_row(browser, scanned):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(scanned.as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('[data-figure] .main-svg:first-child').length") == CHARTS
    assert page.locator("#drift-table tbody tr").count() == 27
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()


def test_every_chart_has_a_heading_and_a_sentence(page):
    lacking = page.evaluate(
        "[...document.querySelectorAll('[data-figure]')].map((n) => n.closest('article'))"
        ".filter((card) => !card.querySelector('h3, h4') || !card.querySelector('.takeaway')).length"
    )
    assert lacking == 0
