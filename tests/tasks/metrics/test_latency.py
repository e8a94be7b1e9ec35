"""Latency's figures: intervals that hold, ratios that pair frames, and what is missing."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from tasks.metrics import latency
from tests import latency_factory


def own(model="crossing-v1", **more):
    return latency.cell(latency_factory.table(**more), model)


def walls(model, factor=1.0, frames=100):
    return np.sort([sum(latency_factory.stages(model, frame, factor=factor).values()) for frame in range(frames)])


def test_percentiles_are_measured_times_and_their_ends_too():
    times = walls("crossing-v1")
    rows = own()
    for metric, rank in {
        "latency_p50_ms": 50,
        "latency_p95_ms": 95,
        "latency_p99_ms": 99,
        "latency_max_ms": 100,
    }.items():
        assert latency.figure(rows, metric, confidence=0.95).value == pytest.approx(times[rank - 1])
    median = latency.figure(rows, "latency_p50_ms", confidence=0.95)
    assert [median.low, median.high] == pytest.approx([times[39], times[60]])  # the tables of the sign test
    assert math.isnan(latency.figure(rows, "latency_max_ms", confidence=0.95).high)


@pytest.mark.parametrize(("share", "count"), [(0.5, 20), (0.5, 101), (0.95, 96), (0.95, 200), (0.99, 400)])
def test_the_interval_of_a_percentile_holds_as_often_as_it_says(share, count):
    low, high = latency.order_interval(np.arange(1.0, count + 1), share, confidence=0.95)
    below = binom(count, share)  # how many frames lie below the true percentile
    upper = count + 1 if math.isinf(high) else int(high)
    assert below.cdf(upper - 1) - below.cdf(int(low) - 1) >= 0.95
    assert below.cdf(int(low)) > 0.025  # one rank further in would not do
    assert below.cdf(upper - 2) < 0.975


def test_too_few_frames_leave_a_percentile_without_an_upper_end():
    for metric, share in latency.PERCENTILES.items():
        needed = latency.frames_needed(metric, confidence=0.95)
        assert math.isinf(latency.order_interval(np.arange(needed - 1.0), share, confidence=0.95)[1])
        assert math.isfinite(latency.order_interval(np.arange(float(needed)), share, confidence=0.95)[1])
    found = latency.figure(own(), "latency_p99_ms", confidence=0.95)
    assert found.status == "insufficient"
    assert found.high == math.inf


def test_frames_a_second_are_all_frames_over_all_time():
    rows = own()
    times = rows.loc[rows["fact"] == "batch_ms", "value"]
    found = latency.figure(rows, "frames_per_s", confidence=0.95)
    assert found.value == pytest.approx(8 * 12 * 1e3 / times.sum())
    assert found.low < found.value < found.high
    assert latency.figure(rows, "peak_memory_mb", confidence=0.95).value == 80.0
    assert latency.figure(rows, "peak_device_memory_mb", confidence=0.95).status == "not_defined"


def test_ratios_pair_the_frames():
    table = latency_factory.table(models=["a", "b"], factors=[1.0, 1.0])
    one, other = latency.cell(table, "a"), latency.cell(table, "a").copy()
    ms = other["fact"].str.endswith("_ms")
    other.loc[ms, "value"] = other.loc[ms, "value"] * 1.25
    slow = latency.ratio(other, one, "latency_p50_ms", confidence=0.95)
    assert [slow.low, slow.value, slow.high] == pytest.approx([1.25] * 3)  # frame by frame the same: no doubt at all
    assert latency.ratio(other, one, "frames_per_s", confidence=0.95).value == pytest.approx(1.25)  # as bad
    noisy = latency.ratio(latency.cell(table, "b"), one, "latency_p50_ms", confidence=0.95)
    assert noisy.low < noisy.value < noisy.high
    assert noisy.value == pytest.approx(1.0, abs=0.05)
    assert latency.ratio(other, one, "latency_p99_ms", confidence=0.95).status == "insufficient"
    assert latency.ratio(other, one, "peak_memory_mb", confidence=0.95).value == 1.0
    assert latency.ratio(other.iloc[:0], one, "peak_memory_mb", confidence=0.95).status == "not_defined"


def test_what_was_not_measured_says_why():
    table = latency_factory.table(absent={"crossing-v2": "recorded predictions: no latency"})
    assert latency.reason(table, "crossing-v1") is None
    assert latency.reason(table, "crossing-v2") == "recorded predictions: no latency"
    assert "run `stormglass infer`" in str(latency.reason(None, "crossing-v1"))
    assert "again" in str(latency.reason(table, "another"))
    assert latency.cell(table, "crossing-v2").empty
    assert latency.where(latency.cell(table, "crossing-v1")) == f"{latency_factory.DEVICE}, 1 thread, batch 1"
    assert latency.where(latency.cell(table, "crossing-v1"), batch=True).endswith("batch 8")
