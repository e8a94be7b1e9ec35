"""The latency section against its table: bars, budgets, worth, slow frames; what is missing is said."""

import math

import numpy as np
import pandas as pd
import pytest

from tasks import gates
from tasks.report import amounts, latency, sections, summary, verdict, wording
from tests import latency_factory, report_factory

RULES = (
    {"metric": "latency_p95_ms", "max": 20},
    {"metric": "latency_p99_ms", "max": 20},
    {"metric": "peak_memory_mb", "max": 2000},
    {"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 1.2},
    {"metric": "map", "severity": 0, "min": 0.1},
)
CELLS = (("clean", "clean", 0), ("fog", "weather", 3))
TASKS = ("detection", "tracking")


def params(models=("crossing-v1", "crossing-v2"), rules=RULES, **measured):
    made = report_factory.params(models, gates=rules).model_dump(by_alias=True, exclude_none=True)
    return report_factory.parse({**made, "latency": {"cells": ["fog 3"], **measured}})


def section(run=None, table=None, charts=None, tasks=TASKS, scores=None):
    run = run or params()
    table = latency_factory.table(list(run.models), cells=CELLS) if table is None else table
    scores = report_factory.scores(run, tasks=list(tasks)) if scores is None else scores
    judged = gates.evaluate(run, scores, table)
    return latency.latency(run, scores, table, judged, {} if charts is None else charts)


def means(model, factor):
    frames = [latency_factory.stages(model, frame, factor=factor) for frame in range(100)]
    return {stage: np.mean([frame[stage] for frame in frames]) for stage in latency_factory.STAGES}


def test_bars_are_the_means_and_add_up_to_the_frame():
    charts = {}
    found = section(charts=charts)
    figure = charts["latency-stages"]
    *bars, late = figure["data"]
    assert [bar["name"] for bar in bars] == list(latency_factory.STAGES)
    assert list(bars[0]["y"]) == ["crossing-v1", "crossing-v1, fog 3", "crossing-v2", "crossing-v2, fog 3"]
    for bar in bars:
        expected = [means("crossing-v1", f)[bar["name"]] for f in (1, 1.1)]
        expected += [means("crossing-v2", f)[bar["name"]] for f in (1.25, 1.375)]
        assert bar["x"] == pytest.approx(expected, abs=1e-4)
    assert len({(bar["marker"]["color"], bar["marker"]["pattern"]["shape"]) for bar in bars}) == len(bars)
    walls = np.sort([sum(latency_factory.stages("crossing-v1", frame).values()) for frame in range(100)])
    assert late["x"][0] == pytest.approx(walls[94], abs=1e-4)
    lines = {line["name"]: line for line in found["stages"]["lines"]}
    assert lines["crossing-v2"]["wall"] == amounts.amount(sum(means("crossing-v2", 1.25).values()))
    assert lines["crossing-v1"]["values"][2] == amounts.amount(means("crossing-v1", 1)["infer"])
    share = means("crossing-v1", 1)["infer"] / sum(means("crossing-v1", 1).values())
    assert f"crossing-v1 {wording.percent(share)} in infer" in found["stages"]["takeaway"]


def test_ceilings_are_drawn_and_judged_in_words():
    charts = {}
    found = section(charts=charts)
    layout = charts["latency-stages"]["layout"]
    assert [shape["x0"] for shape in layout["shapes"]] == [20, 20]
    assert [note["text"] for note in layout["annotations"]] == ["p95 latency ≤ 20 ms", "p99 latency ≤ 20 ms"]
    assert [gate["status"] for gate in found["budgets"]] == ["uncertain", "uncertain", "pass", "fail"]
    assert f"on {latency_factory.DEVICE}, 1 thread, batch 1" in found["budgets"][2]["text"]
    assert "latency_p95_ms ≤ 20" in found["budgets"][0]["text"]
    assert section(params(rules=()))["budgets"] == []


def test_figures_with_their_intervals_and_the_baseline():
    found = section()
    assert [column["name"] for column in found["columns"]][:2] == ["p50 latency", "p95 latency"]
    assert [line["name"] for line in found["lines"]][:2] == ["crossing-v1", "crossing-v1, fog 3"]
    times = np.sort([sum(latency_factory.stages("crossing-v1", frame).values()) for frame in range(100)])
    p50, _, p99, slowest, rate, memory, whole = found["lines"][0]["values"]
    assert p50 == amounts.amount(times[49], times[39], times[60])
    assert p99.endswith(", ∞]")
    assert slowest == amounts.amount(times[99])
    assert rate.startswith("123 [")
    assert (memory, whole) == ("80.0", "780")
    assert found["lines"][1]["values"][4:] == ["–"] * 3  # measured on clean frames alone
    assert "times crossing-v1's p50." in found["told"][1]
    assert "times" not in found["told"][0]
    assert found["where"] == [f"{latency_factory.DEVICE}, 1 thread, batch 1"]


def test_the_slowest_frames_are_named():
    found = section()["slowest"]
    assert [line["model"] for line in found] == ["crossing-v1"] * 5 + ["crossing-v2"] * 5
    walls = {frame: sum(latency_factory.stages("crossing-v1", frame).values()) for frame in range(100)}
    assert [line["frame"] for line in found[:5]] == sorted(walls, key=lambda frame: -walls[frame])[:5]
    assert found[0]["detections"] == 3 + found[0]["frame"] % 7
    assert found[0]["times"] == amounts.amount(max(walls.values()) / np.median(list(walls.values())))
    assert found[0]["stage"].startswith("infer (+")


def test_crowded_scenes_are_named_and_enter_no_figure():
    run, charts = params(), {}
    table = latency_factory.table(list(run.models), cells=CELLS, crowded=[3, 250])
    scores = report_factory.scores(run, tasks=list(TASKS))
    judged = gates.evaluate(run, scores, table)
    frames = pd.DataFrame({"frame_id": range(300), "clip_id": [f"clip-{i // 100}" for i in range(300)]})
    frames["frame_index"] = frames["frame_id"] % 100
    found = latency.latency(run, scores, table, judged, charts, frames)
    first = found["slowest"][:5]
    assert len(found["slowest"]) == 10
    assert {(line["clip"], line["frame"]) for line in first[:2]} == {("clip-0", 3), ("clip-2", 50)}
    assert [line["scene"] for line in first] == ["crowded"] * 2 + ["spread"] * 3
    assert [line["detections"] for line in first[:2]] == [40, 40]
    slow = max((3, 250), key=lambda frame: sum(latency_factory.stages("crossing-v1", frame).values()))
    took = latency_factory.stages("crossing-v1", slow)
    assert first[0]["longest"] == f"infer ({wording.percent(took['infer'] / sum(took.values()))})"
    assert f"Its most crowded scenes take up to {first[0]['ms']} ms." in found["told"][0]
    without, plain = {}, latency_factory.table(list(run.models), cells=CELLS)
    other = section(run=run, table=plain, charts=without)
    assert charts == without
    for key in ("lines", "stages", "frames", "budgets", "accuracy"):
        assert found[key] == other[key]
    assert "crowded" not in other["told"][0]
    assert other["slowest"][0]["clip"] == "–"


def test_worth_against_cost_needs_two_models():
    charts = {}
    found = section(charts=charts)["accuracy"]
    assert [card["task"] for card in found] == list(TASKS)
    run = params()
    scores = report_factory.scores(run, tasks=["detection"])
    mpc = scores[(scores["metric"] == "mpc") & scores["baseline"].isna() & (scores["family"] == "all")]
    mpc = mpc[(mpc["slice"] == "all") & (mpc["class"] == "all")].set_index("model")["value"]
    discs, *points = charts["latency-accuracy-detection"]["data"]
    assert [point["y"][0] for point in points] == pytest.approx([mpc["crossing-v1"], mpc["crossing-v2"]], abs=1e-4)
    assert points[0]["x"][0] < points[1]["x"][0]
    assert discs["x"] == [point["x"][0] for point in points]
    areas = [size**2 for size in discs["marker"]["size"]]  # the factory's second model takes 1.25 times the memory
    assert areas[1] / areas[0] == pytest.approx(1.25, rel=0.01)
    assert [line["mb"] for line in found[0]["lines"]] == ["80.0", "100"]
    assert "80.0 MB" in found[0]["takeaway"]
    assert "crossing-v1 is the fastest" in found[0]["takeaway"]
    assert "crossing-v2 the best under corruption" in found[0]["takeaway"]
    assert section(params(["alone"], rules=()))["accuracy"] == []


def test_models_that_are_worth_the_same_are_not_ranked():
    run = params(["crossing-v1", "crossing-v2"], rules=())
    scores = report_factory.scores(run, tasks=["detection"])
    scores = scores.assign(value=scores["value"].where(scores["metric"] != "mpc", 0.0001))
    charts: dict = {}
    (card,) = section(run, scores=scores, charts=charts)["accuracy"]
    assert card["takeaway"].startswith("Under corruption all are worth the same (mPC (mAP) 0.000); ")
    scores = scores.assign(value=scores["value"].where(scores["metric"] != "mpc", 0.0))
    section(run, scores=scores.assign(low=0.0, high=0.0), charts=charts)
    assert charts["latency-accuracy-detection"]["layout"]["yaxis"]["range"] == [0, 1]


def test_the_fastest_is_named_where_frames_tell_it_apart():
    table = latency_factory.table(cells=CELLS)
    slow = table["model"] == "crossing-v1"
    twice = table.assign(value=table["value"].where(~slow, 2 * table["value"]))
    (told,) = {card["takeaway"].split(" (")[0] for card in section(table=twice)["accuracy"]}
    assert told == "crossing-v2 is both the fastest"
    same = pd.concat([table[~slow], table[~slow].assign(model="crossing-v1")])
    for card in section(table=same)["accuracy"]:
        assert card["takeaway"].startswith("crossing-v2 is the best under corruption (")
        assert "and none is told apart as faster (" in card["takeaway"]


def test_what_speaks_against_the_figures_is_said():
    busy = latency_factory.table(cells=CELLS, busy=0.4)
    busy = busy[~((busy["model"] == "crossing-v2") & busy["fact"].isin(["preprocess_ms", "postprocess_ms"]))]
    told = section(table=busy)["told"]
    assert any("(crossing-v1 for 40 % of the time, crossing-v2 for 40 % of the time)" in text for text in told)
    assert any("crossing-v2's adapter does not say where preprocessing ends" in text for text in told)
    assert not any("machine was at other work" in text for text in section()["told"])


def test_without_figures_there_is_no_section_but_a_reason():
    run = params()
    scores = report_factory.scores(run, tasks=["detection"])
    none = latency.latency(run, scores, None, gates.evaluate(run, scores), {})
    assert none is None
    assert latency.why_not(run, None) == ["latency was not measured: run `stormglass infer`"]
    absent = dict.fromkeys(run.models, "params have no section `latency`")
    table = latency_factory.table(absent=absent)
    assert latency.latency(run, scores, table, gates.evaluate(run, scores, table), {}) is None
    assert latency.why_not(run, table) == ["params have no section `latency`"]
    partly = latency_factory.table(cells=CELLS, absent={"crossing-v2": "recorded predictions: no latency"})
    assert "crossing-v2: recorded predictions: no latency." in section(table=partly)["told"]


def test_gates_on_latency_have_units_and_lead_to_the_section():
    run = params()
    scores = report_factory.scores(run, tasks=["detection"])
    judged = gates.evaluate(run, scores, latency_factory.table(cells=CELLS))
    rows = {row["rule"].split(",")[0]: row for row in sections.gate_rows(judged)}
    late, memory = rows["latency_p95_ms <= 20"], rows["peak_memory_mb <= 2000"]
    assert late["what"] == "Latency: p95 latency"
    assert (late["where"], late["threshold"]) == ("clean data", "≤ 20 ms")
    assert late["observed"].startswith("16.1 ms [")
    assert (memory["observed"], memory["threshold"]) == ("100 MB", "≤ 2000 MB")
    assert (late["evidence"], late["shows"]) == ("latency", "latency")
    ratio = rows["latency_p50_ms at most 1.2 times as bad as crossing-v1's"]
    assert ratio["observed"].startswith("× 1.2")
    assert ratio["threshold"] == "≤ × 1.2"
    usual = rows["map (detection) >= 0.1"]
    assert (usual["shows"], usual["threshold"]) == ("curve", "≥ 0.1")
    text = summary.markdown_table(["Observed"], [[verdict.observed(row)] for row in judged.to_dict("records")])
    assert "16.1 ms" in text


def test_amounts_keep_three_digits():
    assert [amounts.amount(value) for value in (0.1234, 9.876, 98.76, 987.6, math.nan)] == [
        *("0.12", "9.88", "98.8", "988", "–")
    ]
