"""The charts show the numbers of the tables, and names only as text."""

import json
import math
import re

import pytest

from tasks.report import differences, figures, heatmaps, numbers
from tests import report_factory


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def rows(run):
    return numbers.cells(report_factory.scores(run, tasks=["detection"]), "detection")


def test_map_holds_every_cell(run, rows):
    order = numbers.corruption_order(run, rows)
    figure = heatmaps.robustness_map(rows, "crossing-v2", order)
    retained, words, absolute, _ = figure["data"]
    assert [len(line) for line in retained["z"]] == [6] * 8
    for y, (_, name) in enumerate(order):
        own = rows[(rows["model"] == "crossing-v2") & (rows["corruption"] == name)].sort_values("severity")
        assert retained["z"][y][:5] == pytest.approx(list(own["retained"]), abs=6e-5)
        assert retained["z"][y][5] == pytest.approx(sum(own["retained"]) / 5, abs=6e-5)
        assert absolute["z"][y][:5] == pytest.approx(list(own["value"]), abs=6e-5)
        assert retained["customdata"][y][2][:2] == [name, "3"]
    assert words["text"][0] == f"{100 * retained['z'][0][0]:.0f} %"
    assert retained["visible"]
    assert not absolute["visible"]


def test_map_leaves_a_failed_cell_empty_and_its_mean(run):
    scores = report_factory.scores(run, tasks=["detection"], failed=("crossing-v1", "fog", 3))
    rows = numbers.cells(scores, "detection")
    order = numbers.corruption_order(run, rows)
    figure = heatmaps.robustness_map(rows, "crossing-v1", order)
    fog = [name for _, name in order].index("fog")
    assert figure["data"][0]["z"][fog][2] is None
    assert figure["data"][0]["z"][fog][5] is None
    assert "failed" in figure["data"][0]["text"][fog][2]


def test_curve_starts_clean_and_has_both_axes(rows):
    figure = figures.curve(
        rows, "jpeg_compression", ["crossing-v1", "crossing-v2"], metric="map", top=0.6, floors=[("gate", 0.25)]
    )
    bands, (first, second) = figure["data"][:2], figure["data"][2:]
    assert [band["fill"] for band in bands] == ["toself"] * 2
    assert first["x"] == [0, 1, 2, 3, 4, 5]
    assert first["y"][0] == pytest.approx(numbers.clean_value(rows, "crossing-v1"), abs=6e-5)
    assert figure["layout"]["meta"]["strength"][2] == [None, 25, 18, 15, 10, 7]
    assert figure["layout"]["meta"]["strength"][0] == [None, 25, 18, 15, 10, 7, 7, 10, 15, 18, 25, None]
    assert figure["layout"]["meta"]["falling"]
    assert figure["layout"]["yaxis"]["range"][1] == 0.6
    looks = {(t["line"]["color"], t["line"]["dash"], t["marker"]["symbol"]) for t in (first, second)}
    assert all(len({look[i] for look in looks}) == 2 for i in range(3)), "hue, dash and marker all differ"
    assert 0.25 in [shape["y0"] for shape in figure["layout"]["shapes"]]


def test_band_holds_the_intervals_and_breaks_at_a_missing_one(run):
    scores = report_factory.scores(run, tasks=["detection"], failed=("crossing-v1", "fog", 2))
    rows = numbers.cells(scores, "detection")
    band, _, line, _ = figures.curve(rows, "fog", ["crossing-v1", "crossing-v2"], metric="map", top=0.6)["data"]
    own = rows[(rows["model"] == "crossing-v1") & rows["corruption"].isin(["clean", "fog"])].set_index("severity")
    assert band["x"] == [0, 1, 1, 0, None, 3, 4, 5, 5, 4, 3]
    expected = [own.loc[s, end] for s, end in [(0, "high"), (1, "high"), (1, "low"), (0, "low")]]
    assert band["y"][:4] == pytest.approx(expected, abs=6e-5)
    assert band["y"][5:] == pytest.approx([*own.loc[[3, 4, 5], "high"], *own.loc[[5, 4, 3], "low"]], abs=6e-5)
    assert line["y"][2] is None
    assert re.fullmatch(r"0\.\d{3} \[0\.\d\d, 0\.\d\d\]", line["text"][1])


def test_no_interval_no_band(run):
    scores = report_factory.scores(run, tasks=["detection"]).assign(low=math.nan, high=math.nan, status="insufficient")
    rows = numbers.cells(scores, "detection")
    figure = figures.curve(rows, "fog", ["crossing-v1", "crossing-v2"], metric="map", top=0.6)
    assert [trace["mode"] for trace in figure["data"]] == ["lines+markers"] * 2
    hover = heatmaps.robustness_map(rows, "crossing-v1", numbers.corruption_order(run, rows))["data"][0]["text"]
    assert "too few units for an interval" in hover[0][0]


def test_map_tells_intervals(run):
    scores = report_factory.scores(run, tasks=["detection"])
    rows = numbers.cells(scores, "detection")
    order = numbers.corruption_order(run, rows)
    mpc, rpc = (numbers.summary(scores, "detection", name) for name in ("mpc", "rpc"))
    summed = {name: (mpc["crossing-v1", name], rpc["crossing-v1", name]) for _, name in order}
    hover = heatmaps.robustness_map(rows, "crossing-v1", order, summed=summed)["data"][0]["text"]
    fog = [name for _, name in order].index("fog")
    cell = rows[(rows["model"] == "crossing-v1") & (rows["corruption"] == "fog") & (rows["severity"] == 3)].iloc[0]
    assert f"{cell['value']:.3f} [{cell['low']:.2f}, {cell['high']:.2f}]" in hover[fog][2]
    figure = mpc["crossing-v1", "fog"]
    assert f"{figure.value:.3f} [{figure.low:.2f}, {figure.high:.2f}]" in hover[fog][5]


def test_differences_that_are_not_told_apart_stand_in_brackets(run):
    scores = report_factory.scores(run, tasks=["detection"])
    lines = differences.by_corruption(scores, "detection", "crossing-v2", 0.95).assign(column="x")
    slices = list(dict.fromkeys(lines["slice"]))
    one = lines[lines["corruption"] == "fog"]
    texts = heatmaps.difference_map(one, slices, ["x"])["data"][1]["text"]
    outcomes = dict(zip(one["slice"], one["outcome"], strict=True))
    assert {outcomes[name] for name in slices} == {"gain", "regression", "not told apart", "few units"}
    for name, text in zip(slices, texts, strict=True):
        assert text.startswith("(") == (outcomes[name] in ("not told apart", "few units"))


def test_many_models_keep_their_own_look():
    looks = [tuple(figures.style(place).values()) for place in range(16)]
    assert len(set(looks)) == 16


def test_names_are_text_and_json_has_no_nan(run):
    hostile = report_factory.HOSTILE
    scores = report_factory.scores(run, tasks=["detection"], slices=[f"camera={hostile}"], classes=[])
    lines = differences.by_corruption(scores, "detection", "crossing-v2", 0.95).rename(columns={"corruption": "column"})
    figure = heatmaps.difference_map(lines, list(lines["slice"].unique()), list(lines["column"].unique()))
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
