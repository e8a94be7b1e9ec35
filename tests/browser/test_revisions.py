"""comparison.html in a real browser, from disk: charts, tables, links, themes, without scripts, on paper."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tasks.report import differences, revision_page
from tasks.report.revision_summary import Change, End
from tasks.report.revisions import Comparison, label
from tasks.report.shared import Revision
from tests import diagnostics_factory, report_factory
from tests.browser import access, pages

pytestmark = pytest.mark.browser

V1, V2 = "crossing-v1", "crossing-v2"
LABELS = (label(V1, "v1.0"), label(V2, "HEAD"))
SECTIONS = ("change", "shifts", "differences", "maps", "curves", "metrics", "latency", "gates", "example", "left-out")


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """comparison.html of two made-up revisions: of HEAD there are pictures, of v1.0 there are none."""
    root = tmp_path_factory.mktemp("revisions")
    run = report_factory.params()
    whole = diagnostics_factory.explained(run, report_factory.scores(run, tasks=pages.TASKS))
    report_factory.gallery(run, root / "gallery", tasks=pages.TASKS, class_name=report_factory.HOSTILE)
    called = dict(zip((V1, V2), LABELS, strict=True))
    scores = whole.assign(model=whole["model"].map(called), baseline=whole["baseline"].map(called))
    found = whole[whole["baseline"].notna()].reset_index(drop=True)
    fall = {"task": "detection", "model": V2, "model_a": V1, "corruption": "fog", "family": "weather", "severity": 3}
    fall |= {"frame_id": 0, "score_a": 0.9, "score_b": 0.1, "fall": -0.8, "clip_id": "clip-000", "frame_index": 0}
    fall |= {"evidence_a": "found", "evidence_b": f"lost {report_factory.HOSTILE}"}
    comparison = Comparison(
        pairs=[(V1, V2)],
        scores=[scores],
        labels=[LABELS],
        differences=found.assign(outcome=differences.named(found, 0.95)["outcome"]),
        left_out=["Only v1.0 has the model(s) old."],
        fallen=pd.DataFrame([fall]),
        shared=41,
    )
    blank = pd.DataFrame()
    sides = []
    for name, model in (("v1.0", V1), ("HEAD", V2)):
        own = run.model_copy(update={"models": {model: run.models[model]}, "baseline": None})
        rows = whole[whole["baseline"].isna() & (whole["model"] == model)]
        sides.append(Revision(name, own, rows, rows, blank, blank, truth=None, no_gallery=f"{name} has none."))  # type: ignore[arg-type]
    sides[1] = replace(sides[1], gallery=root / "gallery", no_gallery="")
    ends = [End(name, "abc1234", report_factory.HOSTILE, "2026-11-21", "a: 1\n") for name in ("v1.0", "HEAD")]
    change = Change(commits=["abc1234 Train"], params=[("train.epochs", 9, 12)], files=["tasks/x.py"], ends=ends)
    path = root / "comparison.html"
    path.write_text(revision_page.render(sides[0], sides[1], comparison, change), encoding="utf-8")
    return path


@pytest.fixture
def page(context, compared):
    with pages.alone(context, compared.as_uri()) as opened:
        yield opened


def test_light_at_load_and_whole_at_the_end(page, compared):
    assert compared.stat().st_size < 6_000_000
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert page.evaluate("document.querySelectorAll('.main-svg').length") == 0
    pages.to_the_end(page)
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    assert charts == 1 + len(pages.TASKS) * (1 + 1 + 8)
    pages.until(page, f"document.querySelectorAll('[data-figure] .main-svg:first-child').length === {charts}")
    assert report_factory.HOSTILE in page.locator("#example .told").text_content()


def test_nothing_shuts_anybody_out(page):
    pages.to_the_end(page)
    assert access.violations_by_theme(page) == {"light": [], "dark": []}


def test_the_map_is_b_minus_a(page, compared):
    page.locator("#change-detection-0").scroll_into_view_if_needed()
    page.wait_for_selector("#change-detection-0 .main-svg")
    node = "document.querySelector('#change-detection-0 .chart')"
    y, x, z = page.evaluate(f"[{node}.data[0].y, {node}.data[0].x, Array.from({node}.data[0].z, (l) => Array.from(l))]")
    run = report_factory.params()
    scores = report_factory.scores(run, tasks=["detection"])
    own = scores[(scores["slice"] == "all") & (scores["class"] == "all") & (scores["metric"] == "map")]
    own = own[own["baseline"].isna()].set_index(["model", "corruption", "severity"])["value"]
    assert (len(y), list(x)) == (8, ["1", "2", "3", "4", "5", "mean"])
    fog = z[y.index("fog")]
    steps = [own[V2, "fog", severity] - own[V1, "fog", severity] for severity in range(1, 6)]
    assert fog == pytest.approx([*steps, sum(steps) / 5], abs=6e-5)


def test_curves_lie_over_each_other_solid_and_dashed(page):
    page.locator("#curve-detection-fog").scroll_into_view_if_needed()
    page.wait_for_selector("#curve-detection-fog .main-svg")
    node = "document.querySelector('#curve-detection-fog .chart')"
    lines = page.evaluate(f"{node}.data.filter((t) => t.mode === 'lines+markers').map((t) => [t.name, t.line.dash])")
    assert lines == [[LABELS[0], "solid"], [LABELS[1], "dash"]]


def test_tables_sort_and_follow_the_task(page):
    rows = page.locator("#comparison-table tbody tr")
    assert rows.first.locator(".outcome.regression").text_content() == "▼ regression"
    page.locator("#comparison-table thead th", has_text="Δ mPC").click()
    page.locator("#comparison-table thead th[aria-sort=ascending]", has_text="Δ mPC").wait_for()
    first = "Number(document.querySelector('#comparison-table tbody td:nth-child(5)').dataset.order)"
    pages.until(page, f"{first} < 0")
    page.select_option("#task", "semantic")
    pages.until(
        page,
        "[...document.querySelectorAll('#metric-table tbody td:first-child')]"
        ".every((cell) => cell.textContent === 'Semantic segmentation')",
    )
    assert not page.locator("#maps .block[data-task=detection]").is_visible()
    assert "task=semantic" in page.evaluate("location.hash")
    page.reload()
    assert page.locator("#task").input_value() == "semantic"


def test_links_lead_to_sections(page):
    for section in SECTIONS:
        page.locator(f"nav.bar a[href='#{section}']").click()
        assert page.evaluate("location.hash").startswith(f"#{section}")
    assert page.locator("#gate-table tbody tr").count() == 1
    assert page.locator("#example article.example").count() == 1
    assert "v1.0 has none." in page.locator("#example").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_telephone(browser, compared, scheme):
    assert access.width_on_a_telephone(browser, compared.as_uri(), scheme) <= access.TELEPHONE["width"]


def test_readable_without_scripts(browser, compared):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(compared.as_uri())
    assert page.locator("h1", has_text="told apart from chance").is_visible()
    assert page.locator("#comparison-table tbody tr").last.is_visible()
    assert page.locator("#metric-table tbody tr").last.is_visible()
    page.locator("#maps details.data summary").first.click()
    assert page.locator("#maps details.data table").first.is_visible()
    assert page.locator("#example svg.picture").first.bounding_box()["width"] > 100
    context.close()


def test_print_has_every_chart_and_row(browser, compared):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(compared.as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = page.evaluate("document.querySelectorAll('[data-figure]').length")
    assert page.evaluate("document.querySelectorAll('[data-figure] .main-svg:first-child').length") == charts
    lines = len(pages.TASKS) * (1 + len(report_factory.SLICES) + len(report_factory.CLASSES))
    assert page.locator("#comparison-table tbody tr").count() == lines
    context.close()


def test_every_chart_has_a_heading_and_a_sentence(page):
    lacking = page.evaluate(
        "[...document.querySelectorAll('[data-figure]')].map((n) => n.closest('article'))"
        ".filter((card) => !card.querySelector('h3, h4') || !card.querySelector('.takeaway')).length"
    )
    assert lacking == 0
