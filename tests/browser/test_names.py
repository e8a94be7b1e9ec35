"""Names are data: whatever they hold, they are shown as text."""

import csv
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from tasks import query, report, tables
from tasks.layout import Layout
from tests import diagnostics_factory, gallery_factory, report_factory
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
    complaints = pages.complaints(page)
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
    complaints = pages.complaints(page)
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


CORRUPTIONS = (
    "<script>alert(1)</script>",
    'it\'s "100 %25" & #1?a=b',
    "`tick` ```` \\ [x](y) | @z",
    "\u05db\u05dc\u05d1 \u202e\u05d0",
    "\u05db\u05dc\u05d1 \u05d1\u05d0",
    "n" * 200,
)
"""Those of a package of somebody else may be called anything; two differ in no letter that an address could keep."""


def _hostile_frames(layout: Layout) -> None:
    """Clips, which stills are named after by their files, and what was seen in them."""
    names = (
        "</td><img src=x onerror=alert(1)>.png",
        'a\'b "c" #1 100%25 &amp; `d` |.png',
        "\u202egnp.\u05d0 " + "f" * 190,
    )
    for name, folder in (("frames", layout.tables), ("gallery", layout.gallery)):
        table = tables.read(name, folder / f"{name}.parquet")
        called = [names[int(frame)] for frame in table["frame_id"]]
        tables.write(name, table.assign(clip_id=called), folder / f"{name}.parquet")
    gallery = tables.read("gallery", layout.gallery / "gallery.parquet").assign(evidence=names[0])
    tables.write("gallery", gallery, layout.gallery / "gallery.parquet")
    examples = gallery.reindex(columns=tables.SCHEMAS["examples"].names)
    tables.write("examples", examples, layout.scores / "examples.parquet")


@pytest.mark.slow
def test_hostile_corruptions_and_frames_lead_to_their_pictures_and_commands(browser, tmp_path):
    run = gallery_factory.params(corruptions={"<b>family": CORRUPTIONS})
    layout = Layout(tmp_path)
    report_factory.write(
        run, layout, report_factory.scores(run, tasks=["detection"], slices=["camera=north"]), frames=3
    )
    gallery_factory.write(run, layout)
    _hostile_frames(layout)
    rules = {**run.failures, "blind": run.failures["blind"].model_copy(update={"max_score": 0.3})}
    run = run.model_copy(update={"failures": rules})
    with pytest.MonkeyPatch.context() as patch:
        gates = report_factory.gates(run, statuses=["fail"] * len(CORRUPTIONS))
        gates = gates.assign(corruption=CORRUPTIONS, severity=3, slice="all")
        patch.setattr(report.rules, "evaluate", lambda *_: gates)
        report.publish(run, layout)
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    complaints = pages.complaints(page)
    page.goto(pages.address(layout.reports))
    for name in CORRUPTIONS:
        link = page.locator("#gate-table tr", has=page.locator("td.where", has_text=_words(name))).first
        link.locator("a", has_text="pictures").click()
        page.reload()  # the address alone brings the filter back
        shown = page.locator("#cards .example:visible")
        assert set(shown.evaluate_all("all => all.map((card) => card.dataset.corruption)")) == {name}
        shown.locator("button").first.click()
        page.locator("#viewer").wait_for()
        page.reload()  # nor does the open example need more
        assert _words(name) in page.locator("#viewer-title").text_content()
        words = shlex.split(page.locator("#viewer-command").text_content())
        frames = pd.DataFrame({"frame_id": 3 * list(range(3)), "corruption": 3 * [name] + 3 * ["fog"] + 3 * ["a"]})
        assert words[words.index("--where") + 1] == words[-1] or "--right-too" in words
        assert query.rows(words[words.index("--where") + 1], frames, "the viewer").sum() == 1
        page.keyboard.press("Escape")
        curve = (
            page.locator("#gate-table tr", has=page.locator("td.where", has_text=_words(name))).first.locator("a").first
        )
        target = curve.get_attribute("href")
        assert page.locator(f'[id="{target[1:]}"] h4').text_content().lower() == _words(name).lower()
    pages.to_the_end(page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ids = page.evaluate("[...document.querySelectorAll('[id]:not(svg *)')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("img").count() == 0
    assert complaints == []
    context.close()
    _beside(layout)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _beside(layout: Layout) -> None:
    """The files beside the page: names are text in them, and commands come back whole."""
    text = (layout.reports / "failure_cases.md").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if line.startswith("stormglass ")]
    assert len(commands) == 3
    table = tables.read("examples", layout.scores / "examples.parquet")
    for command in commands:
        words = shlex.split(command)
        asked = dict(zip(words[3::2], words[4::2], strict=True))
        found = table[query.rows(asked["--where"], table, "failure_cases.md")]
        found = found[(found["model"] == asked["--model"]) & (found["severity"] == int(asked["--severity"]))]
        assert len(found) == 1
    outside = re.sub(r"^(`{3,})\n.*?^\1\n", "", text, flags=re.M | re.S)
    assert not re.search(r"(?<!\\)<(script|img|/td)", outside)
    for name in CORRUPTIONS[:3]:
        assert re.sub(r"([\\`*\[\]<>|])", r"\\\1", name).replace("@", "@\u200b") in outside
    with (layout.reports / "curves/detection.csv").open(encoding="utf-8", newline="") as file:
        assert {row["corruption"] for row in csv.DictReader(file)} >= set(CORRUPTIONS)
    ElementTree.parse(layout.reports / "junit.xml")
    assert "<script" not in (layout.reports / "summary.md").read_text(encoding="utf-8").replace("\\<", "")
