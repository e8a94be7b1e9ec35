"""What the benchmark of the forecast makes of a table of errors; fitting has tests of its own."""

import json

import pandas as pd
import pytest

from benchmarks import forecast, records
from tasks import tables


def table(*, error: float) -> pd.DataFrame:
    row = {"metric": "map", "n": 10, "naive_error": 0.2, "coverage": 0.9, "width": 0.3, "confidence": 0.95}
    rows = [
        {**row, "validation": kind, "corruption": corruption, "error": error, "outside": 0.0, "named_first": named}
        for kind, named in (("held_out_clips", 0.9), ("left_out_corruption", None))
        for corruption in (None, "fog")
    ]
    found = pd.DataFrame(rows)[tables.SCHEMAS["footage_validation"].names]
    return tables.from_arrow("footage_validation", tables.to_arrow("footage_validation", found))


@pytest.mark.parametrize(("error", "holds"), [(0.1, True), (0.3, False)])
def test_a_forecast_that_does_not_beat_the_clean_score_misses_the_bar(error, holds):
    result = forecast.judge(table(error=error))
    assert result["holds"] == holds
    assert result["ratios"]["held_out_clips_error_ratio"] == pytest.approx(error / 0.2)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert len(result["validation"]) == 2


def test_rows_of_corruptions_are_shown_when_asked_for():
    rows = forecast.rows("v1", table(error=0.1))
    assert len(forecast.table(rows, every=False)) == 2 + 2
    assert "fog" in "\n".join(forecast.table(rows, every=True))


def test_a_run_replaces_the_rows_of_its_model(tmp_path):
    path = tmp_path / "forecast.csv"
    for model, error in (("v1", 0.1), ("v2", 0.2), ("v1", 0.3)):
        rows = forecast.rows(model, table(error=error))
        records.replace(rows, path, forecast.COLUMNS, ["model"], forecast.page)
    kept = records.rows(path)
    assert {(row["model"], row["error"]) for row in kept} == {("v1", "0.3"), ("v2", "0.2")}
    assert [row["named_first"] for row in kept if row["validation"] == "left_out_corruption"] == [""] * 4
    text = path.with_suffix(".md").read_text()
    assert "## `python -m benchmarks.forecast --model v2`" in text
    assert text.count("| fog ") == 4
