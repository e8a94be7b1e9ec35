"""The page on paper."""

import re

import pytest

from tests.browser import pages

pytestmark = pytest.mark.browser


def test_print_has_every_chart_and_row_in_light(browser, folder):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(pages.address(folder))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    assert page.evaluate("document.querySelectorAll('[data-figure] .main-svg:first-child').length") == charts
    rows = len((folder / "slices.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert page.locator("#slice-table tbody tr").count() == rows
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()


@pytest.mark.slow
def test_the_document_has_every_row_and_nothing_is_cut(browser, folder):
    """Chromium's own PDF, tagged: as many table rows as the page has, light although the reader's page is dark."""
    context = browser.new_context(color_scheme="dark", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(pages.address(folder))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    rows = page.locator("table tr").count()
    figures = page.locator("[data-figure]").count()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 1000})
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.card .main-svg, .card table, main table')].filter((node) => {
            const box = node.getBoundingClientRect();
            const place = (node.closest('.card') || document.body).getBoundingClientRect();
            return box.width > 0 && box.right > place.right + 1;
        }).map((node) => node.closest('[id]').id)"""
    )
    assert cut == []
    inks = page.evaluate("[...document.querySelectorAll('.xtick text')].map((t) => getComputedStyle(t).fill)")
    assert len(inks) > figures
    assert all(max(map(int, re.findall(r"\d+", ink)[:3])) < 140 for ink in set(inks)), "dark ink on white"
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    document = page.pdf(format="A4", tagged=True, print_background=True)
    assert len(re.findall(rb"/S\s*/TR\b", document)) == rows
    assert len(re.findall(rb"/Type\s*/Page\b", document)) > 5
    context.close()


def test_after_printing_the_page_is_as_it_was(page):
    page.click("#theme")
    state = """() => [document.querySelectorAll('details[open]').length,
        document.querySelectorAll('#slice-table tbody tr').length,
        document.querySelectorAll('.main-svg[viewBox]').length,
        document.querySelectorAll('.block[hidden]').length]"""
    page.select_option("#task", "detection")
    before = page.evaluate(state)
    assert before[1] == 25
    assert before[3] > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    during = page.evaluate(state)
    assert during[0] > before[0]
    assert during[1] > 25
    assert during[3] == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(state) == before
    ink = page.evaluate("getComputedStyle(document.querySelector('#map .xtick text')).fill")
    assert min(map(int, ink[4:-1].split(", "))) > 140, "light ink on the dark page again"


def test_cards_of_the_gallery_are_whole_on_one_sheet(browser, folder):
    """Whatever a card holds, its frame and its pictures, lies on one sheet of the tagged PDF."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(pages.address(folder))
    pages.settled(page)
    shown = page.locator("#cards .example").count()
    assert shown > 8
    page.evaluate("document.querySelector('#latency').remove()")  # its card has a heading of that level, too
    for size in ("A4", "A5"):
        sheets = cards_by_sheets(page.pdf(format=size, tagged=True, print_background=True))
        assert len(sheets) == shown
        assert [len(found) for found in sheets] == [1] * shown
        assert len(set.union(*sheets)) > 2, "they go over several sheets"
    context.close()


def cards_by_sheets(document: bytes) -> list[set[bytes]]:
    """The sheets that each article with a heading of the third level has content on, by the elements of the PDF."""
    parts = dict(re.findall(rb"(?<=\n)(\d+) 0 obj\n(<<.*?>>)\nendobj", document, re.S))

    def kids(body: bytes) -> list[bytes]:
        inside = body.partition(b"/K ")[2]
        return re.findall(rb"(?<!/Pg )(?<!/Obj )\b(\d+) 0 R", inside)

    def sheets(body: bytes) -> set[bytes]:
        found = set(re.findall(rb"/Pg (\d+) 0 R", body))
        return found.union(*(sheets(parts[kid]) for kid in kids(body) if kid in parts))

    articles = [body for body in parts.values() if re.search(rb"/S /Art\b", body)]
    return [sheets(body) for body in articles if any(re.search(rb"/S /H3\b", parts[kid]) for kid in kids(body))]
