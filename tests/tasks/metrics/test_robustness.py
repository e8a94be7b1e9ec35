"""mPC and rPC on numbers worked out by hand."""

import math

import numpy as np
import pytest

from tasks.metrics.robustness import (
    BENCHMARK,
    Cell,
    Figure,
    break_point,
    curve_area,
    difference,
    mean_over,
    relative_errors,
    summaries,
)

FAILED = Figure(math.nan, "failed")


def found(clean, cells):
    return {(s.metric, s.corruption, s.family): s.figure for s in summaries(clean, cells)}


CELLS = [
    Cell("fog", "weather", 1, Figure(0.4)),
    Cell("fog", "weather", 2, Figure(0.2)),
    Cell("snow", "weather", 1, Figure(0.1)),  # one level: it weighs as much as fog's two
    Cell("blur", "optics", 1, Figure(0.5)),
]


def test_mean_over_corruptions_of_the_mean_over_levels_and_a_ratio_of_means():
    rows = found(Figure(0.5), CELLS)
    assert rows["mpc", "fog", "weather"].value == pytest.approx(0.3)
    assert rows["mpc", "all", "weather"].value == pytest.approx(0.2)
    assert rows["mpc", "all", "all"].value == pytest.approx(0.3)
    assert rows["rpc", "all", "all"].value == pytest.approx(0.6)
    assert not any(metric == "mpc_15" for metric, _, _ in rows)


def test_a_failed_cell_makes_what_stands_on_it_incomplete_and_nothing_else():
    rows = found(Figure(0.5), [*CELLS[:1], Cell("fog", "weather", 2, FAILED), *CELLS[2:]])
    for where in (("fog", "weather"), ("all", "weather"), ("all", "all")):
        assert rows["mpc", *where].status == rows["rpc", *where].status == "incomplete"
        assert math.isnan(rows["mpc", *where].value)
    assert rows["mpc", "blur", "optics"].value == pytest.approx(0.5)
    assert rows["mpc", "all", "all"].note == rows["rpc", "all", "all"].note == "3 of 4 cells"
    assert rows["mpc", "fog", "weather"].note == "1 of 2 cells"


def test_what_does_not_apply_stays_outside():
    cells = [*CELLS, Cell("packet_loss", "stream", 1, Figure(math.nan, "not_applicable"))]
    rows = found(Figure(0.5), cells)
    assert rows["mpc", "all", "all"].value == pytest.approx(0.3)
    assert rows["mpc", "packet_loss", "stream"].status == "not_applicable"


def test_a_clean_figure_of_zero_or_none_gives_no_ratio():
    assert found(Figure(0.0), CELLS)["rpc", "all", "all"].status == "not_defined"
    rows = found(FAILED, CELLS)
    assert rows["rpc", "all", "all"].status == "incomplete"
    assert rows["mpc", "all", "all"].status == "ok"


def test_the_benchmark_is_told_by_name_and_only_when_whole():
    cells = [Cell(name, "x", 1, Figure(0.3)) for name in BENCHMARK] + [Cell("rain", "x", 1, Figure(0.9))]
    rows = found(Figure(0.6), cells)
    assert rows["mpc_15", "all", "all"].value == pytest.approx(0.3)
    assert rows["rpc_15", "all", "all"].value == pytest.approx(0.5)
    assert not any(metric == "mpc_15" for metric, _, _ in found(Figure(0.6), cells[1:]))


def test_difference_takes_the_worse_status():
    assert difference(Figure(0.5), Figure(0.75)).value == pytest.approx(-0.25)
    assert difference(Figure(0.5), FAILED).status == "failed"
    assert mean_over([]).status == "not_applicable"


def test_too_few_units_stay_marked():
    cells = [CELLS[0], Cell("fog", "weather", 2, Figure(0.2, "insufficient")), *CELLS[2:]]
    rows = found(Figure(0.5), cells)
    assert rows["rpc", "all", "all"] == Figure(pytest.approx(0.6), "insufficient")
    assert rows["mpc", "blur", "optics"].status == "ok"
    assert difference(Figure(0.5), Figure(0.75, "insufficient")) == Figure(-0.25, "insufficient")


def test_half_the_references_errors_are_50_and_its_own_100():
    reference = [Cell(name, "benchmark", 1, Figure(1 - 0.4 - 0.03 * i)) for i, name in enumerate(BENCHMARK)]
    halved = [Cell(c.corruption, c.family, 1, Figure(1 - (1 - c.figure.value) / 2)) for c in reference]
    rows = {
        (s.metric, s.corruption): s.figure.value for s in relative_errors(Figure(0.8), halved, Figure(0.7), reference)
    }
    assert rows["mce", "all"] == rows["ce", "fog"] == pytest.approx(50)
    expected = [100 * (0.8 - h.figure.value) / (0.7 - r.figure.value) for h, r in zip(halved, reference, strict=True)]
    assert rows["relative_mce", "all"] == pytest.approx(np.mean(expected))
    same = relative_errors(Figure(0.7), reference, Figure(0.7), reference)
    assert {round(s.figure.value, 9) for s in same} == {100}
    lost = relative_errors(Figure(0.8), [*halved[:-1], Cell(BENCHMARK[-1], "x", 1, FAILED)], Figure(0.7), reference)
    assert {s.figure.status for s in lost if s.corruption == "all"} == {"incomplete"}


def curve(values, strengths, resampled=None):
    """Levels of one corruption; `resampled` (levels, resamples)."""
    return [
        Cell("jpeg", "compression", i + 1, Figure(v, replicates=None if resampled is None else resampled[i]), s)
        for i, (v, s) in enumerate(zip(values, strengths, strict=True))
    ]


@pytest.mark.parametrize(
    ("values", "strengths", "expected"),
    [
        ([0.7, 0.5, 0.3], [1.0, 2.0, 4.0], 3.0),  # half of 0.8 lies midway between 0.5 and 0.3
        ([0.7, 0.5, 0.3], [25.0, 15.0, 7.0], 11.0),  # a strength that falls
        ([0.3, 0.5, 0.2], [1.0, 2.0, 3.0], 1.0),  # broken at the first level, whatever comes after
        ([0.7, 0.4, 0.39], [1.0, 2.0, 3.0], 2.0),  # 0.4 itself is not below
    ],
)
def test_break_points_are_linear_between_levels(values, strengths, expected):
    assert break_point(Figure(0.8), curve(values, strengths), 0.5).value == pytest.approx(expected)


def test_break_points_that_are_not_reached_or_not_known():
    assert break_point(Figure(0.8), curve([0.7, 0.6], [1.0, 2.0]), 0.5).status == "not_reached"
    assert break_point(Figure(0.8), [Cell("x", "y", 1, Figure(0.1))], 0.5).status == "not_defined"  # no strength
    assert break_point(Figure(0.8), [Cell("x", "y", 1, FAILED, 1.0)], 0.5).status == "failed"


def test_break_points_of_resamples_are_each_their_own():
    clean = Figure(0.8, replicates=np.array([0.8, 0.6, 0.8], np.float32))
    levels = np.array([[0.7, 0.7, 0.7], [0.3, 0.2, 0.6]], np.float32)
    found = break_point(clean, curve([0.7, 0.3], [1.0, 2.0], levels), 0.5)
    assert found.replicates == pytest.approx([1 + 0.3 / 0.4, 1 + 0.4 / 0.5, math.inf], abs=1e-5)
    falling = break_point(clean, curve([0.7, 0.3], [2.0, 1.0], levels), 0.5)
    assert falling.replicates[2] == -math.inf


@pytest.mark.parametrize("strengths", [[1.0, 2.0, 4.0], [40.0, 20.0, 15.0], [0.5, 0.25, 0.0]])
def test_the_area_under_a_curve_is_the_trapezoidal_rule_over_its_range(strengths):
    values = [0.7, 0.5, 0.3]
    resampled = np.random.default_rng(3).random((3, 20)).astype(np.float32)
    figure = curve_area(curve(values, strengths, resampled))
    span = strengths[-1] - strengths[0]
    assert figure.value == pytest.approx(np.trapezoid(values, strengths) / span)
    np.testing.assert_allclose(figure.replicates, np.trapezoid(resampled, strengths, axis=0) / span, rtol=1e-6)


def test_the_area_under_a_curve_does_not_follow_the_density_of_levels():
    line = [0.8, 0.6, 0.2]
    dense = [0.8, 0.75, 0.7, 0.65, 0.6, 0.2]
    few, many = curve(line, [0.0, 1.0, 3.0]), curve(dense, [0.0, 0.25, 0.5, 0.75, 1.0, 3.0])
    assert curve_area(few).value == pytest.approx(curve_area(many).value)


def test_the_area_under_a_curve_of_one_level_of_none_and_of_failed_ones():
    assert curve_area(curve([0.4], [3.0])).value == pytest.approx(0.4)
    assert curve_area([]).status == "not_defined"
    assert curve_area([Cell("fog", "weather", 1, Figure(0.4)), Cell("fog", "weather", 2, Figure(0.2))]).status == (
        "not_defined"
    )
    lost = [*curve([0.4], [3.0]), Cell("jpeg", "compression", 2, FAILED, 5.0)]
    assert curve_area(lost).status in ("failed", "incomplete")
