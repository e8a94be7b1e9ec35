"""The command that the viewer gives writes that example, of a real run."""

import json
import shlex

import pytest

from tasks import tables
from tests.browser import pages
from tests.conftest import SmallRun, stormglass

pytestmark = pytest.mark.browser


def test_the_command_writes_the_example(context, small_run: SmallRun, tmp_path):
    gallery = tables.read("gallery", small_run.root / "gallery" / "gallery.parquet")
    right = gallery["score"] >= 1
    for flawless, row in ((False, gallery[~right].iloc[0]), (True, gallery[right].iloc[0])):
        page = context.new_page()
        page.goto(pages.address(small_run.root / "reports", f"#gallery?open={row['example_id']}"))
        page.locator("#viewer").wait_for()
        words = shlex.split(page.locator("#viewer-command").text_content())
        assert words[:3] == ["stormglass", "export-qa", "qa"]
        assert ("--right-too" in words) == flawless
        out = tmp_path / str(flawless)
        stormglass("export-qa", out, *words[3:], cwd=small_run.root)
        (path,) = out.rglob("summary.json")
        summary = json.loads(path.read_text(encoding="utf-8"))
        assert (summary["model"], summary["corruption"]) == (row["model"], row["corruption"])
        assert (summary["severity"], summary["frame"]["frame_id"]) == (row["severity"], row["frame_id"])
        (result,) = summary["results"]
        assert result["task"] == row["task"]
        assert result["score"] == pytest.approx(row["score"])
        assert result["evidence"] == row["evidence"]
