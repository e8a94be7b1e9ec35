"""Predicted against actual: means by labelled frames, worked out by hand."""

import math
from pathlib import Path

import pandas as pd
import pytest

from tasks import tables
from tasks.footage import adoption

COLUMNS = ["clip_id", "camera", "metric", "value", "low", "high", "naive", "status", "note"]
FORECAST = pd.DataFrame(
    [
        ("a", "east", "map", 0.4, 0.3, 0.5, 0.5, "ok", None),
        ("b", "east", "map", 0.1, 0.0, 0.2, 0.5, "ok", None),
        ("c", "north", "map", math.nan, math.nan, math.nan, 0.5, "outside_validated", "far off"),
        ("a", "east", "hota", 0.4, 0.3, 0.5, 0.5, "ok", None),
    ],
    columns=COLUMNS,
)
SAMPLE = pd.DataFrame({"clip_id": ["a", "a", "a", "b", "c"], "camera": ["east"] * 4 + ["north"]})


def scores() -> pd.DataFrame:
    rows = []
    for slice_, value, status in (
        ("all", 0.3, "ok"),
        ("camera=east", 0.55, "ok"),
        ("camera=north", 0.2, "insufficient"),
    ):
        ends = (value - 0.1, value + 0.1) if status == "ok" else (math.nan, math.nan)
        rows.append(
            {"model": "m", "baseline": None, "severity": 0, "slice": slice_, "class": "all", "metric": "map"}
            | {"value": value, "low": ends[0], "high": ends[1], "status": status}
        )
    return pd.DataFrame([*rows, {**rows[0], "metric": "ap50"}, {**rows[0], "class": "car"}])


def test_means_by_labelled_frames(tmp_path: Path) -> None:
    table = adoption.against(SAMPLE, FORECAST, scores(), run="r", model="m")
    assert list(table["camera"]) == ["all", "east", "north"]  # hota has no labels, ap50 no forecast
    whole, east, north = table.to_dict("records")
    assert whole["predicted"] == pytest.approx((3 * 0.4 + 0.1) / 4)
    assert east["predicted_low"] == pytest.approx((3 * 0.3 + 0.0) / 4)
    assert (whole["n_frames"], whole["n_clips"], east["n_frames"]) == (5, 3, 4)
    assert whole["inside"] is True
    assert east["inside"] is False
    assert (math.isnan(north["predicted"]), north["inside"], north["actual"]) == (True, None, 0.2)
    assert north["note"] == "1 of 1 frames are of clips outside everything validated; actual: insufficient"
    text = adoption.markdown(table)
    assert "| east | mAP | 4 | 2 | 0.325 [0.225, 0.425] | 0.550 [0.450, 0.650] | -0.225 | 0.500 | no |  |" in text
    place = tmp_path / "r" / adoption.LABELLED
    tables.write("footage_adoption", table, place / adoption.TABLE)
    again = adoption.earlier(tmp_path)
    assert list(again["predicted"].dropna()) == pytest.approx(list(table["predicted"].dropna()))
    assert adoption.earlier(tmp_path / "none").empty
