"""The section on shifted data in a real browser: charts draw, nothing is cut or shut out, the header leads there."""

from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import shift_factory
from tests.browser import access, pages

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    layout = Layout(tmp_path_factory.mktemp("shift"))
    run = shift_factory.params()
    shift_factory.write(run, layout, ["detection", "semantic"])
    report.publish(run, layout)
    return layout.reports


def test_it_draws_and_shuts_nobody_out(page):
    page.click(".honesty a")
    assert page.evaluate("location.hash").startswith("#shift")
    pages.to_the_end(page)
    pages.until(page, "document.querySelectorAll('#shift [data-figure] .main-svg:first-child').length === 4")
    assert access.violations_by_theme(page) == {"light": [], "dark": []}
    night = page.locator("#shift-night-detection .chart")
    drawn = night.evaluate("chart => chart.data.filter((t) => t.name === 'crossing-v1, low light')[0].y")
    assert drawn == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])


def test_data_opens_by_keyboard_and_the_task_is_chosen_with_the_others(page):
    summary = page.locator("#shift-night details.data summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#shift-night details.data tbody tr")
    assert page.locator("#shift-night details.data tbody tr").count() == 2 * 2 * (1 + 2 * 5)
    page.select_option("#task", "semantic")
    assert not page.locator("#shift-night-detection").is_visible()
    assert page.locator("#shift-night-semantic").is_visible()
    page.select_option("#task", "")


def test_no_sideways_scrolling_on_a_telephone(browser, folder):
    assert access.width_on_a_telephone(browser, pages.address(folder, "#shift")) <= access.TELEPHONE["width"]
