"""Footage against the validated run: which reference, which features, and what is said where little is known."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks import tables
from tasks.monitoring import drift
from tasks.monitoring.windows import COLUMNS

FEATURES = [f"f{place:02d}" for place in range(12)]


def footage(
    rng: np.random.Generator, n_clips: int, *, camera: str = "north", shift: dict[str, float] | None = None, n: int = 5
) -> pd.DataFrame:
    """Windows of clips; half of what a feature varies by is shared by a clip, and a third of that by all features."""
    rows = []
    for _ in range(n_clips):
        clip, mood = f"{camera}-{rng.integers(2**40):x}", rng.normal()
        for feature in FEATURES:
            own = (shift or {}).get(feature, 0.0) + mood / 3 + rng.normal()
            rows += [(clip, camera, float(t), feature, own + rng.normal()) for t in range(n)]
    return pd.DataFrame(rows, columns=COLUMNS)


def by(table: pd.DataFrame, feature: str, statistic: str = "wasserstein") -> pd.Series:
    (found,) = [row for _, row in table.iterrows() if (row["feature"], row["statistic"]) == (feature, statistic)]
    return found


def test_the_table_and_its_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = footage(rng, 30)
    new = footage(rng, 2, shift={"f03": 30.0})
    found = drift.compare({"input": new, "output": new}, {"input": run, "output": run.drop(columns=[])})
    tables.write("footage_drift", found.table, tmp_path / "drift.parquet")
    read = tables.read("footage_drift", tmp_path / "drift.parquet")
    assert set(zip(read["kind"], read["feature"], read["statistic"], strict=True)) == set(
        itertools.product(["input", "output"], FEATURES, ["psi", "ks", "wasserstein"])
    )
    assert set(read["n"]) == {10}
    shifted = by(read[read["kind"] == "input"], "f03")
    assert (shifted["status"], shifted["share_outside"]) == ("outside", 1.0)
    assert shifted["value"] > 10
    assert (read["low"] < read["high"]).all()
    one = run[run["feature"] == "f05"]["value"]
    assert (by(found.table[:36], "f05")["low"], by(found.table[:36], "f05")["high"]) == pytest.approx(
        tuple(np.quantile(one, [0.025, 0.975], method="inverted_cdf"))
    )


def test_q_values_are_scipys_within_each_statistic() -> None:
    rng = np.random.default_rng(1)
    found = drift.compare({"output": footage(rng, 3, shift={"f00": 9.0})}, {"output": footage(rng, 40)}).table
    for _, rows in found.groupby("statistic"):
        expected = stats.false_discovery_control(rows["p_value"])
        np.testing.assert_allclose(rows["q_value"], expected)
        assert (rows["status"] == np.where(expected <= 0.05, "outside", "inside")).all()


def test_what_is_compared_with_itself_has_not_drifted() -> None:
    run = footage(np.random.default_rng(2), 20)
    found = drift.compare({"output": run}, {"output": run}).table
    assert (found["value"] == 0).all()
    assert set(found["status"]) == {"inside"}
    assert (found["share_outside"] <= 0.05).all()


def test_a_camera_is_compared_with_its_own_clips() -> None:
    """South is bright by nature: unlike the north, but not unlike itself."""
    rng = np.random.default_rng(3)
    bright = {"f00": 40.0}
    run = pd.concat([footage(rng, 20), footage(rng, 20, camera="south", shift=bright)])
    found = drift.compare(
        {"input": pd.concat([footage(rng, 1, camera="south", shift=bright), footage(rng, 1, shift=bright)])},
        {"input": run},
    )
    status = found.table[found.table["statistic"] == "wasserstein"].set_index(["camera", "feature"])["status"]
    assert status["south", "f00"] == "inside"
    assert status["north", "f00"] == "outside"
    assert found.reference["south"] == "Compared with 20 clips of this camera in the validated run."


def test_a_camera_that_is_not_known_is_compared_with_all() -> None:
    rng = np.random.default_rng(4)
    run = pd.concat([footage(rng, 20), footage(rng, 4, camera="south"), footage(rng, 12, camera="all")])
    cameras = ("west", "south", "all")
    new = pd.concat([footage(rng, 1, camera=camera) for camera in cameras])
    found = drift.compare({"input": new}, {"input": run}, source="last week")
    assert found.reference == {
        "west": "Compared with all 36 clips of last week: none is of this camera.",
        "south": "Compared with all 36 clips of last week: 4 of this camera are too few.",
        "all": "Compared with all 36 clips of last week: the footage names no camera.",
    }
    low, high = np.quantile(run[run["feature"] == "f00"]["value"], [0.025, 0.975], method="inverted_cdf")
    rows = found.table[found.table["feature"] == "f00"]
    assert set(rows["low"]) == {low}
    assert set(rows["high"]) == {high}


def test_many_clips_of_one_scan_are_one_unit() -> None:
    """Twenty clips of one night, beside a run of nights and days, are no drift; as units of their own they would be."""
    rng = np.random.default_rng(5)
    night = dict.fromkeys(FEATURES, 3.0)
    run = pd.concat([footage(rng, 12), footage(rng, 12, shift=night)])
    new = footage(rng, 20, shift=night)
    together = drift.compare({"input": new}, {"input": run}).table
    apart = drift.compare({"input": new}, {"input": run}, together=False).table
    assert not (together["status"] == "outside").any()
    assert (apart["status"] == "outside").mean() > 0.8


def test_too_little_is_said_to_be() -> None:
    rng = np.random.default_rng(6)
    new = footage(rng, 1, shift={"f00": 99.0})
    few = drift.compare({"input": new}, {"input": footage(rng, 5)}).table
    assert set(few["status"]) == {"insufficient"}
    assert few["p_value"].isna().all()
    assert few["value"].notna().all()
    some = drift.compare({"input": new}, {"input": footage(rng, 12)}).table
    assert set(some[some["statistic"] != "wasserstein"]["status"]) == {"insufficient"}  # 1 / 13 at best
    assert by(some, "f00")["status"] == "outside"


def test_a_small_reference_tells_what_it_can() -> None:
    """Of three clips one that is far away is told; of two the least p is 1 / 3 / 8, whatever comes."""
    rng = np.random.default_rng(8)
    new, run = footage(rng, 1, shift={"f00": 99.0}), footage(rng, 3)
    three = drift.compare({"input": new}, {"input": run}, min_units=3, level=0.2).table
    assert by(three, "f00")["status"] == "outside"
    assert set(three[three["statistic"] == "wasserstein"]["status"]) == {"inside", "outside"}
    assert by(three, "f00")["p_value"] == pytest.approx(1 / 4 / 27, rel=0.2)
    two = run[run["clip_id"] != run["clip_id"].iloc[0]]
    for level, status in ((0.05, "inside"), (0.04, "insufficient")):
        found = drift.compare({"input": new}, {"input": two}, min_units=2, level=level).table
        assert set(found[found["statistic"] == "wasserstein"]["status"]) == {status}


def test_no_reference_is_said_to_be() -> None:
    rng = np.random.default_rng(7)
    new = footage(rng, 1)
    found = drift.compare({"input": new, "output": new}, {"input": footage(rng, 20).query("feature != 'f02'")})
    assert {by(found.table[:36], "f02", name)["status"] for name in ("psi", "ks")} == {"no_reference"}
    assert set(found.table[found.table["kind"] == "output"]["status"]) == {"no_reference"}
    assert "Output: The validated run has nothing to compare with." in found.reference["north"]
    assert drift.signals(found.table) == {"north": {"input_drift": 0.0}}


def test_a_class_that_was_never_there_is_drift_from_nothing() -> None:
    """Only classes that come have a share; one that is rare on both sides is not compared."""

    def shares(camera: str, clip: str, **of: float) -> pd.DataFrame:
        rows = [(clip, camera, 0.0, f"class_share:{name}", value) for name, value in of.items()]
        return pd.DataFrame(rows, columns=COLUMNS)

    run = pd.concat([shares("north", f"c{place}", car=0.9 + place / 1000, kite=0.001) for place in range(20)])
    found = drift.compare({"output": shares("north", "new", car=0.4, lorry=0.6)}, {"output": run}).table
    assert set(found["feature"]) == {"class_share:car", "class_share:lorry"}
    lorry = by(found, "class_share:lorry", "ks")
    assert (lorry["value"], lorry["low"], lorry["high"]) == (1.0, 0.0, 0.0)
    assert lorry["p_value"] == pytest.approx(1 / 21)
    assert np.isnan(by(found, "class_share:lorry")["value"])  # in standard deviations of what never varied


def test_signals_count_features_with_a_verdict() -> None:
    told = {"a": "outside", "b": "inside", "c": "inside", "d": "insufficient", "e": "no_reference"}
    rows = [("north", "input", name, "wasserstein", status) for name, status in told.items()]
    rows += [("north", "input", "b", "ks", "outside"), ("south", "output", "d", "wasserstein", "insufficient")]
    table = pd.DataFrame(rows, columns=["camera", "kind", "feature", "statistic", "status"])
    assert drift.signals(table) == {"north": {"input_drift": pytest.approx(1 / 3)}}


def test_false_alarms_of_held_out_clips() -> None:
    """Of 40 scans without drift, by 12 features: any feature is outside in about a twentieth, a tenth of them never."""
    rng = np.random.default_rng(9)
    alarms, strong = 0, 0
    for _ in range(40):
        table = drift.compare({"input": footage(rng, 2, n=3)}, {"input": footage(rng, 24, n=3)}).table
        share = drift.signals(table)["north"]["input_drift"]
        alarms, strong = alarms + (share > 0), strong + (share > 0.1)
    assert alarms <= 6, alarms  # 40 * 0.05 + 2.5 * sqrt(40 * 0.05 * 0.95) = 5.4, and the tail is a guess
    assert strong <= 2, strong


def test_blocks_of_a_long_clip_are_units() -> None:
    rng = np.random.default_rng(10)
    run, new = footage(rng, 1, n=60), footage(rng, 1, n=20, shift=dict.fromkeys(FEATURES, 90.0))
    assert set(drift.compare({"input": new}, {"input": run}).table["status"]) == {"insufficient"}
    found = drift.compare({"input": new}, {"input": run}, block_s=5.0)
    assert found.reference["north"] == "Compared with 12 blocks of 5 s of this camera in the validated run."
    assert drift.signals(found.table) == {"north": {"input_drift": 1.0}}
