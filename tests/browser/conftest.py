"""A browser, and the made-up run's page opened in it."""

import os
from pathlib import Path

import pytest

from tasks import report, tables
from tasks.layout import Layout
from tests import chromium, diagnostics_factory, latency_factory, report_factory
from tests.browser import pages


@pytest.fixture(scope="session")
def browser():
    path = chromium.find()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: `python -m tests.chromium` installs one")
        pytest.skip("no Chromium: `python -m tests.chromium` installs one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The report of a made-up run with every kind of section."""
    root = tmp_path_factory.mktemp("report")
    run = report_factory.params()
    layout = Layout(root)
    made = diagnostics_factory.explained(run, report_factory.scores(run, tasks=pages.TASKS))
    report_factory.write(run, layout, made, frames=3)
    diagnostics_factory.write(run, layout, pages.TASKS)
    tables.write("latency", latency_factory.table(list(run.models)), layout.latency / "latency.parquet")
    with pytest.MonkeyPatch.context() as patch:
        statuses = ["pass", "fail", "uncertain", "fail", "not_run"]
        patch.setattr(report.rules, "evaluate", lambda run, *_: report_factory.gates(run, statuses=statuses))
        report.publish(run, layout)
    return layout.reports


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def page(context, folder):
    with pages.alone(context, pages.address(folder)) as opened:
        yield opened


@pytest.fixture(scope="session")
def whole(browser, folder):
    """The page with every chart drawn and every table unfolded, as a printer has it: for tests that only read."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.goto(pages.address(folder))
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    yield opened
    context.close()
