"""The charts show the numbers of the tables, and names only as text."""

import json
import math

import pytest

from tasks.report import figures, heatmaps, numbers
from tests import report_factory


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def rows(run):
    return numbers.cells(report_factory.scores(run, tasks=["detection"]), "detection")


def test_map_holds_every_cell(run, rows):
    order = numbers.corruption_order(run, rows)
    figure = heatmaps.robustness_map(rows, "crossing-v2", order, metric="map")
    retained, words, absolute, _ = figure["data"]
    assert [len(line) for line in retained["z"]] == [6] * 8
    for y, (_, name) in enumerate(order):
        own = rows[(rows["model"] == "crossing-v2") & (rows["corruption"] == name)].sort_values("severity")
        assert retained["z"][y][:5] == pytest.approx(list(own["retained"]), abs=6e-5)
        assert retained["z"][y][5] == pytest.approx(sum(own["retained"]) / 5, abs=6e-5)
        assert absolute["z"][y][:5] == pytest.approx(list(own["value"]), abs=6e-5)
        assert retained["customdata"][y][2] == [name, "3"]
    assert words["text"][0] == f"{100 * retained['z'][0][0]:.0f} %"
    assert retained["visible"]
    assert not absolute["visible"]


def test_map_leaves_a_failed_cell_empty_and_its_mean(run):
    scores = report_factory.scores(run, tasks=["detection"], failed=("crossing-v1", "fog", 3))
    rows = numbers.cells(scores, "detection")
    order = numbers.corruption_order(run, rows)
    figure = heatmaps.robustness_map(rows, "crossing-v1", order, metric="map")
    fog = [name for _, name in order].index("fog")
    assert figure["data"][0]["z"][fog][2] is None
    assert figure["data"][0]["z"][fog][5] is None
    assert "failed" in figure["data"][0]["hovertext"][fog][2]


def test_curve_starts_clean_and_has_both_axes(rows):
    figure = figures.curve(
        rows, "jpeg_compression", ["crossing-v1", "crossing-v2"], metric="map", top=0.6, floors=[("gate", 0.25)]
    )
    first, second = figure["data"]
    assert first["x"] == [0, 1, 2, 3, 4, 5]
    assert first["y"][0] == pytest.approx(numbers.clean_value(rows, "crossing-v1"), abs=6e-5)
    assert figure["layout"]["meta"]["strength"][0] == [None, 25, 18, 15, 10, 7]
    assert figure["layout"]["meta"]["falling"]
    assert figure["layout"]["yaxis"]["range"][1] == 0.6
    looks = {(t["line"]["color"], t["line"]["dash"], t["marker"]["symbol"]) for t in (first, second)}
    assert all(len({look[i] for look in looks}) == 2 for i in range(3)), "hue, dash and marker all differ"
    assert 0.25 in [shape["y0"] for shape in figure["layout"]["shapes"]]


def test_many_models_keep_their_own_look():
    looks = [tuple(figures.style(place).values()) for place in range(16)]
    assert len(set(looks)) == 16


def test_names_are_text_and_json_has_no_nan(run):
    hostile = report_factory.HOSTILE
    scores = report_factory.scores(run, tasks=["detection"], slices=[f"camera={hostile}"], classes=[])
    table = numbers.differences_by_corruption(scores, "detection", "crossing-v2")
    figure = heatmaps.difference_map(table)
    text = json.dumps(figure, allow_nan=False)
    assert "<img" not in text
    assert "&lt;img" in text


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("hue", figures.HUES)
def test_hues_stand_out_on_both_papers(hue):
    for paper in ("#ffffff", "#1a212b"):
        assert contrast(hue, paper) >= 3.0


def test_ink_is_readable_on_every_grey():
    for level in range(256):
        paper = f"#{level:02x}{level:02x}{level:02x}"
        assert contrast(heatmaps.ink(*[level / 255] * 3), paper) >= 4.5


def test_rounding_turns_no_number_into_null():
    assert figures.rounded_all([0.123456, math.nan, 0.0]) == [0.1235, None, 0.0]
