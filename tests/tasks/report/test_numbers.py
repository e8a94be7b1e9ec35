"""The page's numbers against the scores, taken from them by plain loops."""

import math

import pandas as pd
import pytest

from tasks.report import numbers
from tests import report_factory


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return report_factory.scores(run, tasks=["detection", "semantic"])


def look_up(scores: pd.DataFrame, column: str = "value", /, **keys) -> list[float]:
    """Entries of a column in the rows that agree with `keys`, by a loop over plain tuples; None asks for null."""
    columns = [list(scores[key]) for key in keys]
    return [
        value
        for value, *row in zip(scores[column], *columns, strict=True)
        if all(
            cell is None or cell != cell if v is None else cell == v for cell, v in zip(row, keys.values(), strict=True)
        )
    ]


def test_overview_states_the_scores(run, scores):
    table = numbers.overview(run, scores)
    assert len(table) == 4
    for row in table.to_dict("records"):
        keys = {"task": row["task"], "model": row["model"], "baseline": None, "slice": "all", "class": "all"}
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high")):
            clean = look_up(scores, column, **keys, severity=0, metric=row["metric"])
            assert clean == [row[f"clean{end}"]]
            for metric in ("mpc", "rpc"):
                found = look_up(scores, column, **keys, metric=metric, corruption="all", family="all")
                assert found == [row[f"{metric}{end}"]]


def test_retained_is_the_cell_over_the_models_own_clean_value(scores):
    whole = scores[scores["baseline"].isna() & (scores["slice"] == "all") & (scores["class"] == "all")]
    known = {
        (row["model"], row["corruption"], row["severity"]): row["value"]
        for row in whole.to_dict("records")
        if row["task"] == "detection" and row["metric"] == "map"
    }
    table = numbers.cells(scores, "detection")
    assert len(table) == 2 * (1 + 8 * 5)
    for row in table.to_dict("records"):
        value = known[row["model"], row["corruption"], row["severity"]]
        assert row["retained"] == pytest.approx(value / known[row["model"], "clean", 0], abs=1e-12)


def test_retained_of_a_clean_zero_is_no_number(scores):
    changed = scores.copy()
    changed.loc[(changed["task"] == "detection") & (changed["severity"] == 0), "value"] = 0.0
    assert numbers.cells(changed, "detection")["retained"].isna().all()


def test_slice_table_has_each_line_once_with_its_figures(run, scores):
    table = numbers.slices(run, scores)
    assert len(table) == 2 * 2 * (1 + len(report_factory.SLICES) + len(report_factory.CLASSES))
    assert not table.duplicated(["task", "model", "slice", "class"]).any()
    for row in table.sample(20, random_state=0).to_dict("records"):
        keys = {"task": row["task"], "slice": row["slice"], "class": row["class"]}
        own = {**keys, "model": row["model"], "baseline": None, "corruption": "all", "family": "all"}
        assert look_up(scores, **own, metric="mpc") == [row["mpc"]]
        base = look_up(scores, **{**own, "model": "crossing-v1"}, metric="mpc")[0]
        if row["model"] == "crossing-v2":
            assert row["mpc_difference"] == pytest.approx(row["mpc"] - base, abs=1e-12)
            own["baseline"] = "crossing-v1"
            for column in ("low", "high", "p_value", "q_value"):
                expected = look_up(scores, column, **own, metric="mpc")
                assert [row[f"mpc_difference_{column}"]] == pytest.approx(expected, abs=0, nan_ok=True)
        else:
            assert math.isnan(row["mpc_difference"])
    small = table[table["small"]]
    few = {s for s in report_factory.SLICES if 6 + int(40 * report_factory.unit(s, "n")) < run.metrics.min_units}
    assert few
    assert set(small["slice"]) == few
    assert set(small["status"]) == {"insufficient"}
    assert (
        small[["mpc_low", "mpc_high", "clean_low", "mpc_difference_low", "mpc_difference_q_value"]]
        .isna()
        .all(axis=None)
    )
    assert small[["clean", "mpc", "rpc"]].notna().all(axis=None)
    assert table.loc[~table["small"], ["mpc_low", "rpc_high"]].notna().all(axis=None)


def test_a_failed_cell_makes_its_summaries_incomplete_and_nothing_else(run):
    scores = report_factory.scores(run, tasks=["detection"], failed=("crossing-v2", "fog", 3))
    overview = numbers.overview(run, scores).set_index("model")
    assert math.isnan(overview.loc["crossing-v2", "mpc"])
    assert overview.loc["crossing-v1", "mpc"] > 0
    rows = numbers.cells(scores, "detection")
    points = dict(numbers.mean_curve(rows, "crossing-v2"))
    assert math.isnan(points[3])
    assert points[2] > 0
    table = numbers.slices(run, scores)
    own = table[table["model"] == "crossing-v2"]
    assert set(own["status"]) == {"incomplete"}, "also where there are few units: the worse is told"
    assert own["small"].any()


def test_own_levels_stay_out_of_the_common_mean():
    run = report_factory.params(corruptions={"blur": ["defocus_blur"], "compression": [{"h264": {"crf": [23, 30]}}]})
    scores = report_factory.scores(run, tasks=["detection"])
    rows = numbers.cells(scores, "detection")
    points = numbers.mean_curve(rows, "crossing-v1")
    assert [severity for severity, _ in points] == [1, 2]
    pair = rows[(rows["model"] == "crossing-v1") & (rows["severity"] == 2)]["value"]
    assert points[1][1] == pytest.approx(sum(pair) / 2)


def test_curves_are_tidy(scores):
    table = numbers.curves(scores, "semantic")
    assert list(table.columns) == ["model", "corruption", "severity", "strength", "value", "low", "high"]
    assert not table.duplicated(["model", "corruption", "severity"]).any()
    assert len(table) == 2 * 41
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
