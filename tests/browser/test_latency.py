"""Latency in the browser: bars, their table and the way there."""

import pytest

from tests import latency_factory

pytestmark = pytest.mark.browser


def test_bars_and_their_table_say_the_same(page):
    page.locator("nav.bar a", has_text="Latency").click()
    card = page.locator("#latency-bars")
    card.scroll_into_view_if_needed()
    page.wait_for_selector("#latency-bars .main-svg")
    node = "document.querySelector('#latency-bars .chart')"
    drawn = page.evaluate(f"{node}.data.slice(0, -1).map((trace) => Array.from(trace.x))")
    assert len(drawn) == len(latency_factory.STAGES)
    card.locator("details.data summary").click()
    lines = card.locator("details.data tbody tr")
    lines.nth(1).wait_for()
    told = lines.evaluate_all(
        "all => all.map((row) => [...row.cells].slice(1).map((cell) => Number(cell.textContent)))"
    )
    for place, line in enumerate(told):
        assert [stage[place] for stage in drawn] == pytest.approx(line[:-1], rel=0.01, abs=0.006)
        assert sum(stage[place] for stage in drawn) == pytest.approx(line[-1], rel=0.01)
    assert told[1][-1] > told[0][-1]


def test_worth_against_cost_follows_the_task(page):
    page.select_option("#task", "semantic")
    cards = page.locator("#latency [data-task]")
    assert [cards.nth(place).is_visible() for place in range(cards.count())] == [False, False, True]
    page.locator("#latency-accuracy-semantic").scroll_into_view_if_needed()
    page.wait_for_selector("#latency-accuracy-semantic .main-svg")
    assert page.locator("#latency-accuracy-semantic .points path").count() == 4  # a point and a disc each
    assert page.locator("#latency-slowest tbody tr").count() == 10
