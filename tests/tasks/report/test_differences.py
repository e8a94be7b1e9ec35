"""What differences tell, against rows written by hand."""

import math

import pandas as pd
import pytest

from tasks.report import comparison, differences, numbers, takeaways
from tests import report_factory

NAN = math.nan


def line(value, low, high, q_value=NAN, *, small=False) -> dict:
    return {"d": value, "d_low": low, "d_high": high, "d_q_value": q_value, "small": small}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (line(0.1, 0.02, 0.2), "gain"),
        (line(-0.1, -0.2, -0.02), "regression"),
        (line(0.1, -0.01, 0.2), "not told apart"),
        (line(0.1, 0.0, 0.2), "not told apart"),  # zero is inside
        (line(0.1, 0.02, 0.2, 0.05), "gain"),
        (line(0.1, 0.02, 0.2, 0.0501), "not told apart"),  # one of many
        (line(-0.1, -0.2, -0.02, 0.2), "not told apart"),
        (line(0.5, NAN, NAN), "not told apart"),  # however large
        (line(0.5, NAN, NAN, small=True), "few units"),
        (line(NAN, NAN, NAN), ""),
        (line(NAN, NAN, NAN, small=True), ""),
    ],
)
def test_outcome(row, expected):
    assert differences.outcome(row, "d", 0.95) == expected


def test_the_bound_of_q_goes_by_the_confidence():
    assert differences.outcome(line(0.1, 0.02, 0.2, 0.08), "d", 0.9) == "gain"
    assert differences.outcome(line(0.1, 0.02, 0.2, 0.02), "d", 0.99) == "not told apart"


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return report_factory.scores(run)


def test_told_regressions_come_first_then_the_lowest(run, scores):
    changed = scores.copy()
    rows = changed["baseline"].notna() & (changed["slice"] == "camera=north")
    changed.loc[rows, ["value", "low", "high"]] = [-0.3, -0.7, 0.1]  # the lowest of all, and not told apart
    table = differences.comparison(numbers.slices(run, changed), 0.95)
    told = (table[["clean_outcome", "mpc_outcome"]] == "regression").any(axis=1)
    assert told.sum() == 4
    assert set(table[told]["slice"]) == {report_factory.WORSE}
    assert told.is_monotonic_decreasing
    lowest = table[["clean_difference", "mpc_difference"]].min(axis=1)
    assert lowest[told].is_monotonic_increasing
    assert lowest[~told].is_monotonic_increasing
    assert set(table[~told].head(4)["slice"]) == {"camera=north"}


def test_by_corruption_agrees_with_the_scores(scores):
    table = differences.by_corruption(scores, "semantic", "crossing-v2", 0.95)
    assert len(table) == 8 * (1 + len(report_factory.SLICES))
    row = table[(table["slice"] == "camera=east") & (table["corruption"] == "rain")].iloc[0]
    same = scores[
        (scores["baseline"] == "crossing-v1")
        & (scores["task"] == "semantic")
        & (scores["metric"] == "mpc")
        & (scores["slice"] == "camera=east")
        & (scores["class"] == "all")
        & (scores["corruption"] == "rain")
    ]
    assert len(same) == 1
    for column in ("low", "high", "p_value", "q_value"):
        assert row[f"difference_{column}"] == same.iloc[0][column]
    assert row["difference"] == same.iloc[0]["value"]


def sentence(run, scores) -> str:
    table = differences.comparison(numbers.slices(run, scores), 0.95)
    return takeaways.gain_sentence(table[table["task"] == "detection"], "crossing-v2", "crossing-v1")


def test_the_sentence_counts_what_is_told(run, scores):
    table = differences.comparison(numbers.slices(run, scores), 0.95)
    own = table[(table["task"] == "detection") & (table["slice"] != "all")]["mpc_outcome"]
    counts = {name: list(own).count(name) for name in differences.OUTCOMES}
    assert counts == {"regression": 1, "gain": 5, "not told apart": 1, "few units": 1}
    text = sentence(run, scores)
    assert "a gain told apart from zero. On clean data" in text
    assert "on 8 slices of the data: 1 regression, 5 gains, 1 not told apart, 1 of too few units." in text
    assert "on 4 classes: 4 gains." in text


def test_the_sentence_says_when_nothing_is_told(run, scores):
    wide = scores.copy()
    rows = wide["baseline"].notna() & (wide["metric"] == "mpc")
    wide.loc[rows, ["low", "high"]] = [-0.5, 0.5]
    text = sentence(run, wide)
    assert "gain" not in text
    assert text.startswith("mPC of crossing-v2 minus crossing-v1: +0.052 [−0.500, +0.500]")
    assert ", not told apart from zero. On clean" in text
    few = scores.copy()
    few.loc[few["status"] == "ok", ["low", "high", "p_value", "q_value"]] = NAN
    few["status"] = "insufficient"
    assert "of 48 units: too few to tell." in sentence(run, few)
    none = report_factory.scores(run, tasks=["detection"], failed=("crossing-v2", "fog", 3))
    assert sentence(run, none).startswith("crossing-v2 has no mPC over all data to compare")


def test_page_content_marks_each_line(run, scores):
    charts: dict = {}
    found = comparison.comparison(run, scores, numbers.slices(run, scores), charts)
    assert found is not None
    first = found["lines"][0]
    assert first["where"] == "traffic = busy"
    mpc, clean = first["differences"]
    assert (mpc["style"], mpc["words"], clean["words"]) == ("regression", "▼ regression", "not told apart")
    whole = next(line for line in found["lines"] if line["where"] == "all data")["differences"][0]
    assert whole["p"] != ""
    assert whole["q"] == "", "a test of its own"
    assert {block["task"] for block in found["blocks"]} == {"detection", "semantic", "tracking", "classification"}
    shown = dict(found["blocks"][0]["maps"][0]["lines"])
    assert shown["traffic = quiet"][3].endswith(", few units")
    assert comparison.comparison(run, scores, pd.DataFrame(columns=list(numbers.SLICE_COLUMNS)), {}) is None
