"""Tables: sorted as numbers, filtered, saved as the files beside the page have them."""

import csv
import re
from pathlib import Path

import pytest

from tests.browser import pages

pytestmark = pytest.mark.browser


def test_csv_is_the_table_and_the_file(page, folder):
    with page.expect_download() as waiting:
        page.click("#export")
    whole = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert whole == (folder / "slices.csv").read_text(encoding="utf-8")
    page.select_option("#slice-model", "crossing-v2")
    page.fill("#slices input[type=search]", "night")
    with page.expect_download() as waiting:
        page.click("#export")
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    wanted = [line for line in whole.splitlines()[1:] if "crossing-v2" in line and "night" in line]
    assert lines == [whole.splitlines()[0], *wanted]
    assert len(wanted) == len(pages.TASKS)


def test_tables_sort_numbers_as_numbers(page):
    head = page.locator("#slice-table thead th", has_text="rPC")
    head.click()
    cells = "#slice-table tbody tr td:nth-child(11)"
    column = f"[...document.querySelectorAll('{cells}')].map((c) => Number(c.dataset.order))"
    # The table is drawn again a moment after the click; as text, 0.09 would not come before 0.1.
    pages.until(page, f"((v) => v.length > 5 && v.every((x, i) => !i || v[i - 1] <= x))({column})")
    assert re.search(r"order=10\.", page.evaluate("location.hash"))


def test_the_comparison_marks_what_is_told_apart(page):
    rows = page.locator("#comparison-table tbody tr")
    assert rows.first.locator(".outcome.regression").text_content() == "▼ regression"
    assert "not told apart" in rows.first.text_content()
    assert page.locator("#models .told li").count() == len(pages.TASKS)
    page.locator("#comparison-table thead th", has_text="Δ mPC").click()
    page.locator("#comparison-table thead th[aria-sort=ascending]", has_text="Δ mPC").wait_for()
    shown = page.locator("#comparison-table tbody td:nth-child(5)").evaluate_all(
        "all => all.map((cell) => Number(cell.dataset.order))"
    )
    assert shown == sorted(shown), "by the figure, not as text"
    assert shown[0] < 0


def test_confusions_sort_follow_the_task_and_save_as_csv(page):
    table = page.locator("#confusion-table")
    page.select_option("#task", "detection")
    assert set(table.locator("tbody td:first-child").all_text_contents()) == {"Detection"}
    with page.expect_download() as waiting:
        page.click("[data-export=confusion-table]")
    assert waiting.value.suggested_filename == "confusions.csv"
    lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "task,model,data,true_class,predicted_class,count,unit,share"
    assert all(line.startswith("Detection,") for line in lines[1:])
    counts = [int(line.split(",")[5]) for line in lines[1:] if ",crossing-v1,all corruptions," in line]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 4
    table.locator("thead th", has_text="Count").click()
    table.locator("thead th[aria-sort=ascending]", has_text="Count").wait_for()
    shown = [int(text) for text in table.locator("tbody td:nth-child(6)").all_text_contents()]
    assert shown == sorted(shown)


def test_tables_fit_the_page(page):
    for table in ("gate-table", "slice-table", "comparison-table", "confusion-table", "policy-thresholds"):
        assert page.evaluate(f"document.getElementById('{table}').scrollWidth") <= 1400


def test_shown_figures_are_the_files_rounded(whole, folder):
    """The same rounding everywhere: the file has four decimals, the table three of the same figure."""
    with (folder / "slices.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    heads = whole.locator("#slice-table thead th").evaluate_all("all => all.map((th) => th.dataset.name)")
    shown = whole.locator("#slice-table tbody tr").evaluate_all(
        "all => all.map((r) => [...r.cells].map((c) => c.textContent))"
    )
    assert len(shown) == len(lines)
    for cells, line in zip(shown, lines, strict=True):
        row = dict(zip(heads, cells, strict=True))
        assert (row["model"], row["slice"], row["class"]) == (line["model"], line["slice"], line["class"])
        for name in ("clean", "mpc"):
            told = row[name].split(" ")[0]
            assert abs(float(told) - float(line[name])) <= 5.1e-4, (name, told, line[name])
        assert abs(float(row["rpc"].split(" ")[0]) - 100 * float(line["rpc"])) <= 0.51


def test_saved_rows_are_those_shown_in_their_order(page, folder):
    page.select_option("#task", "detection")
    page.fill("#slices input[type=search]", "camera")
    page.locator("#slice-table thead th", has_text="mPC").first.click()
    page.locator("#slice-table thead th[aria-sort]", has_text="mPC").first.wait_for()
    with page.expect_download() as waiting:
        page.click("#export")
    saved = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()[1:]
    kept = (folder / "slices.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(saved) == sorted(line for line in kept if line.startswith("detection,") and "camera=" in line)
    shown = page.locator("#slice-table tbody tr td:nth-child(4)").all_text_contents()
    assert [line.split(",")[3] for line in saved] == shown
