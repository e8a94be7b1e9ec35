"""mPC and rPC on numbers worked out by hand."""

import math

import pytest

from tasks.metrics.robustness import BENCHMARK, Cell, Figure, difference, mean_over, summaries

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
