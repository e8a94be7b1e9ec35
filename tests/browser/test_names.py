"""Names are data: whatever they hold, they are shown as text."""

import csv
import re
from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import diagnostics_factory, report_factory
from tests.browser import pages

pytestmark = pytest.mark.browser


def test_hostile_names_do_nothing(browser, tmp_path):
    run = report_factory.params()
    hostile = report_factory.HOSTILE
    layout = Layout(tmp_path)
    tasks = ["detection", "classification", "semantic"]
    made = report_factory.scores(run, tasks=tasks, slices=[f"camera={hostile}"], classes=[hostile])
    report_factory.write(run, layout, diagnostics_factory.explained(run, made), class_name=hostile)
    diagnostics_factory.write(run, layout, tasks, class_name=hostile)
    with pytest.MonkeyPatch.context() as patch:
        rows = report_factory.gates(run, statuses=["fail"], slice_=f"camera={hostile}")
        patch.setattr(report.rules, "evaluate", lambda *_: rows)
        report.publish(run, layout)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints = []
    page.on("dialog", lambda dialog: complaints.append("a script of a name ran") or dialog.dismiss())
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(pages.address(layout.reports))
    pages.to_the_end(page)
    page.locator("#gate-table a", has_text="slices").first.click()
    assert page.locator("#slice-table tbody tr").count() == 1
    page.locator("#cards .example button").first.click()
    assert hostile in page.locator("#viewer-body text").first.text_content()
    page.keyboard.press("Escape")
    for place in ("#confusion-crossing-v1-0 .ytick", "#classes-crossing-v1 .ytick"):
        assert hostile in page.locator(place).all_text_contents()
    assert hostile in page.locator("#policy-thresholds").text_content()
    page.select_option("#task", "")
    assert hostile in page.locator("#confusion-table").text_content()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("img").count() == 0
    assert complaints == []
    context.close()


NAMES = (report_factory.HOSTILE, "a \"b\" 'c', d & <e>", "long " + "n" * 195, "\u05db\u05dc\u05d1 \u05d0")
"""Tags, quotes and a comma, 200 characters, from right to left."""


def test_hostile_slices_titles_and_reasons_are_text_and_lead_back(browser, tmp_path):
    run = report_factory.params()
    run = run.model_copy(update={"report": run.report.model_copy(update={"title": NAMES[0]})})
    layout = Layout(tmp_path)
    slices = [f"camera={name}" for name in NAMES]
    report_factory.write(run, layout, report_factory.scores(run, tasks=["detection"], slices=slices, classes=NAMES))
    with pytest.MonkeyPatch.context() as patch:
        gates = report_factory.gates(run, statuses=["fail"] * 7)[::2].assign(slice=slices, reason=NAMES)
        patch.setattr(report.rules, "evaluate", lambda *_: gates)
        report.publish(run, layout)
    context = browser.new_context(viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = context.new_page()
    complaints = []
    page.on("dialog", lambda dialog: complaints.append("a script of a name ran") or dialog.dismiss())
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(pages.address(layout.reports))
    assert page.locator(".band .title").text_content() == NAMES[0]
    assert page.locator("#gate-table td.why").all_text_contents() == list(NAMES)
    for place, name in enumerate(slices):
        page.locator("#gate-table a", has_text="slices").nth(place).click()
        page.reload()  # the address alone brings the filter back
        assert page.locator("#slices input[type=search]").input_value() == name
        assert set(page.locator("#slice-table tbody td:nth-child(4)").all_text_contents()) == {name}
        with page.expect_download() as waiting:
            page.locator("#export").click()
        with Path(waiting.value.path()).open(encoding="utf-8", newline="") as file:
            assert {row["slice"] for row in csv.DictReader(file)} == {name}
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ids = page.evaluate("[...document.querySelectorAll('[id]:not(svg *)')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w.-]+", found) for found in ids)
    assert page.locator("img").count() == 0
    assert complaints == []
    context.close()
