"""A large run's page: its size, the size of its charts and of what is in the document, and its long tables."""

import json
from pathlib import Path

import pytest

from benchmarks import generated_run
from tasks import report
from tasks.layout import Layout
from tasks.report import packing
from tests.browser import pages

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The reports of the large generated run, in both forms."""
    layout = Layout(tmp_path_factory.mktemp("large"))
    run = generated_run.write(layout)
    report.publish(generated_run.params(form="directory"), layout)
    assert len(list(run.models)) == 4
    assert len(list(run.choices())) == 25
    return layout.reports


@pytest.fixture(params=["file", "folder"])
def place(request, large) -> Path:
    return large / report.PAGE if request.param == "file" else large / report.FOLDER / "index.html"


def test_size_and_charts_keep_to_their_bars(place):
    text = place.read_text(encoding="utf-8")
    assert len(text.encode()) < 10_000_000
    charts = packing.unpack(json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0]))["figures"]
    assert len(charts) > 80
    assert len(json.dumps(packing.pack(charts), separators=(",", ":"))) < 500_000


def test_pictures_keep_to_the_quota_and_the_others_are_in_the_folder(large):
    text = (large / report.PAGE).read_text(encoding="utf-8")
    assert text.count("data:image/webp") == 240
    images = list((large / report.FOLDER / report.IMAGES).iterdir())
    assert len(images) > 500
    shown = text.count('class="card example"')
    whole = (large / report.FOLDER / "index.html").read_text(encoding="utf-8")
    assert whole.count('class="card example"') == 2016
    assert f"{shown:,} examples on 240 pictures, of 2,016 candidates (" in text
    assert f'{2016 - shown:,} further examples stand in the folder beside this file: <a href="robustness/' in text


def test_few_nodes_until_long_tables_are_scrolled_by(context, place):
    page = context.new_page()
    page.goto(place.as_uri())
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    rows = page.locator("#slice-table tbody tr")
    assert rows.count() == 0
    page.locator("#slices").scroll_into_view_if_needed()
    rows.nth(24).wait_for()
    assert rows.count() == 25
    with page.expect_download() as waiting:
        page.click("#export")
    csv = (place.parent if place.name == report.PAGE else place.parent.parent) / "slices.csv"
    assert Path(waiting.value.path()).read_text(encoding="utf-8") == csv.read_text(encoding="utf-8")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows.count() == len(csv.read_text(encoding="utf-8").splitlines()) - 1


def test_a_difference_tells_what_its_table_does(context, large):
    page = context.new_page()
    page.goto(pages.address(large, "#difference-detection-detector-v2"))
    chart = "document.querySelector('#difference-detection-detector-v2 .chart')"
    pages.until(page, f"{chart} && {chart}.data")
    told = page.evaluate(f"{chart}.data[0].text")
    page.locator("#difference-detection-detector-v2 details.data summary").click()
    rows = page.locator("#difference-detection-detector-v2 details.data tbody tr")
    rows.nth(40).wait_for()
    cells = rows.evaluate_all("all => all.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent))")
    assert len(told) == 41
    assert told == cells
    drawn = page.evaluate(f"{chart}.data[0].z")
    assert [float(cells[1][0].split(" ")[0].rstrip(",").replace("−", "-"))] == pytest.approx([drawn[1][0]], abs=6e-4)
