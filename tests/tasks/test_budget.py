"""Rules on latency and memory: intervals, the baseline, the device, and what was not measured."""

import numpy as np
import pytest

from tasks import gates
from tasks.errors import InputError
from tests import latency_factory, report_factory

CELL = {"cells": ["fog 3"]}


def params(*rules, latency=None):
    run = report_factory.params(gates=rules).model_dump(by_alias=True, exclude_none=True)
    return report_factory.parse({**run, "latency": {} if latency is None else latency})


def judged(*rules, table=None, latency=None, **more):
    run = params(*rules, latency=latency)
    made = latency_factory.table(list(run.models), **more) if table is None else table
    return gates.evaluate(run, report_factory.scores(run, tasks=["detection"]), made)


def walls(model="crossing-v2", factor=1.25):
    return np.sort([sum(latency_factory.stages(model, frame, factor=factor).values()) for frame in range(100)])


@pytest.mark.parametrize(
    ("rule", "rank", "status"),
    [
        ({"metric": "latency_p50_ms", "max": 20}, 50, "pass"),
        ({"metric": "latency_p50_ms", "max": 14}, 50, "fail"),
        ({"metric": "latency_p95_ms", "max": 30}, 95, "pass"),
        ({"metric": "latency_p99_ms", "max": 30}, 99, "uncertain"),  # 100 frames do not bound it from above
        ({"metric": "latency_p99_ms", "max": 10}, 99, "fail"),  # but from below
        ({"metric": "latency_max_ms", "max": 30}, 100, "pass"),
    ],
)
def test_a_ceiling_on_a_percentile(rule, rank, status):
    found = judged(rule)
    (row,) = found.to_dict("records")
    assert (row["model"], row["corruption"], row["severity"], row["n_units"]) == ("crossing-v2", "clean", 0, 100)
    assert row["observed"] == pytest.approx(walls()[rank - 1])
    assert row["status"] == status
    assert f"on {latency_factory.DEVICE}, 1 thread, batch 1" in row["reason"]
    assert ("latency.frames of 368" in row["reason"]) == (status == "uncertain")
    assert gates.passed(found) == (status == "pass")


def test_across_its_ends_a_rule_is_uncertain():
    times = walls()
    inside = float(times[45] + times[50]) / 2  # between the ends, which are the 40th and the 61st
    (row,) = judged({"metric": "latency_p50_ms", "max": inside}).to_dict("records")
    assert [row["low"], row["high"]] == pytest.approx([times[39], times[60]])
    assert row["status"] == "uncertain"
    assert "reaches across" in row["reason"]
    assert gates.passed(judged({"metric": "latency_p50_ms", "max": inside, "on_uncertain": "pass"}))


@pytest.mark.parametrize(
    ("rule", "observed", "status"),
    [
        ({"metric": "frames_per_s", "min": 50}, 8e3 / (64 * 1.25 * 1.02), "pass"),
        ({"metric": "frames_per_s", "min": 200}, 8e3 / (64 * 1.25 * 1.02), "fail"),
        ({"metric": "peak_memory_mb", "max": 100}, 100.0, "pass"),
        ({"metric": "peak_memory_mb", "max": 99}, 100.0, "fail"),
        ({"metric": "process_memory_mb", "max": 2000}, 800.0, "pass"),
        ({"metric": "peak_memory_mb", "against": "baseline", "max_ratio": 1.3}, 1.25, "pass"),
        ({"metric": "frames_per_s", "against": "baseline", "max_ratio": 1.2}, 1.25, "fail"),
        ({"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 1.4}, None, "pass"),
        ({"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 1.1}, None, "fail"),
        ({"metric": "latency_p99_ms", "against": "baseline", "max_ratio": 1.4}, None, "insufficient"),
    ],
)
def test_floors_memory_and_the_baseline(rule, observed, status):
    (row,) = judged(rule).to_dict("records")
    if observed is None:
        rank = 49 if "p50" in rule["metric"] else 98
        observed = walls()[rank] / walls("crossing-v1", 1.0)[rank]
    assert row["observed"] == pytest.approx(observed)
    assert row["status"] == status
    assert latency_factory.DEVICE in row["reason"]


@pytest.mark.parametrize(
    ("rule", "table", "told"),
    [
        ({"metric": "latency_p50_ms", "max": 9}, {"absent": {"crossing-v2": "the process died"}}, "the process died"),
        (
            {"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 2},
            {"absent": {"crossing-v1": "recorded predictions: no latency"}},
            "crossing-v1: recorded predictions",
        ),
        ({"metric": "peak_device_memory_mb", "max": 9}, {}, "it ran on the CPU"),
        (
            {"metric": "latency_p50_ms", "model": "crossing-v1", "against": "baseline", "max_ratio": 2},
            {},
            "the baseline",
        ),
    ],
)
def test_what_was_not_measured_is_not_run(rule, table, told):
    found = judged(rule, **table)
    assert found["status"].tolist() == ["not_run"]
    assert told in found["reason"].iloc[0]
    assert not gates.passed(found)


def test_without_the_table_rules_are_not_run_and_others_are_judged():
    run = params({"metric": "frames_per_s", "min": 1}, {"metric": "map", "severity": 0, "min": 0.1})
    found = gates.evaluate(run, report_factory.scores(run, tasks=["detection"]))
    assert found["status"].tolist() == ["not_run", "pass"]
    assert "stormglass infer" in found["reason"].iloc[0]


def test_another_device_is_no_comparison():
    table = latency_factory.table()
    table.loc[table["model"] == "crossing-v1", "device"] = "cuda:0: Some GPU"
    (row,) = judged({"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 2}, table=table).to_dict("records")
    assert row["status"] == "not_run"
    assert "same device" in row["reason"]


def test_a_measured_cell_is_judged_where_a_rule_names_it():
    cells = [("clean", "clean", 0), ("fog", "weather", 3)]
    rule = {"metric": "latency_p50_ms", "corruption": "fog", "severity": 3, "max": 30}
    (row,) = judged(rule, cells=cells, latency=CELL).to_dict("records")
    assert row["observed"] == pytest.approx(1.1 * walls()[49])
    assert (row["family"], row["severity"]) == ("weather", 3)
    rate = {"metric": "frames_per_s", "corruption": "fog", "severity": 3, "min": 1}
    (row,) = judged(rate, cells=cells, latency=CELL).to_dict("records")
    assert "frames_per_s there: measured on clean frames alone" in row["reason"]
    with pytest.raises(InputError, match=r"latency.cells \(fog 3\), .* got rain 3"):
        judged({**rule, "corruption": "rain"}, cells=cells, latency=CELL)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"metric": "latency_p50_ms", "slice": "camera=north", "max": 9}, "no task, family, slice or class"),
        ({"metric": "latency_p50_ms", "family": "weather", "max": 9}, "no task, family, slice or class"),
        ({"metric": "latency_p50_ms", "against": "baseline", "max_drop": 9}, "takes max_ratio"),
        ({"metric": "map", "against": "baseline", "max_ratio": 1.2}, "expected max_drop for map"),
        ({"metric": "latency_p95_ms", "min": 9}, "of latency_p95_ms less is better, expected max, got min"),
        ({"metric": "peak_memory_mb", "min": 9}, "of peak_memory_mb less is better, expected max, got min"),
        ({"metric": "frames_per_s", "max": 9}, "of frames_per_s more is better, expected min, got max"),
        ({"metric": "latency_p90_ms", "max": 9}, "did you mean 'latency_p"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, told):
    with pytest.raises(InputError, match=told):
        judged(rule)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"latency": {"cells": ["fog"]}}, "latency.cells: expected a corruption of the run .* got 'fog'"),
        ({"latency": {"cells": ["fog 9"]}}, "got 'fog 9'"),
        ({"latency": {"cells": ["frost 3"]}}, "got 'frost 3'"),
        ({"latency": {"frame": 9}}, "did you mean 'frames'"),
        ({"gates": [{"metric": "frames_per_s", "max_ratio": 2}]}, "max_ratio and against go together"),
        ({"gates": [{"metric": "frames_per_s", "max_ratio": 2, "against": "clean"}]}, "max_ratio is against: baseline"),
    ],
)
def test_params_that_cannot_be_are_refused(sections, told):
    run = report_factory.params().model_dump(by_alias=True, exclude_none=True)
    with pytest.raises(InputError, match=told):
        report_factory.parse({**run, **sections})
